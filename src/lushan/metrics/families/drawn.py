"""Metrics of models of text and images: of tokens by what they are, and of what is drawn.

A prediction is an example's row, with sums over its tokens and, where it was drawn and captioned,
the texts of that. There is no target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.families.language import TokenRatio
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import exp_ratio, ratio


class PartPerplexity(TokenRatio):
    """The exponential of the mean loss of some tokens.

    Args:
        part: Which: `image` or `text`.
    """

    higher_is_better = False
    formula = staticmethod(exp_ratio)
    has_interval = True

    def __init__(self, part: str = "image") -> None:
        super().__init__()
        self.part = part

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (loss, tokens) of an example."""
        del target
        return np.array([prediction[f"{self.part}_loss"], prediction[f"{self.part}_tokens"]], float)


class BitsPerDimension(Metric):
    """Bits of an image's codes, given its text, by the numbers that its pixels have.

    Args:
        size: Pixels of a side.
    """

    higher_is_better = False
    formula = staticmethod(ratio)
    groups = False
    fewest = 2
    has_interval = True

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.dimensions = 3 * size**2

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (bits, numbers) of an example."""
        del target
        return np.array([prediction["image_loss"] / math.log(2), self.dimensions], float)


class Match(Metric):
    """The share of examples in which a text that was written is that of the example.

    Args:
        written: The entry of the written text.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, written: str = "caption") -> None:
        super().__init__()
        self.written = written

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (whether it is right, 1)."""
        del target
        return np.array([prediction[self.written] == prediction["text"].strip(), 1.0], float)


def metrics(*, size: int = 1, generates: bool = False) -> dict[str, Metric]:
    """Return the metrics, by name.

    Args:
        size: Pixels of a side of a drawn image.
        generates: Whether images are drawn and captioned.
    """
    found: dict[str, Metric] = {
        "image_perplexity": PartPerplexity("image"),
        "text_perplexity": PartPerplexity("text"),
        "bits_per_dimension": BitsPerDimension(size),
    }
    if generates:
        found |= {"caption_match": Match("caption"), "round_trip_match": Match("round_trip")}
    return found
