"""The stated false-alarm rate is the real one, and the correction that of the literature."""

import numpy as np
import pytest
from scipy import stats

from lushan.errors import UserError
from lushan.monitor import cusum
from lushan.monitor.correction import Correction
from lushan.monitor.cusum import Baseline, Increments, design


def draw(rng, baseline, texts):
    a, b = baseline.share * baseline.weight, (1 - baseline.share) * baseline.weight
    return rng.binomial(texts, rng.beta(a, b, size=np.shape(texts)))


def simulated(baseline, design_of, raised, threshold, texts, chains=400, windows=4000, seed=5):
    """The mean number of windows between alarms, of many chains at once."""
    rng = np.random.default_rng(seed)
    sums, alarms = np.zeros(chains), 0
    for _ in range(windows):
        n = rng.choice(texts, size=chains)
        added = cusum.log_ratio(draw(rng, baseline, n), n, design_of, raised)
        sums = np.maximum(0, sums + added)
        alarms += int((sums > threshold).sum())
        sums[sums > threshold] = 0
    return chains * windows / alarms


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("share", "rho", "mean"), [(0.1, 0.02, 30), (0.3, 1e-6, 8), (0.02, 0.1, 200)]
)
def test_the_run_length_is_that_of_a_simulation(share, rho, mean):
    baseline = Baseline(share, rho)
    texts = np.random.default_rng(2).poisson(mean, size=60)
    increments = Increments(baseline, baseline, 1.6 * share, texts)
    threshold = increments.threshold(300)
    assert increments.run_length(threshold) == pytest.approx(300, rel=0.02)
    real = simulated(baseline, baseline, 1.6 * share, threshold, texts)
    assert real == pytest.approx(300, rel=0.15)


def test_a_binomial_threshold_would_alarm_too_often_on_counts_that_vary_more():
    real, assumed = Baseline(0.1, 0.05), Baseline(0.1, 1e-6)
    texts = np.full(50, 40)
    threshold = Increments(assumed, assumed, 0.15, texts).threshold(700)
    assert simulated(real, assumed, 0.15, threshold, texts, windows=1000) < 120


def test_estimates_by_moments():
    rng = np.random.default_rng(4)
    texts = rng.poisson(40, size=20_000)
    found = Baseline.of(draw(rng, Baseline(0.15, 0.03), texts), texts)
    assert found.share == pytest.approx(0.15, abs=0.003)
    assert found.rho == pytest.approx(0.03, abs=0.003)
    none = Baseline.of(np.zeros(50, dtype=int), np.full(50, 10))
    assert none.share == pytest.approx(0.001)


@pytest.mark.slow
def test_in_most_baselines_the_rate_is_not_exceeded(monkeypatch):
    """Of 12 baselines 9 or more: without the bootstrap, as at 0.5, that has a chance of 7 %.

    The bootstrap's quantile is that of fewer draws, which is the same but for its noise.
    """
    monkeypatch.setattr(cusum, "DRAWS", 40)
    truth, wanted, kept = Baseline(0.12, 0.02), 500, {0.5: 0, 0.9: 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        texts = rng.poisson(25, size=60)
        found = draw(rng, truth, texts)
        for confidence in kept:
            mine = design(found, texts, lambda share: 1.5 * share, wanted, confidence=confidence)
            real = Increments(truth, mine.baseline, mine.raised, texts).run_length(mine.threshold)
            kept[confidence] += real >= wanted
    assert kept[0.9] >= 9
    assert kept[0.5] < kept[0.9]


def test_the_sum_begins_again_after_an_alarm():
    mine = cusum.Detector(Baseline(0.1, 0.01), 0.3, 2.0)
    assert [mine.step(w, 9, 20) for w in range(2)].count(True) >= 1
    assert cusum.Detector.from_dict(mine.as_dict()) == mine
    mine.step(2, 0, 20)
    assert (mine.value, mine.since) == (0.0, None)
    mine.step(3, 0, 0)
    assert mine.value == 0.0


# Rogan and Gladen


def correction(sensitivity=0.8, specificity=0.9, positives=200, negatives=800):
    return Correction(
        round(sensitivity * positives), positives, round(specificity * negatives), negatives
    )


def test_the_share_of_a_classifier_with_errors():
    mine = correction()
    for share in (0.0, 0.1, 0.5, 1.0):
        found = round(mine.apparent(share) * 10**6)
        assert mine.adjusted(found, 10**6) == pytest.approx(share, abs=1e-5)
    assert mine.adjusted(0, 10) == 0
    assert mine.raised(mine.apparent(0.1), 2) == pytest.approx(mine.apparent(0.2))
    none = Correction.none()
    assert none.adjusted(3, 10) == pytest.approx(0.3)
    assert none.variance(3, 10) == pytest.approx(0.021, rel=1e-3)


def test_its_variance_is_that_of_the_delta_method():
    mine = correction()
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        other = Correction(rng.binomial(200, 0.8), 200, rng.binomial(800, 0.9), 800)
        drawn.append(other.adjusted(rng.binomial(500, mine.apparent(0.3)), 500))
    found = round(mine.apparent(0.3) * 500)
    assert mine.variance(found, 500) == pytest.approx(np.var(drawn), rel=0.1)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_intervals_hold_the_share_as_often_as_they_say(share):
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(800):
        mine = Correction(rng.binomial(100, 0.8), 100, rng.binomial(300, 0.93), 300)
        low, high = mine.interval(rng.binomial(150, correction(0.8, 0.93).apparent(share)), 150)
        inside += low <= share <= high
    assert stats.binomtest(inside, 800, 0.95).pvalue > 1e-3 or inside / 800 > 0.95


def test_a_run_that_does_not_find_the_label_is_refused():
    pairs = [("good", "good")] * 50 + [("bad", "good")] * 5
    with pytest.raises(UserError, match="better than chance"):
        Correction.of(pairs, "bad")
    with pytest.raises(UserError, match="--uncorrected"):
        Correction.of(pairs, "ugly")
    found = Correction.of([(["a", "b"], ["a"]), (["a"], []), ([], []), (["b"], ["b"])], "a")
    assert (found.hits, found.positives, found.rejections, found.negatives) == (1, 2, 2, 2)
