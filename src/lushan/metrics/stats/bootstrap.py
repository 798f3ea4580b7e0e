"""Percentile bootstrap over examples: how far a number would move with other test examples.

A resample draws as many examples as there are, with replacement. What matters is only how often
each was drawn, its weight; so a statistic is a function of weights, computed for many resamples
at once. Examples that count alike (say, one entity, found) are one group with a size, and the
weights of the groups are multinomial: the same distribution, with far fewer numbers to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.prf import prf

RESAMPLES = 2000
LEVEL = 0.95
CHUNK = 2_000_000
"""Weights held in memory at a time (16 MB)."""

Array = NDArray[np.float64]
Interval = tuple[float, float]


def interval(
    statistic: Callable[[Array], Array],
    sizes: NDArray[np.int64] | int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    width: int = 0,
) -> Interval | None:
    """Bootstrap interval of any statistic.

    Args:
        statistic: From weights (R, K) to values (R,): its value were each group there as often as
            its weight says. A resample where it is nan is left out.
        sizes: Examples in each of the K groups; a number stands for so many groups of one.
        resamples: How many.
        seed: Of the draws; the same seed gives the same interval.
        width: Numbers that the statistic holds of each resample, where they are more than K.

    Returns:
        (low, high); None where there is no example or no defined resample, and where all resamples
        agree: of 74 examples that are all right a bootstrap cannot say that the next one may be
        wrong, and an interval without a width would say that it cannot be.
    """
    values = resampled(statistic, sizes, resamples=resamples, seed=seed, width=width)
    if not len(values) or values.min() == values.max():
        return None
    return percentiles(values)


def resampled(
    statistic: Callable[[Array], Array],
    sizes: NDArray[np.int64] | int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    width: int = 0,
) -> Array:
    """The values (R,) of a statistic in the resamples where it is defined; see `interval`."""
    groups = np.ones(sizes, dtype=np.int64) if isinstance(sizes, int) else np.asarray(sizes)
    if not groups.sum():
        return np.zeros(0)
    rng = np.random.default_rng(seed)
    at_once = max(1, CHUNK // max(len(groups), width))
    values: list[Array] = []
    for done in range(0, resamples, at_once):
        weights = _draw(rng, groups, min(at_once, resamples - done))
        values.append(np.asarray(statistic(weights), float))
    defined = np.concatenate(values)
    return defined[~np.isnan(defined)]


def percentiles(values: Array) -> Interval:
    """Return the middle 95 % of some resampled values, at least one."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _draw(rng: np.random.Generator, groups: NDArray[np.int64], count: int) -> Array:
    total, width = int(groups.sum()), len(groups)
    if total > width:
        return rng.multinomial(total, groups / total, size=count).astype(float)
    drawn = rng.integers(width, size=(count, total)) + np.arange(count)[:, None] * width
    return np.bincount(drawn.ravel(), minlength=count * width).reshape(count, width).astype(float)


def grouped(rows: object) -> tuple[Array, NDArray[np.int64]]:
    """Distinct rows (K, D) and how often each occurs (K,)."""
    distinct, sizes = np.unique(np.asarray(rows, float), axis=0, return_counts=True)
    return distinct, sizes.astype(np.int64)


def f1_interval(counts: Any, **options: Any) -> Interval | None:
    """Interval of the micro F1.

    Args:
        counts: (N, 3), of each example the number of correct, predicted and gold entities.
        options: As of `interval`.
    """
    rows, sizes = grouped(np.reshape(counts, (-1, 3)))

    def f1(weights: Array) -> Array:
        correct, predicted, gold = (weights @ rows).T
        return prf(correct, predicted, gold)[2]

    return interval(f1, sizes, **options)
