"""A test over the folds of a cross-validation, whose training sets overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lushan.metrics.stats.bootstrap import LEVEL
from lushan.metrics.stats.significance import TIE, Difference


def corrected_resampled(a: Sequence[float], b: Sequence[float], ratio: float) -> Difference:
    """The corrected resampled t-test (Nadeau and Bengio, 2003), of numbers paired by fold.

    Folds share most of what is learned from, so that the variance of their mean is not that of
    independent numbers over n. It is taken to be (1 / n + ratio) times the variance of the
    differences, with n - 1 degrees of freedom; also of several cross-validations (Bouckaert and
    Frank, 2004).

    Args:
        a: One number a fold.
        b: The same of the other system, in the same order.
        ratio: Examples that are evaluated to those that are learned from; 1 / (K - 1) of K folds.

    Returns:
        p and the interval are nan where no difference varies.

    Raises:
        ValueError: There are fewer than two pairs, or not as many on both sides.
    """
    from scipy import stats

    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"pairs of numbers are needed, two at least, not {len(a)} and {len(b)}")
    ones, others = np.asarray(a, float), np.asarray(b, float)
    apart = ones - others
    effect = float(apart.mean())
    if np.ptp(apart) <= TIE * max(np.abs(ones).max(), np.abs(others).max()):
        return Difference(effect, math.nan, math.nan, math.nan)
    error = math.sqrt((1 / len(apart) + ratio) * apart.var(ddof=1))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(apart) - 1)) * error
    p = 2 * float(stats.t.sf(abs(effect) / error, len(apart) - 1))
    return Difference(effect, effect - reach, effect + reach, p)
