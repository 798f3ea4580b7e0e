"""Tests of significance of a difference between two systems, and the difference itself.

Every test gives the difference `a - b` with its 95 % interval beside a two-sided p.

Over examples, for numbers that follow from counts (F1, BLEU, accuracy, perplexity). The systems
were evaluated on the same examples, in the same order; of each, a row of counts is kept, and a
score is computed from summed rows, for many resamples at once.

* `paired_bootstrap`: how far the difference would move with other examples.
* `randomisation`: how often as large a difference comes of exchanging the systems' outputs on a
  random half of the examples. It is exact but for the number of draws.
* `mcnemar`: of right and wrong, one pair an example.

All three take the runs as they are: other seeds may turn the answer around. Over runs:

* `welch`: of one number a run.
* `hierarchical`: other seeds *and* other examples.

A p from random draws counts the observed difference as one of them, so that it is never 0 (Phipson
and Smyth, 2010). `holm` corrects for many tests.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.stats import bootstrap
from lushan.metrics.stats.bootstrap import LEVEL, grouped, percentiles, resampled

RESAMPLES = 5000
TIE = 1e-10
"""Differences that are this much apart, relative to the scores, are equal but for rounding."""

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""From summed counts (..., D) to scores (...,); nan where undefined."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Outcome of a test.

    Attributes:
        effect: `a - b`.
        low: Lower end of its interval.
        high: Upper end.
        p: Two-sided. nan where there is no answer: a score is undefined, or nothing varies.
    """

    effect: float
    low: float
    high: float
    p: float


# Over examples


