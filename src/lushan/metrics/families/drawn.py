"""Metrics of models of text and images: of tokens by what they are, and of what is drawn.

A prediction is an example's row, with sums over its tokens and, where it was drawn and captioned,
or generated again, the texts of that. There is no target.
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
        return np.array([prediction[f"{self.part}_loss"], prediction[f"{self.part}_tokens"]], float)


class BitsPerDimension(Metric):
    """Bits of images' codes, given what is before them, by the numbers that their pixels have.

    Args:
        values: Of these numbers, for each code.
    """

    higher_is_better = False
    formula = staticmethod(ratio)
    groups = False
    fewest = 2
    has_interval = True

    def __init__(self, values: float = 1) -> None:
        super().__init__()
        self.values = values

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (bits, numbers) of an example."""
        values = prediction["image_tokens"] * self.values
        return np.array([prediction["image_loss"] / math.log(2), values], float)


class Match(Metric):
    """The share of examples in which a text that was written is that of the example."""

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, written: str = "caption") -> None:
        super().__init__()
        self.written = written

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (whether it is right, 1)."""
        return np.array([prediction[self.written] == prediction["text"].strip(), 1.0], float)


class TextMatch(Match):
    """The share of rows that end in a text and whose text that was generated again is the same."""

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (whether it is right, 1), or zeros for a row that ends in an image."""
        if prediction["text"] is None:
            return np.zeros(2)
        return super().example_statistics(prediction, target)


def metrics(*, values: float = 1, generates: bool = False) -> dict[str, Metric]:
    """Return the metrics, by name.

    Args:
        values: Numbers that the pixels of a drawn image have, for each of its codes.
        generates: Whether images are drawn and captioned.
    """
    found = _of_parts(values)
    if generates:
        found |= {"caption_match": Match("caption"), "round_trip_match": Match("round_trip")}
    return found


def interleaved(*, values: float = 1, generates: bool = False) -> dict[str, Metric]:
    """Return the metrics of rows of texts and images in any order, by name.

    Args:
        values: See `metrics`.
        generates: Whether the last part of each row is generated again.
    """
    return _of_parts(values) | ({"text_match": TextMatch("written")} if generates else {})


def _of_parts(values: float) -> dict[str, Metric]:
    return {
        "image_perplexity": PartPerplexity("image"),
        "text_perplexity": PartPerplexity("text"),
        "bits_per_dimension": BitsPerDimension(values),
    }
