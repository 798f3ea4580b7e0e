"""Numbers of text classification: one label, several, or a number a text.

Precision, recall and F1 and their averages are those of `lushan.metrics.prf`. `mcc` is Matthews'
coefficient for any number of classes (Gorodkin, 2004), 0 where it is undefined, as scikit-learn has
it. With several labels a text, `accuracy` is the share of right yes-or-no decisions and
`exact_match` the share of texts whose set of labels is right. `pearson` and `spearman` are nan
where either side does not vary.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import prf
from lushan.metrics.bootstrap import Interval, interval, mean_interval
from lushan.metrics.confusion import Confusion

AVERAGES = prf.AVERAGES
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a split's predictions are worth.

    Attributes:
        metrics: Name to value.
        bounds: Name to a function that finds its interval; it takes a moment, so only when asked.
        report: Rows by label and averages; None for regression.
        confusion: Gold against predicted, where each text has one label.
    """

    metrics: dict[str, float]
    bounds: dict[str, Callable[[], Interval]]
    report: prf.Report | None = None
    confusion: Confusion | None = None

    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals over texts of the main numbers."""
        return {name: find() for name, find in self.bounds.items()}

    def as_dict(self) -> dict[str, Any]:
        """`label` to class to precision, recall, f1, support; empty for regression."""
        return {"label": self.report.as_dict()} if self.report else {}


def score(
    kind: str, gold: Sequence[Any], predicted: Sequence[Any], *, labels: Iterable[str] = ()
) -> Judgement:
    """Judge predictions.

    Args:
        kind: `single`: labels; `multilabel`: lists of labels; `regression`: numbers.
        gold: One a text.
        predicted: Likewise; as many.
        labels: Classes to show first and in this order, also those without texts (F1 0, support 0,
            not in the macro average). Classes found beyond these follow, sorted.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold values and {len(predicted)} predicted ones")
    if kind == "regression":
        return _regression(np.asarray(gold, float), np.asarray(predicted, float))
    if kind == "multilabel":
        return _multilabel(gold, predicted, labels)
    if kind == "single":
        return _single(gold, predicted, labels)
    raise ValueError(f"no such kind: {kind!r}")


def _names(labels: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    known = list(dict.fromkeys(labels))
    return {name: i for i, name in enumerate([*known, *sorted(set(found) - set(known))])}


# One label a text


def _single(gold: Sequence[str], predicted: Sequence[str], labels: Iterable[str]) -> Judgement:
    names = _names(labels, [*gold, *predicted])
    g, p = (np.array([names[x] for x in side], dtype=np.int64) for side in (gold, predicted))
    # A text matters only by its cell of the confusion matrix: few cells, however many texts.
    confusion = Confusion.of(list(names), g, p)
    cells = _Cells(confusion)

    def statistic(name: str) -> Callable[[], Interval]:
        return lambda: interval(
            lambda w: cells.metrics(w)[name], confusion.counts, width=cells.width
        )

    values = cells.metrics(confusion.counts[None, :].astype(float))
    counts = (confusion.correct, confusion.of_predicted, confusion.of_gold)
    return Judgement(
        metrics={name: float(value[0]) for name, value in values.items()},
        bounds={name: statistic(name) for name in ("accuracy", "mcc", "f1_micro", "f1_macro")},
        report=prf.report(list(names), *counts),
        confusion=confusion,
    )


class _Cells:
    """Metrics from the weights of the confusion matrix's cells, over the classes that occur."""

    def __init__(self, confusion: Confusion) -> None:
        gold, predicted = confusion.gold, confusion.predicted
        present, places = np.unique(np.concatenate([gold, predicted]), return_inverse=True)
        gold, predicted = np.split(places, [len(gold)])
        self.width = len(present)
        self.gold = _Members(gold, np.ones(len(gold), bool), self.width)
        self.predicted = _Members(predicted, np.ones(len(gold), bool), self.width)
        self.correct = _Members(gold, gold == predicted, self.width)

    def metrics(self, weights: Array) -> dict[str, Array]:
        """Name to (R,), from (R, K)."""
        sides = (self.correct, self.predicted, self.gold)
        return of_labels(*(side.sums(weights) for side in sides))  # (R, C)


class _Members:
    """Which of K groups count for which of C classes, each for one at most.

    Args:
        classes: (K,) class of each group.
        counted: (K,) whether it counts.
        width: Classes.
    """

    def __init__(self, classes: NDArray[Any], counted: NDArray[np.bool_], width: int) -> None:
        order = np.argsort(classes, kind="stable")
        self.order = order[counted[order]]
        self.present, self.starts = np.unique(classes[self.order], return_index=True)
        self.width = width

    def sums(self, weights: Array) -> Array:
        """(R, C) from (R, K)."""
        sums = np.zeros((len(weights), self.width))
        if len(self.starts):
            found = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
            sums[:, self.present] = found
        return sums


def of_labels(correct: Array, predicted: Array, gold: Array) -> dict[str, Array]:
    """All metrics of texts with one label each, by name, from their counts.

    Args:
        correct: (..., C) right predictions of each class.
        predicted: (..., C) predictions.
        gold: (..., C) texts.
    """
    total, right = gold.sum(-1), correct.sum(-1)
    accuracy = np.where(total > 0, prf.ratio(right, total), np.nan)
    covariance = right * total - (predicted * gold).sum(-1)
    spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (gold**2).sum(-1))
    mcc = prf.ratio(covariance, np.sqrt(spread))
    return {"accuracy": accuracy, "mcc": mcc, **prf.averages(correct, predicted, gold)}


