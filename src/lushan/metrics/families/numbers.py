"""Metrics of predicted numbers: one a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from lushan.metrics import correlation
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.numbers import pearson
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows
from lushan.metrics.stats.bootstrap import Interval, interval


class SquaredError(Metric):
    """The mean squared error."""

    higher_is_better = False
    formula = staticmethod(ratio)
    has_interval = True

    def example_statistics(self, prediction: float, target: float) -> Array:
        """Return (squared error, 1)."""
        return np.array([(prediction - target) ** 2, 1.0])


class AbsoluteError(Metric):
    """The mean absolute error."""

    higher_is_better = False
    formula = staticmethod(ratio)
    has_interval = True

    def example_statistics(self, prediction: float, target: float) -> Array:
        """Return (absolute error, 1)."""
        return np.array([abs(prediction - target), 1.0])


class Correlation(Metric):
    """A correlation of predicted numbers with those that are right.

    Attributes:
        statistic: Targets and predictions to a function of resampled weights.
    """

    higher_is_better = True
    has_interval = True
    statistic: ClassVar[Callable[..., correlation.Statistic]]

    def interval(
        self, predictions: Sequence[float], targets: Sequence[float], rows: Rows | None
    ) -> Interval | None:
        """Return the bootstrap interval."""
        return interval(self.statistic(targets, predictions), len(targets))

    def _once(self, predictions: Sequence[float], targets: Sequence[float]) -> float:
        """Return the correlation of all examples."""
        return float(self.statistic(targets, predictions)(np.ones((1, len(targets))))[0])


class Pearson(Correlation):
    """Pearson's correlation; nan where either side does not vary."""

    statistic = staticmethod(correlation.pearson)
    formula = staticmethod(pearson)
    width = 6

    def __init__(self, origin: float = 0.0) -> None:
        super().__init__()
        self.origin = origin

    def example_statistics(self, prediction: float, target: float) -> Array:
        """Return the terms of the sums that `scores.numbers.pearson` takes, (6,)."""
        x, y = target - self.origin, prediction - self.origin
        return np.array([1.0, x, y, x * x, y * y, x * y])

    def of_rows(
        self, predictions: Sequence[float], targets: Sequence[float], rows: Rows | None
    ) -> float:
        """Return the correlation, with all its digits whatever the origin is."""
        return self._once(predictions, targets)


class Spearman(Correlation):
    """Spearman's rank correlation, which is no sum over examples: a rank depends on all others."""

    statistic = staticmethod(correlation.spearman)

    def of_split(self, predictions: Sequence[float], targets: Sequence[float]) -> float:
        """Return the correlation of the ranks."""
        return self._once(predictions, targets)


def metrics(*, origin: float = 0.0) -> dict[str, Metric]:
    """Return the metrics of numbers, by name.

    Args:
        origin: A number near the targets, from which sums of squares keep their digits.
    """
    return {
        "pearson": Pearson(origin),
        "spearman": Spearman(),
        "mse": SquaredError(),
        "mae": AbsoluteError(),
    }
