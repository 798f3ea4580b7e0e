"""The classes of labelled texts one by one: their scores, and what was taken for what.

Precision, recall and F1 and their averages are those of `lushan.metrics.prf`. The metrics of a
split are in `lushan.metrics.families.labels`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lushan.metrics import prf
from lushan.metrics.confusion import Confusion


@dataclasses.dataclass(frozen=True)
class Classes:
    """Scores of a split's predictions, class by class.

    Attributes:
        report: Rows by label, and averages.
        confusion: Gold against predicted, where each text has one label.
    """

    report: prf.Report
    confusion: Confusion | None = None


def classes(
    gold: Sequence[Any], predicted: Sequence[Any], *, labels: Iterable[str] = ()
) -> Classes:
    """Compare predictions with gold, class by class.

    Args:
        gold: A label a text, or a list of labels.
        predicted: Likewise; as many.
        labels: Classes to show first and in this order, also those without texts (F1 0, support 0,
            not in the macro average). Classes found beyond these follow, sorted.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold values and {len(predicted)} predicted ones")
    names = names_in(gold, predicted, labels=labels)
    place = {name: i for i, name in enumerate(names)}
    if all(isinstance(label, str) for label in gold):
        g, p = (np.array([place[x] for x in side], dtype=np.int64) for side in (gold, predicted))
        confusion = Confusion.of(names, g, p)
        counts = (confusion.correct, confusion.of_predicted, confusion.of_gold)
        return Classes(prf.report(names, *counts), confusion)
    sets = [[frozenset(place[x] for x in row) for row in side] for side in (gold, predicted)]
    columns = [
        np.bincount([x for row in side for x in row], minlength=len(names)).astype(np.int64)
        for side in ([a & b for a, b in zip(*sets, strict=True)], sets[1], sets[0])
    ]
    return Classes(prf.report(names, *columns))


def names_in(
    gold: Sequence[Any], predicted: Sequence[Any], *, labels: Iterable[str] = ()
) -> list[str]:
    """Return the labels that are known, in their order, and then those found beside, sorted."""
    known = list(dict.fromkeys(labels))
    rows = [[x] if isinstance(x, str) else x for side in (gold, predicted) for x in side]
    return [*known, *sorted({x for row in rows for x in row} - set(known))]
