"""Metrics of images as codes: how well they are reconstructed, and how the codes are used.

A prediction is an example's row: `squared_error` (summed, on a scale from 0 to 1), `values` (pixels
times channels), `ssim` and `codes`. There is no target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lushan.common.units import PERCENT, Unit
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.images import codebook_perplexity, codebook_use, psnr
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

DECIBEL = Unit("dB", digits=2)
BITS = Unit("bits", digits=1)


class PSNR(Metric):
    """Peak signal-to-noise ratio of all pixels of a split: of the mean error, no mean of ratios."""

    higher_is_better = True
    unit = DECIBEL
    formula = staticmethod(psnr)
    groups = False
    fewest = 2
    has_interval = True

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (squared error, values) of an image."""
        return np.array([prediction["squared_error"], prediction["values"]], float)


class SSIM(Metric):
    """Mean structural similarity of images (Wang et al., 2004)."""

    higher_is_better = True
    formula = staticmethod(ratio)
    groups = False
    fewest = 2
    has_interval = True

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (SSIM, 1) of an image."""
        return np.array([prediction["ssim"], 1.0])


class BitsPerImage(Metric):
    """Bits of an image's codes as they are, each of log2(codes) bits."""

    higher_is_better = False
    unit = BITS
    formula = staticmethod(ratio)

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.bits = math.log2(size)

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (bits, 1) of an image."""
        return np.array([len(prediction["codes"]) * self.bits, 1.0])


class Codes(Metric):
    """A score of how often each code occurs in a split."""

    higher_is_better = True
    basis = "codes"
    groups = False

    def __init__(self, size: int = 1) -> None:
        self.width = size
        super().__init__()

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the counts of each code in each image, (N, size), sparse."""
        from scipy.sparse import csr_matrix

        codes = [np.asarray(prediction["codes"], np.int64) for prediction in predictions]
        rows = np.repeat(np.arange(len(codes)), [len(each) for each in codes])
        columns = np.concatenate(codes) if codes else np.zeros(0, np.int64)
        # Equal places are added up.
        shape = (len(codes), self.width)
        return csr_matrix((np.ones(len(columns)), (rows, columns)), shape=shape)


class CodebookUse(Codes):
    """The share of codes that occur."""

    unit = PERCENT
    formula = staticmethod(codebook_use)


class CodebookPerplexity(Codes):
    """The exponential of the entropy of the codes: as many as are used equally often."""

    formula = staticmethod(codebook_perplexity)


def metrics(size: int = 1) -> dict[str, Metric]:
    """Return the metrics of an image tokenizer with so many codes, by name."""
    return {
        "psnr": PSNR(),
        "ssim": SSIM(),
        "codebook_use": CodebookUse(size),
        "codebook_perplexity": CodebookPerplexity(size),
        "bits_per_image": BitsPerImage(size),
    }
