"""Correlations of a weighted sample, for many weightings at once, as a bootstrap asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From weights (R, N) to values (R,)."""


def pearson(x: Sequence[float], y: Sequence[float]) -> Statistic:
    """Return Pearson's correlation of two samples (N,); nan where either does not vary."""
    one, other = (np.asarray(side, float)[None, :] for side in (x, y))
    return lambda weights: _pearson(weights, one, other)


def spearman(x: Sequence[float], y: Sequence[float]) -> Statistic:
    """Return Spearman's rank correlation of two samples (N,); nan where either does not vary."""
    one, other = (_Ranks(np.asarray(side, float)) for side in (x, y))
    return lambda weights: _pearson(weights, one.of(weights), other.of(weights))


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
    """Return whether drawn values differ: exactly, since a rounded mean adds a deviation."""
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
