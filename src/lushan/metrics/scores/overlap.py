"""BLEU and chrF from summed counts of n-grams, equal to sacrebleu's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.overlap import Bleu, Chrf

Array = NDArray[np.float64]


def bleu(summed: Array, **options: Any) -> Array:
    """Return the BLEU of counts (..., 2 + 2 · order); see `lushan.metrics.overlap.Bleu`."""
    return Bleu(**options).score(summed)


def chrf(summed: Array, **options: Any) -> Array:
    """Return the chrF of counts (..., 3 · orders); see `lushan.metrics.overlap.Chrf`."""
    return Chrf(**options).score(summed)
