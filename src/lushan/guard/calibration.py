"""The threshold of a stated false-positive rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
"""That a stated rate is kept."""


def threshold(negatives: Floats, rate: float) -> float:
    """Return the score above which a safe text lies with a probability of `rate` at most.

    It is an order statistic of the safe texts. A new one lies above the kth largest of n with a
    probability that has a Beta(k, n - k + 1) distribution, whatever that of the scores: the largest
    k is taken that keeps the rate with `CONFIDENCE` over validation splits (Vovk 2012).

    Args:
        negatives: Scores of safe texts, none of which was trained on.
        rate: Above 0 and below 1.

    Raises:
        UserError: There are too few of them for so small a rate.
    """
    from scipy import special

    number = len(negatives)
    ranks = np.arange(1, number + 1)
    kept = special.bdtr(ranks - 1, number, rate) <= 1 - CONFIDENCE
    if not kept.any():
        raise UserError(
            f"this rate is too small to estimate from {number:,} safe validation texts",
            key="--guard-rate",
            value=rate,
            hint=f"Write {1 - (1 - CONFIDENCE) ** (1 / max(1, number)):.2g} or more.",
        )
    return float(np.sort(negatives)[-ranks[kept][-1]])
