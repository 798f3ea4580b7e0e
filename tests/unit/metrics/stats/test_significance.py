"""Tests of significance: against scipy, sacrebleu, published examples, and small cases in full."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from lushan.metrics.overlap import bleu_counts
from lushan.metrics.prf import prf
from lushan.metrics.scores.overlap import bleu
from lushan.metrics.stats import bootstrap
from lushan.metrics.stats.significance import (
    hierarchical,
    holm,
    mcnemar,
    paired_bootstrap,
    randomisation,
    welch,
)

A = np.array([[3, 3, 3], [1, 1, 1], [1, 2, 2], [1, 4, 3], [2, 3, 2]])
B = np.array([[1, 2, 3], [0, 0, 1], [1, 3, 2], [2, 4, 3], [1, 2, 2]])


def f1(counts: np.ndarray) -> np.ndarray:
    correct, predicted, gold = np.moveaxis(counts, -1, 0)
    return prf(correct, predicted, gold)[2]


def mean(counts: np.ndarray) -> np.ndarray:
    """Of rows (value, 1)."""
    return counts[..., 0] / counts[..., 1]


def ones(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], axis=-1)


def resamples(n: int, draws: int | None = None) -> list[list[int]]:
    """All that a bootstrap can draw, each as often as it is drawn."""
    return [list(drawn) for drawn in itertools.product(range(n), repeat=draws or n)]


def test_paired_bootstrap_is_the_enumeration_of_all_resamples() -> None:
    values = np.array([f1(A[d].sum(0)) - f1(B[d].sum(0)) for d in resamples(5)])
    effect = f1(A.sum(0)) - f1(B.sum(0))
    found = paired_bootstrap(A, B, f1, resamples=40000)
    assert found.effect == pytest.approx(effect)
    want = (np.abs(values - values.mean()) >= abs(effect)).mean()
    assert 0.02 < want < 0.5
    assert found.p == pytest.approx(want, abs=0.01)
    low, high = np.quantile(values, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_paired_means_resampling_one_pair() -> None:
    """What is resampled is the pair: the interval of the difference is that of one sample."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=80)
    b = a + rng.normal(0.1, 0.2, size=80)
    found = paired_bootstrap(ones(a), ones(b), mean, resamples=8000)
    want = scipy.stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=8000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(want), abs=0.005)
    assert found.p == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, rel=0.5)


def test_randomisation_is_the_enumeration_of_all_exchanges() -> None:
    effect = f1(A.sum(0)) - f1(B.sum(0))
    values = []
    for kept in itertools.product([True, False], repeat=5):
        mask = np.array(kept)[:, None]
        values.append(f1(np.where(mask, A, B).sum(0)) - f1(np.where(mask, B, A).sum(0)))
    want = (np.abs(values) >= abs(effect) - 1e-12).mean()
    assert want == 14 / 32
    found = randomisation(A, B, f1, resamples=20000)
    assert found.p == pytest.approx(want, abs=0.01)
    boot = paired_bootstrap(A, B, f1, resamples=20000)
    assert (found.effect, found.low, found.high) == (boot.effect, boot.low, boot.high)


def test_randomisation_of_means_is_scipys() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 4, 11).astype(float), rng.integers(0, 3, 11).astype(float)
    want = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    assert 0.02 < want < 0.9
    assert randomisation(ones(a), ones(b), mean, resamples=20000).p == pytest.approx(want, abs=0.01)


def test_randomisation_of_bleu_is_sacrebleus() -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import _paired_ar_test

    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "house"]
    rng = np.random.default_rng(1)
    gold = [" ".join(rng.choice(words, 9)) for _ in range(30)]

    def noisy(share: float) -> list[str]:
        return [
            " ".join(w if rng.random() > share else str(rng.choice(words)) for w in text.split())
            for text in gold
        ]

    one, other = noisy(0.25), noisy(0.3)
    metric = BLEU()
    stats = metric._extract_corpus_statistics(one, [gold])
    base = {"BLEU": (np.array(stats), metric._aggregate_and_compute(stats))}
    _, shown = _paired_ar_test(base, "x", other, [gold], {"BLEU": metric}, n_samples=2000, seed=1)
    sides = [bleu_counts(side, [[g] for g in gold], "13a")[0] for side in (one, other)]
    found = randomisation(*sides, bleu, resamples=8000)
    assert 0.002 < shown["BLEU"].p_value < 0.6
    assert found.p == pytest.approx(shown["BLEU"].p_value, abs=0.03)
    assert found.effect == pytest.approx(base["BLEU"][1].score - shown["BLEU"].score)


