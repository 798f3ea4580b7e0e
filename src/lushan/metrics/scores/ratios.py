"""Ratios of two sums: means over examples, over tokens, over bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ratio(summed: Array) -> Array:
    """Return the first sum over the second: of (value, 1) of each example their mean."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return summed[..., 0] / summed[..., 1]


def exp_ratio(summed: Array) -> Array:
    """Return the exponential of `ratio`: the perplexity, from (loss, tokens)."""
    with np.errstate(over="ignore"):
        return np.exp(ratio(summed))