# Several labels a text


def _multilabel(
    gold: Sequence[Iterable[str]], predicted: Sequence[Iterable[str]], labels: Iterable[str]
) -> Judgement:
    names = _names(labels, (x for side in (gold, predicted) for row in side for x in row))
    g, p = ([frozenset(names[x] for x in row) for row in side] for side in (gold, predicted))
    exact = np.array([a == b for a, b in zip(g, p, strict=True)], dtype=bool)
    wrong = np.array([len(a ^ b) for a, b in zip(g, p, strict=True)], dtype=float)
    right = (len(names) - wrong) / len(names) if names else np.ones(len(g))
    columns = [
        np.bincount([x for row in side for x in row], minlength=len(names)).astype(np.int64)
        for side in ([a & b for a, b in zip(g, p, strict=True)], p, g)
    ]
    sets = _Sets(g, p, len(names))

    def f1(average: str) -> Callable[[], Interval]:
        def statistic(weights: Array) -> Array:
            return prf.averages(*sets.sums(weights))[f"f1_{average}"]

        return lambda: interval(statistic, sets.sizes, width=sets.width)

    return Judgement(
        metrics={
            "accuracy": float(right.mean()) if len(g) else float("nan"),
            "exact_match": float(exact.mean()) if len(g) else float("nan"),
            **{name: float(value) for name, value in prf.averages(*columns).items()},
        },
        bounds={
            "accuracy": lambda: mean_interval(right),
            "exact_match": lambda: mean_interval(exact),
            "f1_micro": f1("micro"),
            "f1_macro": f1("macro"),
        },
        report=prf.report(list(names), *columns),
    )


