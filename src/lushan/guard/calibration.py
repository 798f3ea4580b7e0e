"""Probabilities that mean what they say, and the threshold of a stated false-positive rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError

Floats = NDArray[np.float64]
_LEAST = 1e-12
CONFIDENCE = 0.95
"""That a stated rate is kept."""


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities (N, C) at a temperature: those of the logits divided by it."""
    from scipy import special

    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    found: Floats = np.exp(logits - special.logsumexp(logits, axis=-1, keepdims=True))
    return found


def temperature(probabilities: Floats, gold: NDArray[np.int64]) -> float:
    """Return the temperature with the least cross-entropy (Guo et al. 2017).

    Args:
        probabilities: (N, C).
        gold: (N,) numbers of the right classes.
    """
    from scipy.optimize import minimize_scalar  # what only predicts does not wait for it

    def loss(log: float) -> float:
        right = scaled(probabilities, float(np.exp(log)))[np.arange(len(gold)), gold]
        return float(-np.log(np.maximum(right, _LEAST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


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
            f"so small a rate cannot be found out from {number:,} safe validation texts",
            key="--guard-rate",
            value=rate,
            hint=f"Write {1 - (1 - CONFIDENCE) ** (1 / max(1, number)):.2g} or more.",
        )
    return float(np.sort(negatives)[-ranks[kept][-1]])
