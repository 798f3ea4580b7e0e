"""The threshold of answering with nothing."""

import numpy as np
import pytest

from lushan.metrics.threshold import best_threshold


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    gaps, spans = rng.normal(size=20), rng.random(20)
    none = (rng.random(20) < 0.5).astype(float)

    def total(threshold):
        return np.where(gaps > threshold, none, spans).sum()

    found = best_threshold(gaps, spans, none)
    others = np.concatenate([gaps - 1e-9, gaps + 1e-9, [-10, 10]])
    assert total(found) == pytest.approx(max(map(total, others)))