class _Sets:
    """The K distinct pairs of gold and predicted labels, over the C classes that occur in them.

    Attributes:
        sizes: (K,) how many texts have each; texts with the same labels count alike.
        width: Classes.
    """

    def __init__(
        self, gold: Sequence[frozenset[int]], predicted: Sequence[frozenset[int]], labels: int
    ) -> None:
        from scipy.sparse import csr_matrix

        # In the order of the rows of indicators that stand for them.
        counted = Counter(
            tuple(-x for x in (*sorted(g), *(labels + x for x in sorted(p))))
            for g, p in zip(gold, predicted, strict=True)
        )
        keys = [[-x for x in key] for key in sorted(counted)]
        self.sizes = np.array([counted[key] for key in sorted(counted)], dtype=np.int64)
        sides = [
            [{x for x in key if x < labels} for key in keys],
            [{x - labels for x in key if x >= labels} for key in keys],
        ]
        present = sorted({x for side in sides for row in side for x in row})
        place = {x: i for i, x in enumerate(present)}
        self.width = len(present)

        def indicators(rows: Sequence[set[int]]) -> Any:  # (K, C), sparse
            ends = np.cumsum([0, *map(len, rows)])
            columns = [place[x] for row in rows for x in sorted(row)]
            ones = np.ones(len(columns))
            return csr_matrix((ones, columns, ends), shape=(len(rows), self.width))

        in_gold, in_predicted = sides
        in_both = [g & p for g, p in zip(in_gold, in_predicted, strict=True)]
        self._sides = [indicators(rows) for rows in (in_both, in_predicted, in_gold)]

    def sums(self, weights: Array) -> list[Array]:
        """Right, predicted and gold labels by class, each (R, C), from (R, K)."""
        return [np.asarray(weights @ side) for side in self._sides]


# A number a text


def _regression(gold: Array, predicted: Array) -> Judgement:
    error = predicted - gold
    once = np.ones((1, len(gold)))

    def correlation(weights: Array) -> Array:
        return _pearson(weights, gold[None, :], predicted[None, :])

    ranked = _Ranks(gold), _Ranks(predicted)

    def rank_correlation(weights: Array) -> Array:
        return _pearson(weights, *(side.of(weights) for side in ranked))

    return Judgement(
        metrics={
            "pearson": float(correlation(once)[0]),
            "spearman": float(rank_correlation(once)[0]),
            "mse": float(np.mean(error**2)) if len(error) else float("nan"),
            "mae": float(np.mean(np.abs(error))) if len(error) else float("nan"),
        },
        bounds={
            "pearson": lambda: interval(correlation, len(gold)),
            "spearman": lambda: interval(rank_correlation, len(gold)),
            "mse": lambda: mean_interval(error**2),
            "mae": lambda: mean_interval(np.abs(error)),
        },
    )


def _pearson(weights: Array, x: Array, y: Array) -> Array:
    """Weighted correlation (R,) of x and y, each (R or 1, N); nan where either does not vary."""
    total = np.maximum(weights.sum(-1, keepdims=True), 1)
    x = x - (weights * x).sum(-1, keepdims=True) / total
    y = y - (weights * y).sum(-1, keepdims=True) / total
    drawn = weights > 0
    spread = np.sqrt((weights * x * x).sum(-1) * (weights * y * y).sum(-1))
    varies = _varies(x, drawn) & _varies(y, drawn)
    result = np.full(len(weights), np.nan)
    np.divide((weights * x * y).sum(-1), spread, out=result, where=varies & (spread > 0))
    return np.clip(result, -1, 1)


def _varies(values: Array, drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the drawn values differ: exactly, since a rounded mean leaves a spread of its own."""
    high = np.where(drawn, values, -np.inf).max(-1, initial=-np.inf)
    return high > np.where(drawn, values, np.inf).min(-1, initial=np.inf)


class _Ranks:
    """Ranks of a resample, ties sharing the middle one, from how often each value was drawn."""

    def __init__(self, values: Array) -> None:
        distinct, self.group = np.unique(values, return_inverse=True)
        self.order = np.argsort(self.group, kind="stable")
        self.starts = np.searchsorted(self.group[self.order], np.arange(len(distinct)))

    def of(self, weights: Array) -> Array:
        """(R, N) from (R, N)."""
        if not len(self.starts):
            return weights
        size = np.add.reduceat(weights[:, self.order], self.starts, axis=1)  # (R, groups)
        middle = size.cumsum(-1) - (size - 1) / 2
        return middle[:, self.group]
