"""Bootstrap intervals: seeded, and as wide as theory and scipy say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from lushan.metrics.stats import bootstrap
from lushan.metrics.stats.bootstrap import Interval, f1_interval, grouped, interval


def mean_interval(values, **options) -> Interval | None:
    """Return the interval of the mean of one value an example."""
    rows, sizes = grouped(np.reshape(values, (-1, 1)))
    return interval(lambda weights: weights @ rows[:, 0] / sizes.sum(), sizes, **options)


def test_accuracy_is_the_binomial() -> None:
    right = np.array([1] * 800 + [0] * 200)
    low, high = mean_interval(right, resamples=20000)
    want = scipy.stats.binom(1000, 0.8).ppf([0.025, 0.975]) / 1000
    assert [low, high] == pytest.approx(want, abs=0.003)


def test_mean_is_scipys() -> None:
    values = np.random.default_rng(3).exponential(size=300)
    want = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(0)
    ).confidence_interval
    assert mean_interval(values, resamples=10000) == pytest.approx(tuple(want), rel=0.01)


def test_f1_is_the_naive_loop() -> None:
    rng = np.random.default_rng(5)
    gold = rng.integers(0, 4, 150)
    predicted = rng.integers(0, 4, 150)
    counts = np.stack([np.minimum(gold, predicted) // 2, predicted, gold], axis=1)
    values = []
    for _ in range(4000):
        c, p, g = counts[rng.integers(150, size=150)].sum(0)
        values.append(2 * c / (p + g))
    want = np.quantile(values, [0.025, 0.975])
    assert f1_interval(counts, resamples=4000) == pytest.approx(tuple(want), abs=0.01)


def test_seeded_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    first = mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) == first
    assert mean_interval(values, seed=2) != first
    monkeypatch.setattr(bootstrap, "CHUNK", 120)
    seen: list[int] = []

    def statistic(weights: np.ndarray) -> np.ndarray:
        seen.append(len(weights))
        assert (weights.sum(1) == 50).all()
        return weights @ values / 50

    assert interval(statistic, 50, resamples=5, seed=1) is not None
    assert seen == [2, 2, 1]


def test_edges() -> None:
    assert mean_interval([]) is None
    assert f1_interval([]) is None


def test_where_all_examples_agree_there_is_no_interval() -> None:
    assert mean_interval([0.25]) is None
    assert f1_interval([[0, 0, 0]]) is None
    assert f1_interval([[1, 1, 1]] * 5) is None


def test_undefined_resamples_are_left_out() -> None:
    low, high = interval(lambda w: np.where(w[:, 0] > 0, w[:, 1], np.nan), 3)
    assert 0 <= low < high <= 2
