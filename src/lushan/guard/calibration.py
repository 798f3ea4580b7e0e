"""Probabilities that mean what they say, and the threshold of a stated false-positive rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lushan.errors import UserError

Floats = NDArray[np.float64]
_LEAST = 1e-12


def scaled(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities (N, C) at a temperature: those of the logits divided by it."""
    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    found: Floats = np.exp(logits - logsumexp(logits, axis=-1, keepdims=True))
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

    It is an order statistic of the safe texts, so that the bound holds on average over validation
    splits (split conformal prediction).

    Args:
        negatives: Scores of safe texts, none of which was trained on.
        rate: Above 0 and below 1.

    Raises:
        UserError: There are too few of them for so small a rate.
    """
    rank = int(np.floor(rate * (len(negatives) + 1)))
    if rank < 1:
        raise UserError(
            f"so small a rate cannot be found out from {len(negatives):,} safe validation texts",
            key="--guard-rate",
            value=rate,
            hint=f"Write {1 / (len(negatives) + 1):.2g} or more.",
        )
    return float(np.sort(negatives)[-rank])
