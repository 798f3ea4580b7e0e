"""Scores of reconstructed images, from summed statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def psnr(summed: Array) -> Array:
    """Return the peak signal-to-noise ratio in dB, from (squared error, values) on a scale to 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(summed[..., 1] / summed[..., 0])


def codebook_use(summed: Array) -> Array:
    """Return the share of codes that occur, from the count of each."""
    return (summed > 0).mean(-1)


def codebook_perplexity(summed: Array) -> Array:
    """Return the exponential of the entropy of the codes, from the count of each."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = summed / summed.sum(-1, keepdims=True)
        terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    return np.exp(-terms.sum(-1))
