"""Scores from counts by class: (..., 3 · C), what is right, predicted and in gold, C columns each.

See `lushan.metrics.prf` for what the averages leave out, and for what is undefined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import prf

Array = NDArray[np.float64]


def accuracy(summed: Array) -> Array:
    """Return the share of right examples; nan without any."""
    correct, _, gold = _sides(summed)
    total, right = gold.sum(-1), correct.sum(-1)
    return np.where(total > 0, prf.ratio(right, total), np.nan)


def mcc(summed: Array) -> Array:
    """Return Matthews' coefficient for any number of classes (Gorodkin, 2004); 0 if undefined."""
    correct, predicted, gold = _sides(summed)
    total, right = gold.sum(-1), correct.sum(-1)
    covariance = right * total - (predicted * gold).sum(-1)
    spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (gold**2).sum(-1))
    return prf.ratio(covariance, np.sqrt(spread))


def averaged(summed: Array, *, name: str) -> Array:
    """Return one of the averages of precision, recall and F1.

    Args:
        summed: (..., 3 · C).
        name: `f1_macro`, `precision_micro`, ...
    """
    return prf.averages(*_sides(summed))[name]


def _sides(summed: Array) -> tuple[Array, Array, Array]:
    counts = np.asarray(summed, float)
    width = counts.shape[-1] // 3
    correct, predicted, gold = (counts[..., i * width : (i + 1) * width] for i in range(3))
    return correct, predicted, gold
