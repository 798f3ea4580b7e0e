"""Scores of predicted numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pearson(summed: Array) -> Array:
    """Return Pearson's correlation; nan where either side does not vary.

    Args:
        summed: (..., 6), sums of 1, x, y, x², y² and xy. They must be taken from an origin near the
            numbers: sums of squares lose their digits where the numbers are far from 0.
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(summed, float), -1, 0)
    of_x, of_y = n * xx - x * x, n * yy - y * y
    # Numbers that are all the same leave what the sums were rounded by: each side is asked alone,
    # since beside a side that varies the product would hide it.
    varies = (of_x > 1e-10 * n * xx) & (of_y > 1e-10 * n * yy)
    result = np.full(np.shape(n), math.nan)
    np.divide(n * xy - x * y, np.sqrt(np.maximum(of_x * of_y, 0)), out=result, where=varies)
    return np.clip(result, -1, 1)
