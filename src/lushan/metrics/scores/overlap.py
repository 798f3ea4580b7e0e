"""BLEU and chrF from summed counts of n-grams, equal to sacrebleu's, on its scale: 0 to 100."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.prf import ratio

Array = NDArray[np.float64]

ORDER = 4
"""Tokens of the longest n-grams of BLEU."""
CHARACTERS = 6
"""Characters of the longest n-grams of chrF."""
_TINY = -9999999999.0
"""sacrebleu's logarithm of 0."""


def bleu(summed: Array, *, tokenize: str = "13a", effective_order: bool = False) -> Array:
    """Return the BLEU (...,) of counts (..., 2 + 2 · ORDER); see `overlap.bleu_counts`.

    Args:
        summed: The counts.
        tokenize: How texts were split.
        effective_order: Leave out the orders for which a text is too short, as is usual for single
            sentences; without it they make the score 0.
    """
    del tokenize  # the counts say it
    counts = np.asarray(summed, float)
    length, wanted = counts[..., 0], counts[..., 1]
    correct, total = np.split(counts[..., 2:], 2, axis=-1)
    # Behind the first order without n-grams nothing counts.
    counted = np.logical_and.accumulate(total > 0, axis=-1)
    zero = correct == 0
    # The first order without a match counts half a match, the next a quarter, ...
    smoothed = np.where(zero, ratio(0.5 ** zero.cumsum(-1), total), ratio(correct, total))
    precision = np.where(counted, smoothed, 0.0)
    logs = np.full(precision.shape, _TINY)
    np.log(100 * precision, out=logs, where=precision > 0)
    orders = np.maximum(counted.sum(-1), 1) if effective_order else ORDER
    used = np.where(counted, logs, 0.0 if effective_order else _TINY).sum(-1)
    penalty = np.where(length < wanted, np.exp(np.minimum(0, 1 - ratio(wanted, length))), 1.0)
    penalty = np.where((length == 0) & (wanted > 0), 0.0, penalty)
    return np.where(correct.any(-1), penalty * np.exp(used / orders), 0.0)


def chrf(summed: Array) -> Array:
    """Return the chrF (...,) of counts (..., 3 · CHARACTERS); see `overlap.chrf_counts`.

    Recall counts twice as much as precision. Orders for which a text is too short are left out.
    """
    counts = np.asarray(summed, float)
    predicted, gold, matched = (counts[..., i::3] for i in range(3))
    both = (predicted > 0) & (gold > 0)
    orders = both.sum(-1)
    precision = ratio((ratio(matched, predicted) * both).sum(-1), orders)
    recall = ratio((ratio(matched, gold) * both).sum(-1), orders)
    return 100 * ratio(5 * precision * recall, 4 * precision + recall)