def paired_bootstrap(
    a: object,
    b: object,
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The paired bootstrap over examples (Efron and Tibshirani, 1993; Riezler and Maxwell, 2005).

    Both systems are evaluated on the same resampled examples. The resampled differences lie around
    the observed one; moved to lie around 0 they are what chance does, and p is the share of them
    that is as far from 0 as the observed difference, to either side. The interval is that of the
    percentiles; where the resamples are skewed it may leave out 0 at a p a little above 0.05,
    or the other way round.

    Args:
        a: Counts (N, D) of a run, or (K, N, D) of several, whose scores are averaged.
        b: The same of the other system, (N, D) or (L, N, D).
        score: From summed counts.
        resamples: How many; those where a score is undefined are left out.
        seed: Of the draws.

    Raises:
        ValueError: The two have not as many examples.
    """
    sides = _sides(a, b)
    rows, sizes = _grouped(sides)

    def difference(weights: Array) -> Array:
        one, other = (_scores(weights, side, score).mean(-1) for side in rows)
        return one - other

    values = resampled(difference, sizes, resamples=resamples, seed=seed)
    return _shifted(_observed(sides, score), values)


def randomisation(
    a: object,
    b: object,
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Approximate randomisation over examples (Noreen, 1989; Riezler and Maxwell, 2005).

    Were the systems alike, each example's two outputs could as well be exchanged. p is the share
    of random exchanges after which the difference is at least as large, to either side. Of several
    runs an example's outputs are exchanged together, since they are not independent. The interval
    is that of `paired_bootstrap`: exchanging says nothing about one.

    Args:
        a: Counts (N, D) of a run, or (K, N, D) of several, whose scores are averaged.
        b: The same of the other system, of as many runs.
        score: From summed counts.
        resamples: How many exchanges.
        seed: Of the draws.

    Raises:
        ValueError: The two have not as many examples or runs.
    """
    sides = _sides(a, b)
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{len(sides[0])} runs cannot be exchanged with {len(sides[1])}")
    observed = _observed(sides, score)
    rows, sizes = _grouped(sides)
    totals = [np.einsum("g,kgd->kd", sizes.astype(float), side) for side in rows]
    moved = rows[1] - rows[0]
    # What counts alike in both systems stays where it is.
    differs = moved.any(axis=(0, 2))
    moved, sizes = moved[:, differs], sizes[differs]
    rng = np.random.default_rng(seed)
    at_once = max(1, bootstrap.CHUNK // max(1, len(sizes)))
    values = []
    for done in range(0, resamples, at_once):
        count = min(at_once, resamples - done)
        # Of a group of equal examples only how many are exchanged matters.
        swapped = rng.binomial(sizes, 0.5, size=(count, len(sizes))).astype(float)
        gained = np.stack([swapped @ run for run in moved], axis=1)  # (R, K, D)
        ones, others = score(totals[0] + gained), score(totals[1] - gained)
        values.append(ones.mean(-1) - others.mean(-1))
    p = _share_beyond(np.concatenate(values), observed)
    found = paired_bootstrap(a, b, score, resamples=resamples, seed=seed)
    return dataclasses.replace(found, p=p)


def mcnemar(a: object, b: object) -> Difference:
    """McNemar's exact test (1947) of two accuracies, from what one system alone has right.

    The interval is Wald's with half an example added to each cell of the table (Agresti and Min,
    2005), which holds its level with few examples too.

    Args:
        a: Whether system `a` has each example right, (N,).
        b: The same of system `b`.

    Returns:
        The difference of the accuracies. Where no example distinguishes the systems, p is 1.

    Raises:
        ValueError: The two have not as many examples.
    """
    from scipy import stats

    ones, others = (np.asarray(side, dtype=bool) for side in (a, b))
    if ones.shape != others.shape or ones.ndim != 1:
        raise ValueError(f"examples of shape {ones.shape} cannot be paired with {others.shape}")
    n = len(ones)
    if not n:
        return Difference(math.nan, math.nan, math.nan, math.nan)
    only_a, only_b = int((ones & ~others).sum()), int((others & ~ones).sum())
    apart = only_a + only_b
    p = float(stats.binomtest(only_a, apart, 0.5).pvalue) if apart else 1.0
    centre, more = (only_a - only_b) / (n + 2), apart + 1
    spread = math.sqrt(more - (only_a - only_b) ** 2 / (n + 2)) / (n + 2)
    reach = float(stats.norm.ppf((1 + LEVEL) / 2)) * spread
    low, high = max(-1.0, centre - reach), min(1.0, centre + reach)
    return Difference((only_a - only_b) / n, low, high, p)


# Over runs


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Welch's t-test (1947) of two means, whose variances may differ.

    Args:
        a: One number a run.
        b: The same of the other system; not necessarily as many.

    Returns:
        p and the interval are nan where no number varies, since the test knows no chance then.

    Raises:
        ValueError: There are fewer than two numbers on a side.
    """
    from scipy import stats

    if min(len(a), len(b)) < 2:
        raise ValueError(f"Welch's test needs two numbers a side, not {len(a)} and {len(b)}")
    ones, others = np.asarray(a, float), np.asarray(b, float)
    effect = float(ones.mean() - others.mean())
    # Of equal numbers numpy's deviation is not always 0, but of the size of a rounding error.
    if all(np.ptp(side) <= TIE * np.abs(side).max() for side in (ones, others)):
        return Difference(effect, math.nan, math.nan, math.nan)
    with warnings.catch_warnings():
        # One side may be constant, and scipy warns of it; the other's variance is enough.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_ind(ones, others, equal_var=False)
    within = found.confidence_interval(LEVEL)
    return Difference(effect, float(within.low), float(within.high), float(found.pvalue))


def stratified_welch(
    strata: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> Difference:
    """The mean difference of two systems over several settings, each compared within itself.

    The differences of the strata's means are averaged, and the variances of these means added up,
    with degrees of freedom by Satterthwaite (1946). Of one stratum it is `welch`.

    Args:
        strata: Of each setting the numbers of one system's runs, and of the other's.

    Returns:
        p and the interval are nan where no number varies.

    Raises:
        ValueError: There are fewer than two numbers on a side.
    """
    from scipy import stats

    if len(strata) == 1:
        return welch(*strata[0])
    sides = [np.asarray(side, float) for pair in strata for side in pair]
    if min(map(len, sides)) < 2:
        raise ValueError("Welch's test needs two numbers a side in each stratum")
    effect = float(np.mean([np.mean(a) - np.mean(b) for a, b in strata]))
    parts = np.array([np.var(side, ddof=1) / len(side) for side in sides]) / len(strata) ** 2
    if all(np.ptp(side) <= TIE * np.abs(side).max() for side in sides):
        return Difference(effect, math.nan, math.nan, math.nan)
    freedom = parts.sum() ** 2 / sum(parts**2 / [len(side) - 1 for side in sides])
    error = math.sqrt(parts.sum())
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(effect) / error, freedom))
    return Difference(effect, effect - reach, effect + reach, p)


def hierarchical(
    a: object,
    b: object,
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """A bootstrap over seeds and examples at once.

    Each resample draws examples, the same for all runs, and of each system runs. All seeds see the
    same examples, so the two are drawn independently (Owen, 2007). Of K runs K - 1 are drawn: K of
    K would make the deviation between seeds too small by the factor sqrt((K - 1) / K), and a
    handful of seeds is all there ever is (Rao and Wu, 1988). p and interval are made as in
    `paired_bootstrap`.

    Args:
        a: Counts (K, N, D) of the runs of a system, at least two.
        b: The same of the other system, (L, N, D).
        score: From summed counts.
        resamples: How many.
        seed: Of the draws.

    Raises:
        ValueError: The two have not as many examples, or there are fewer than two runs on a side.
    """
    sides = _sides(a, b)
    if min(map(len, sides)) < 2:
        raise ValueError(f"two runs a side are needed, not {len(sides[0])} and {len(sides[1])}")
    rows, sizes = _grouped(sides)
    rng = np.random.default_rng([seed, 1])  # another stream than that of the examples

    def difference(weights: Array) -> Array:
        means = []
        for side in rows:
            scores = _scores(weights, side, score)  # (R, K)
            drawn = rng.integers(len(side), size=(len(weights), len(side) - 1))
            means.append(np.take_along_axis(scores, drawn, axis=1).mean(-1))
        return means[0] - means[1]

    values = resampled(difference, sizes, resamples=resamples, seed=seed)
    return _shifted(_observed(sides, score), values)


# Over many tests


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the p with which each test of a family stands.

    Rejecting what is below a level keeps the chance of any false rejection below it, whatever the
    tests have to do with one another.

    Args:
        values: One p a test; nan is none, and does not count.

    Returns:
        As many, in the same order.
    """
    p = np.asarray(values, float)
    corrected = np.full(len(p), math.nan)
    order = [place for place in np.argsort(p, kind="stable") if not math.isnan(p[place])]
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[place]))
        corrected[place] = largest
    return corrected.tolist()


