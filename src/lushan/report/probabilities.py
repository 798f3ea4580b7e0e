"""Calibration, curves and thresholds of runs whose predictions hold the probability of each class.

The field of the gold values names the entry that holds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.data.record_schema import RecordSchema
from lushan.metrics import calibration
from lushan.metrics.calibration import Aim, Array
from lushan.study.records import Records

Shown = dict[str, Any]
"""JSON of the page."""
MOST_CLASSES = 30
"""With curves: the most frequent ones."""
MOST_POINTS = 120
"""Of a curve."""
VALIDATION = "validation"
USUAL = (Aim("f1"), Aim("precision", 0.9), Aim("recall", 0.9))


@dataclasses.dataclass(frozen=True)
class Probabilities:
    """Probabilities of a run's split.

    Attributes:
        labels: The classes, C of them.
        p: (N, C).
        gold: (N,) numbers of classes, or (N, C) whether each is there.
    """

    labels: Sequence[str]
    p: Array
    gold: NDArray[Any]

    @property
    def several(self) -> bool:
        """Return whether an example has any number of classes."""
        return self.gold.ndim > 1

    def of(self, label: str) -> tuple[Array, NDArray[np.bool_]]:
        """Return the probability of a class, (N,), and whether it is there."""
        place = list(self.labels).index(label)
        return self.p[:, place], self.gold[:, place] if self.several else self.gold == place


class NotAll(Exception):
    """Of some examples not all probabilities are stored."""


def probabilities(records: Records, schema: RecordSchema) -> Probabilities | None:
    """Return the probabilities of a run's stored predictions; None where they hold none.

    Raises:
        NotAll: Only the most probable classes of each example were kept.
    """
    entry = getattr(schema.gold[1], "probabilities", "") if schema.gold is not None else ""
    pairs = (
        [(r[entry], gold) for r, gold, _ in schema.pairs(records) if r.get(entry)] if entry else []
    )
    if not pairs:
        return None
    labels = list(pairs[0][0])
    if any(len(p) != len(labels) or p.keys() != pairs[0][0].keys() for p, _ in pairs):
        raise NotAll("only the most probable classes of each example are stored")
    golds = [[gold] if isinstance(gold, str) else list(gold) for _, gold in pairs]
    # A label that no training example has: its probability is 0.
    unseen = sorted({label for gold in golds for label in gold} - set(labels))
    place = {label: i for i, label in enumerate([*labels, *unseen])}
    p = np.array(
        [[*(known[label] for label in labels), *[0.0] * len(unseen)] for known, _ in pairs]
    )
    if isinstance(pairs[0][1], str):
        return Probabilities(list(place), p, np.array([place[gold] for (gold,) in golds]))
    there = np.zeros(p.shape, bool)
    for row, gold in zip(there, golds, strict=True):
        row[[place[label] for label in gold]] = True
    return Probabilities(list(place), p, there)


def of_splits(found: Mapping[str, Probabilities], aims: Sequence[Aim] = USUAL) -> dict[str, Shown]:
    """Return what the page shows of each split of a run; what is fitted is so on validation alone.

    Args:
        found: By split.
        aims: What thresholds are chosen for.
    """
    known = found.get(VALIDATION)
    return {split: _of(split, one, known, aims) for split, one in found.items()}


def _of(split: str, one: Probabilities, known: Probabilities | None, aims: Sequence[Aim]) -> Shown:
    content: Shown = {
        "several": one.several,
        "classes_in_all": len(one.labels),
        "plain": dataclasses.asdict(calibration.calibration(one.p, one.gold)),
        "scaled": None,
    }
    alike = known is not None and known.several == one.several
    if alike and split != VALIDATION:
        assert known is not None
        temperature = calibration.fitted_temperature(known.p, known.gold)
        scaled = calibration.with_temperature(one.p, temperature, several=one.several)
        after = dataclasses.asdict(calibration.calibration(scaled, one.gold))
        content["scaled"] = after | {"temperature": temperature, "fitted_on": len(known.p)}
    content["classes"] = [
        _class(label, one, known if alike else None, aims) for label in _frequent(one)
    ]
    return content


def _frequent(one: Probabilities) -> list[str]:
    """Return the classes that occur, those of most examples; of two, the second alone."""
    counts = {label: int(one.of(label)[1].sum()) for label in one.labels}
    if len(one.labels) == 2 and not one.several:  # the other one is its mirror
        return [one.labels[1]]
    order = sorted((label for label in counts if counts[label]), key=lambda n: -counts[n])
    return order[:MOST_CLASSES]


def _class(
    label: str, one: Probabilities, known: Probabilities | None, aims: Sequence[Aim]
) -> Shown:
    p, there = one.of(label)
    drawn = calibration.curve(p, there)
    fitted = None if known is None or label not in known.labels else known.of(label)
    return {
        "label": label,
        "support": drawn.there,
        "total": drawn.total,
        "average_precision": _number(drawn.average_precision),
        "area": _number(drawn.area),
        "pr": _points(drawn.recall, drawn.precision),
        "roc": [[0.0, 0.0], *_points(drawn.false_positives, drawn.recall)],
        "thresholds": [_threshold(aim, fitted, (p, there)) for aim in aims] if fitted else [],
    }


def _threshold(
    aim: Aim, known: tuple[Array, NDArray[np.bool_]], here: tuple[Array, NDArray[np.bool_]]
) -> Shown:
    chosen = aim.threshold(calibration.curve(*known))
    if chosen is None:
        return {"aim": str(aim), "threshold": None}
    sides = {"validation": calibration.at(*known, chosen), "here": calibration.at(*here, chosen)}
    return {"aim": str(aim), "threshold": chosen, **sides}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _points(x: Array, y: Array) -> list[list[float]]:
    """Return points of a curve, first and last among them."""
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return [[round(float(x[i]), 5), round(float(y[i]), 5)] for i in places]