def test_several_runs_are_averaged_and_an_example_is_exchanged_in_all() -> None:
    a, b = np.stack([A, A[::-1]]), np.stack([B, A])
    found = randomisation(a, b, f1, resamples=20000)
    values = []
    for kept in itertools.product([True, False], repeat=5):
        mask = np.array(kept)[:, None]
        x, y = np.where(mask, a, b), np.where(mask, b, a)
        values.append(f1(x.sum(1)).mean() - f1(y.sum(1)).mean())
    effect = f1(a.sum(1)).mean() - f1(b.sum(1)).mean()
    assert found.effect == pytest.approx(effect)
    want = (np.abs(values) >= abs(effect) - 1e-12).mean()
    assert found.p == pytest.approx(want, abs=0.01)
    with pytest.raises(ValueError, match="cannot be exchanged"):
        randomisation(a, B, f1)
    assert paired_bootstrap(a, B, f1).effect == pytest.approx(
        f1(a.sum(1)).mean() - f1(B.sum(0)).item()
    )


@pytest.mark.parametrize("test", [paired_bootstrap, randomisation])
def test_systems_that_are_alike_and_systems_that_are_not(test) -> None:
    same = test(A, A, f1, resamples=99)
    assert (same.effect, same.low, same.high, same.p) == (0, 0, 0, 1)
    right, wrong = ones(np.ones(60)), ones(np.zeros(60))
    assert test(right, wrong, mean, resamples=99).p == 1 / 100  # and never 0
    with pytest.raises(ValueError, match="cannot be paired"):
        test(A, B[:3], f1)
    undefined = test(np.zeros((5, 2)), np.zeros((5, 2)), lambda c: np.full(c.shape[:-1], np.nan))
    assert math.isnan(undefined.p)


def test_seeded_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = ones(rng.normal(size=40)), ones(rng.normal(size=40))
    for test in (paired_bootstrap, randomisation):
        whole = test(a, b, mean, resamples=500, seed=3)
        assert test(a, b, mean, resamples=500, seed=3) == whole
        assert test(a, b, mean, resamples=500, seed=4) != whole
        with monkeypatch.context() as patch:
            patch.setattr(bootstrap, "CHUNK", 400)
            parts = test(a, b, mean, resamples=500, seed=3)
        assert parts.p == whole.p
        assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high))


@pytest.mark.parametrize("test", [paired_bootstrap, randomisation])
def test_true_null_hypotheses_are_rejected_as_often_as_said(test) -> None:
    rng = np.random.default_rng(11)
    ps = []
    for seed in range(200):
        a, b = (ones(rng.random(60) < 0.7) for _ in range(2))
        ps.append(test(a, b, mean, resamples=199, seed=seed).p)
    # 5 % of 200 is 10; more than 20 has a chance of one in a thousand.
    assert 2 <= (np.array(ps) <= 0.05).sum() <= 20


def mcnemar_of(both: int, only_a: int, only_b: int, neither: int):
    counts = (both, only_a, only_b, neither)
    return mcnemar(np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts))


def test_mcnemar_of_armitage_and_berry() -> None:
    """Two media for tuberculosis (Armitage and Berry, 1994, p. 127): 12 against 2 of 50."""
    exact = mcnemar_of(20, 12, 2, 16)
    assert exact.effect == pytest.approx(0.2)
    assert exact.p == pytest.approx(0.0129, abs=5e-5)
    # By hand: 2 · (1 + 14 + 91) / 2^14.
    assert exact.p == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert exact.p == pytest.approx(scipy.stats.binomtest(12, 14).pvalue)


