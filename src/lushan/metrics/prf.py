"""Precision, recall and F1 from counts; what entity, token and text metrics have in common.

What is undefined (nothing predicted, nothing there) is 0, as conlleval and seqeval have it: a
class without examples has F1 0 and support 0.

The three averages of many classes:

* micro: of the summed counts;
* macro: the plain mean over the classes that occur in gold or in predicted. A class in neither
  says nothing about a system; counting it as 0 (scikit-learn with `labels=`) or as 1 (torchmetrics)
  would let the label list move the number;
* weighted: the mean weighted by support, so that it, too, leaves out classes without examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AVERAGES = ("micro", "macro", "weighted")
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Scores:
    """One row of a report.

    Attributes:
        precision: Share of what was predicted that is right.
        recall: Share of gold that was found.
        f1: Their harmonic mean.
        support: How many there are in gold.
        predicted: How many were predicted.
        correct: How many of these are right.
    """

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    correct: int

    def as_dict(self) -> dict[str, float | int]:
        """Return what a report shows."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.support,
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """Rows by class, and their averages."""

    by_class: dict[str, Scores]
    micro: Scores
    macro: Scores
    weighted: Scores

    def as_dict(self) -> dict[str, dict[str, float | int]]:
        """Class to precision, recall, f1, support; then `micro avg` and the other averages."""
        rows = {name: row.as_dict() for name, row in self.by_class.items()}
        return rows | {f"{a} avg": getattr(self, a).as_dict() for a in AVERAGES}


def prf(correct: object, predicted: object, gold: object) -> tuple[Array, Array, Array]:
    """Precision, recall and F1, elementwise; 0 where undefined."""
    return (
        ratio(correct, predicted),
        ratio(correct, gold),
        ratio(2 * np.asarray(correct), np.asarray(predicted) + np.asarray(gold)),
    )


def ratio(part: object, whole: object) -> Array:
    """`part / whole`, elementwise; 0 where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)


def averages(correct: object, predicted: object, gold: object) -> dict[str, Array]:
    """`f1_micro`, `precision_macro`, ... over the last axis, the classes.

    Args:
        correct: (..., C) right predictions of each class.
        predicted: (..., C) predictions.
        gold: (..., C) examples.
    """
    correct, predicted, gold = (np.asarray(a, float) for a in (correct, predicted, gold))
    by_class = dict(zip(("precision", "recall", "f1"), prf(correct, predicted, gold), strict=True))
    summed = prf(correct.sum(-1), predicted.sum(-1), gold.sum(-1))
    occurs = (predicted + gold) > 0
    found = {}
    for (name, values), micro in zip(by_class.items(), summed, strict=True):
        found[f"{name}_micro"] = micro
        found[f"{name}_macro"] = ratio((values * occurs).sum(-1), occurs.sum(-1))
        found[f"{name}_weighted"] = ratio((values * gold).sum(-1), gold.sum(-1))
    return found


def report(
    labels: Sequence[str],
    correct: NDArray[np.int64],
    predicted: NDArray[np.int64],
    gold: NDArray[np.int64],
) -> Report:
    """Make the report of some classes from their counts, each (C,)."""
    rows = zip(*prf(correct, predicted, gold), gold, predicted, correct, strict=True)
    means = averages(correct, predicted, gold)
    totals = int(gold.sum()), int(predicted.sum()), int(correct.sum())

    def mean(average: str) -> Scores:
        p, r, f = (float(means[f"{part}_{average}"]) for part in ("precision", "recall", "f1"))
        return Scores(p, r, f, *totals)

    return Report(
        by_class={
            label: Scores(float(p), float(r), float(f), int(g), int(n), int(c))
            for label, (p, r, f, g, n, c) in zip(labels, rows, strict=True)
        },
        micro=mean("micro"),
        macro=mean("macro"),
        weighted=mean("weighted"),
    )
