"""Numbers of text classification: one label, several, or a number a text.

Precision, recall and F1 and their averages are those of `lushan.metrics.prf`. `mcc` is Matthews'
coefficient for any number of classes (Gorodkin, 2004), 0 where it is undefined, as scikit-learn has
it. With several labels a text, `accuracy` is the share of right yes-or-no decisions and
`exact_match` the share of texts whose set of labels is right. `pearson` and `spearman` are nan
where either side does not vary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import prf
from lushan.metrics.bootstrap import Interval, grouped, interval, mean_interval

AVERAGES = prf.AVERAGES
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a split's predictions are worth.

    Attributes:
        metrics: Name to value.
        bounds: Name to a function that finds its interval; it takes a moment, so only when asked.
        report: Rows by label and averages; None for regression.
        confusion: (labels, counts gold × predicted), where each text has one label.
    """

    metrics: dict[str, float]
    bounds: dict[str, Callable[[], Interval]]
    report: prf.Report | None = None
    confusion: tuple[list[str], NDArray[np.int64]] | None = None

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
    width = len(names)
    g, p = (np.array([names[x] for x in side], dtype=np.int64) for side in (gold, predicted))
    counts = np.bincount(g * width + p, minlength=width * width).reshape(width, width)
    # A text matters only by its cell of the confusion matrix: few cells, however many texts.
    cells = np.flatnonzero(counts)
    rows, columns = np.divmod(cells, max(width, 1))
    shape = _Cells(rows, columns, width)

    def statistic(name: str) -> Callable[[], Interval]:
        return lambda: interval(lambda w: shape.metrics(w)[name], counts.ravel()[cells])

    values = shape.metrics(counts.ravel()[cells][None, :].astype(float))
    return Judgement(
        metrics={name: float(value[0]) for name, value in values.items()},
        bounds={name: statistic(name) for name in ("accuracy", "mcc", "f1_micro", "f1_macro")},
        report=prf.report(list(names), counts.diagonal(), counts.sum(0), counts.sum(1)),
        confusion=(list(names), counts),
    )


class _Cells:
    """Metrics from the weights of the confusion matrix's cells."""

    def __init__(self, rows: NDArray[Any], columns: NDArray[Any], width: int) -> None:
        classes = np.arange(width)
        self.gold = (rows[:, None] == classes).astype(float)  # (K, C)
        self.predicted = (columns[:, None] == classes).astype(float)
        self.correct = self.gold * self.predicted

    def metrics(self, weights: Array) -> dict[str, Array]:
        """Name to (R,), from (R, K)."""
        return of_labels(
            *(weights @ side for side in (self.correct, self.predicted, self.gold))  # (R, C)
        )


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
    g, p = _indicators(gold, names), _indicators(predicted, names)  # (N, C)
    exact = (g == p).all(-1)
    right = (g == p).mean(-1) if names else np.ones(len(g))
    parts = (g & p, p, g)
    # Texts with the same gold and predicted labels count alike.
    distinct, sizes = grouped(np.concatenate([g, p], axis=1))
    dg, dp = np.split(distinct, [len(names)], axis=1)

    def f1(average: str) -> Callable[[], Interval]:
        return lambda: interval(
            lambda w: prf.averages(w @ (dg * dp), w @ dp, w @ dg)[f"f1_{average}"], sizes
        )

    columns = [part.sum(0) for part in parts]
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


def _indicators(rows: Sequence[Iterable[str]], names: dict[str, int]) -> NDArray[np.bool_]:
    table = np.zeros((len(rows), len(names)), dtype=bool)
    for i, row in enumerate(rows):
        table[i, [names[x] for x in row]] = True
    return table


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
