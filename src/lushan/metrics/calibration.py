"""How far probabilities can be believed, and thresholds on them; from numbers alone, without torch.

A model is calibrated where of what it gives 70 % to, 70 % is so (Guo et al., 2017,
arXiv:1706.04599).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 15
"""Of equal width; a bin holds its upper end, and not its lower one."""
_LEAST = 1e-12
_LOG_TEMPERATURES = (math.log(0.05), math.log(20.0))


@dataclasses.dataclass(frozen=True)
class Bin:
    """A bin of the reliability diagram.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        count: How many are in it.
        stated: Their mean probability; None where it is empty.
        observed: The share of them that is so.
    """

    low: float
    high: float
    count: int
    stated: float | None
    observed: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Calibration of probabilities.

    Attributes:
        bins: The reliability diagram.
        ece: Expected calibration error over these bins.
        brier: Mean squared error of the probabilities: of one of several classes summed over the
            classes, and halved where there are two.
        nll: Mean negative log-likelihood, in nats.
    """

    bins: list[Bin]
    ece: float
    brier: float
    nll: float


def reliability(stated: Array, observed: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Return the bins of a reliability diagram.

    Args:
        stated: Probabilities, (N,).
        observed: Whether each was so, (N,).
        bins: How many.
    """
    ends = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(ends, stated, side="left") - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        means = (stated[inside].mean(), observed[inside].mean()) if inside.any() else (None, None)
        found.append(Bin(ends[number], ends[number + 1], int(inside.sum()), *means))
    return found


def expected_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean of |observed - stated| over examples."""
    total = sum(one.count for one in bins)
    gaps = [one.count * abs(one.observed - one.stated) for one in bins if one.count]  # type: ignore[operator]
    return float(sum(gaps) / total) if total else math.nan


def of_one(p: Array, gold: NDArray[np.int64]) -> Calibration:
    """Return the calibration of one class of several: that of the most probable one.

    Args:
        p: (N, C) probabilities.
        gold: (N,) numbers of classes.
    """
    rows = np.arange(len(p))
    bins = reliability(p.max(1), p.argmax(1) == gold)
    right = np.zeros_like(p)
    right[rows, gold] = 1
    brier = ((p - right) ** 2).sum(1).mean() / (2 if p.shape[1] == 2 else 1)
    nll = -np.log(np.clip(p[rows, gold], _LEAST, 1)).mean()
    return Calibration(bins, expected_error(bins), float(brier), float(nll))


def of_each(p: Array, gold: NDArray[np.bool_]) -> Calibration:
    """Return the calibration of any number of classes: that of each by itself.

    Args:
        p: (N, C) probabilities.
        gold: (N, C), whether each class is there.
    """
    bins = reliability(p.ravel(), gold.ravel())
    kept = np.clip(p, _LEAST, 1 - _LEAST)
    nll = -np.where(gold, np.log(kept), np.log1p(-kept)).mean()
    return Calibration(bins, expected_error(bins), float(((p - gold) ** 2).mean()), float(nll))


def calibration(p: Array, gold: NDArray[Any]) -> Calibration:
    """Return `of_one` of gold classes (N,), and `of_each` of (N, C)."""
    return of_one(p, gold) if gold.ndim == 1 else of_each(p, gold)


def with_temperature(p: Array, temperature: float, *, several: bool) -> Array:
    """Return probabilities at a temperature: their logits over it.

    Args:
        p: (N, C).
        temperature: Above 1 makes them less sure.
        several: Whether each class has a probability by itself.
    """
    kept = np.clip(p, _LEAST, 1 - _LEAST if several else 1)
    if several:
        return 1 / (1 + np.exp(-(np.log(kept) - np.log1p(-kept)) / temperature))
    logits = np.log(kept) / temperature
    grown = np.exp(logits - logits.max(1, keepdims=True))
    return grown / grown.sum(1, keepdims=True)


def fitted_temperature(p: Array, gold: NDArray[Any]) -> float:
    """Return the temperature with the least negative log-likelihood (Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    several = gold.ndim > 1

    def loss(log: float) -> float:
        return calibration(with_temperature(p, math.exp(log), several=several), gold).nll

    options = {"xatol": 1e-6}
    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options=options)
    return math.exp(found.x)


# One class against the rest


@dataclasses.dataclass(frozen=True)
class Curve:
    """Decisions on one class at every threshold, from the highest one down.

    Attributes:
        thresholds: A class counts as there from this probability on, (K,).
        right: Found and there, (K,).
        found: Found, (K,).
        there: How many are there.
        total: Of how many.
    """

    thresholds: Array
    right: Array
    found: Array
    there: int
    total: int

    @property
    def precision(self) -> Array:
        """Share of what is found that is there."""
        return self.right / self.found

    @property
    def recall(self) -> Array:
        """Share of what is there that is found."""
        return self.right / max(1, self.there)

    @property
    def f1(self) -> Array:
        """Harmonic mean of both."""
        return 2 * self.right / (self.found + self.there)

    @property
    def false_positives(self) -> Array:
        """Share of what is not there that is found."""
        return (self.found - self.right) / max(1, self.total - self.there)

    @property
    def average_precision(self) -> float:
        """Precision, averaged over the steps of recall; nan where nothing is there."""
        if not self.there:
            return math.nan
        return float((np.diff(self.recall, prepend=0) * self.precision).sum())

    @property
    def area(self) -> float:
        """Area below the ROC curve; nan where all or nothing is there."""
        if self.there in (0, self.total):
            return math.nan
        x, y = (np.concatenate([[0.0], side]) for side in (self.false_positives, self.recall))
        return float(np.trapezoid(y, x))


def curve(p: Array, there: NDArray[np.bool_]) -> Curve:
    """Return the decisions on a class.

    Args:
        p: Its probability in each example, (N,).
        there: Whether it is there, (N,).
    """
    order = np.argsort(-p, kind="stable")
    sorted_p, right = p[order], np.cumsum(there[order])
    last = np.append(np.flatnonzero(np.diff(sorted_p)), len(p) - 1)  # of equal probabilities
    counts = right[last].astype(float), (last + 1).astype(float)
    return Curve(sorted_p[last], *counts, int(there.sum()), len(p))


AIMS = ("precision", "recall", "f1")


@dataclasses.dataclass(frozen=True)
class Aim:
    """What a threshold is chosen for.

    Attributes:
        metric: `precision` or `recall`, at least `least` of it with as much as can be of the
            other; or `f1`, the highest.
        least: See `metric`.
    """

    metric: str
    least: float = 0.0

    def __str__(self) -> str:
        return "highest F1" if self.metric == "f1" else f"{self.metric} ≥ {100 * self.least:g} %"

    def threshold(self, known: Curve) -> float | None:
        """Return the threshold on a curve; None where the aim cannot be reached on it."""
        wanted = {"precision": known.recall, "recall": known.precision, "f1": known.f1}
        values = wanted[self.metric]
        if self.metric != "f1":
            values = np.where(getattr(known, self.metric) >= self.least, values, -1.0)
        best = int(np.argmax(values))
        return float(known.thresholds[best]) if known.there and values[best] > 0 else None


def at(p: Array, there: NDArray[np.bool_], threshold: float) -> tuple[float, float, float]:
    """Return precision, recall and F1 of a class at a threshold; 0 where nothing is found."""
    found = p >= threshold
    right = float((found & there).sum())
    precision, recall = right / max(1, found.sum()), right / max(1, there.sum())
    return precision, recall, 2 * right / max(1, found.sum() + there.sum())