def test_mcnemars_interval() -> None:
    found = mcnemar_of(20, 12, 2, 16)
    # Half an example more in each cell: 12.5 against 2.5 of 52.
    variance = (12.5 + 2.5 - 10**2 / 52) / 52**2
    reach = 1.959964 * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((10 / 52 - reach, 10 / 52 + reach), abs=1e-6)
    large = mcnemar_of(5000, 1200, 1000, 3000)
    a = np.repeat([1.0, 1, 0, 0], (5000, 1200, 1000, 3000))
    b = np.repeat([1.0, 0, 1, 0], (5000, 1200, 1000, 3000))
    boot = paired_bootstrap(ones(a), ones(b), mean)
    assert (large.low, large.high) == pytest.approx((boot.low, boot.high), abs=0.001)
    assert mcnemar_of(0, 5, 0, 0).high == 1.0


def test_mcnemar_without_anything_to_tell() -> None:
    same = mcnemar_of(10, 0, 0, 5)
    assert (same.effect, same.p) == (0, 1)
    assert same.low < 0 < same.high
    assert math.isnan(mcnemar([], []).p)
    with pytest.raises(ValueError, match="cannot be paired"):
        mcnemar([1, 0], [1])


def test_welch_by_its_formula() -> None:
    a, b = np.array([0.71, 0.74, 0.69, 0.75, 0.73]), np.array([0.66, 0.70, 0.58])
    variances = a.var(ddof=1) / 5, b.var(ddof=1) / 3
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 4 + variances[1] ** 2 / 2)
    t = (a.mean() - b.mean()) / error
    found = welch(a.tolist(), b.tolist())
    assert found.effect == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(t), freedom))
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    assert found.high - found.effect == pytest.approx(reach)
    assert found.effect - found.low == pytest.approx(reach)
    assert found.p == pytest.approx(scipy.stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert found.p != pytest.approx(scipy.stats.ttest_ind(a, b).pvalue, rel=0.05)


def test_welch_says_nothing_where_nothing_varies() -> None:
    found = welch([0.1] * 3, [0.2] * 3)
    assert found.effect == pytest.approx(-0.1)
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert welch([0.1] * 3, [0.1, 0.2, 0.3]).p < 1
    with pytest.raises(ValueError, match="two numbers"):
        welch([0.1], [0.2, 0.3])


def test_hierarchical_is_the_enumeration_of_runs_and_examples() -> None:
    rng = np.random.default_rng(2)
    a, b = (ones(rng.normal(m, 1, size=(k, 3))) for m, k in ((1.0, 2), (0.0, 3)))
    values = []
    for examples in resamples(3):
        one, other = (mean(side[:, examples].sum(1)) for side in (a, b))
        for mine in resamples(2, 1):
            values += [one[mine].mean() - other[theirs].mean() for theirs in resamples(3, 2)]
    effect = mean(a.sum(1)).mean() - mean(b.sum(1)).mean()
    found = hierarchical(a, b, mean, resamples=30000)
    assert found.effect == pytest.approx(effect)
    distances = np.abs(np.array(values) - np.mean(values))
    assert found.p == pytest.approx((distances >= abs(effect)).mean(), abs=0.01)
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975])), abs=0.02
    )


def test_hierarchical_keeps_the_deviation_between_seeds() -> None:
    """Where examples do not vary, its interval is that of means with sample deviations."""
    rng = np.random.default_rng(8)
    a, b = (np.repeat(rng.normal(size=(6, 1)), 50, axis=1) for _ in range(2))
    found = hierarchical(ones(a), ones(b), mean, resamples=20000)
    error = math.sqrt(sum(side[:, 0].var(ddof=1) / 6 for side in (a, b)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    with pytest.raises(ValueError, match="two runs"):
        hierarchical(ones(a)[:1], ones(b), mean)


def test_holm_by_hand() -> None:
    # Sorted: .005 · 4 = .02, .01 · 3 = .03, .03 · 2 = .06, .04 · 1 = .04, which stays .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_out_what_has_no_p() -> None:
    corrected = holm([0.02, math.nan, 0.04])
    assert corrected[0] == pytest.approx(0.04)
    assert corrected[2] == pytest.approx(0.04)
    assert math.isnan(corrected[1])