def _sides(a: object, b: object) -> tuple[Array, Array]:
    """Both as (runs, N, D)."""
    sides = tuple(np.asarray(side, float) for side in (a, b))
    one, other = (side[None] if side.ndim == 2 else side for side in sides)
    if one.ndim != 3 or other.ndim != 3 or one.shape[1:] != other.shape[1:]:
        raise ValueError(f"counts of shape {one.shape} cannot be paired with {other.shape}")
    return one, other


def _grouped(sides: tuple[Array, Array]) -> tuple[tuple[Array, Array], NDArray[np.int64]]:
    """Examples that count alike in all runs as one: (K, G, D) and (L, G, D), and sizes (G,)."""
    runs, width = len(sides[0]), sides[0].shape[-1]
    both = np.concatenate(sides)  # (K + L, N, D)
    rows, sizes = grouped(both.transpose(1, 0, 2).reshape(both.shape[1], -1))
    together = rows.reshape(len(rows), len(both), width).transpose(1, 0, 2)
    return (together[:runs], together[runs:]), sizes


def _scores(weights: Array, runs: Array, score: Score) -> Array:
    """The score of each run (R, K) at weights (R, G), from counts (K, G, D)."""
    return np.stack([score(weights @ run) for run in runs], axis=1)


def _observed(sides: tuple[Array, Array], score: Score) -> tuple[float, float]:
    one, other = (float(score(side.sum(1)).mean()) for side in sides)
    return one, other


def _shifted(observed: tuple[float, float], values: Array) -> Difference:
    if math.isnan(sum(observed)) or not len(values):
        return Difference(observed[0] - observed[1], math.nan, math.nan, math.nan)
    low, high = percentiles(values)
    p = _share_beyond(values - values.mean(), observed)
    return Difference(observed[0] - observed[1], low, high, p)


def _share_beyond(values: Array, observed: tuple[float, float]) -> float:
    """Share of some differences that is at least as large as the observed one, itself among them.

    Undefined ones are left out.
    """
    effect = abs(observed[0] - observed[1])
    if math.isnan(effect):
        return math.nan
    defined = values[~np.isnan(values)]
    least = effect - TIE * max(map(abs, observed))
    return (1 + int((np.abs(defined) >= least).sum())) / (1 + len(defined))
