"""Metrics of reconstructed images and of their codes, against references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from lushan.metrics.families import images as family
from lushan.vision.similarity import ssim

PAIRS = [torch.rand(4, 3, 20, 24, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
CLOSE = (PAIRS[0] * 0.9 + PAIRS[1] * 0.1).clamp(0, 1)


@pytest.mark.parametrize("other", [PAIRS[1], CLOSE, PAIRS[0]])
def test_ssim_is_that_of_torchmetrics(other):
    theirs = structural_similarity_index_measure(other, PAIRS[0], data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(PAIRS[0], other), theirs, atol=1e-5, rtol=1e-4)


def test_ssim_of_an_image_smaller_than_a_window():
    assert ssim(PAIRS[0][..., :4, :4], PAIRS[0][..., :4, :4]).tolist() == pytest.approx([1] * 4)


def rows(other, codes):
    errors = (PAIRS[0] - other).square().flatten(1).double().sum(1).tolist()
    similar = ssim(PAIRS[0], other).tolist()
    return [
        {"squared_error": e, "values": 3 * 20 * 24, "ssim": s, "codes": c}
        for e, s, c in zip(errors, similar, codes, strict=True)
    ]


def test_metrics_of_a_split_are_of_all_its_pixels_and_codes():
    codes = [[0, 1, 1, 2], [0, 0, 0, 0], [5, 1, 1, 1], [0, 0, 2, 5]]
    found = {}
    made = rows(CLOSE, codes)
    for name, metric in family.metrics(8).items():
        metric.update(made[:1], made[:1])
        metric.update(made[1:], made[1:])
        found[name] = float(metric.compute())
    psnr = float(peak_signal_noise_ratio(CLOSE, PAIRS[0], data_range=1.0))
    assert found["psnr"] == pytest.approx(psnr, rel=1e-5)
    assert found["ssim"] == pytest.approx(np.mean([row["ssim"] for row in made]))
    assert found["codebook_use"] == 4 / 8
    shares = np.array([7, 5, 2, 2]) / 16
    assert found["codebook_perplexity"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert found["bits_per_image"] == 4 * 3
