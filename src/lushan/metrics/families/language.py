"""Metrics of language models: ratios of sums over all predicted tokens of a split.

A prediction is an example's row: `loss` (nats, summed over its tokens), `tokens`, `hits` (tokens
that were the likeliest) and, where all of its text is predicted, `bytes`. There is no target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import exp_ratio, ratio

_OTHER_TOKENS = (
    "the runs split the texts into different tokens, so {metric} has a different meaning in each"
)


class TokenRatio(Metric):
    """A sum over the predicted tokens, by their number."""

    formula = staticmethod(ratio)
    groups = False
    fewest = 2
    same = 1
    otherwise = _OTHER_TOKENS
    instead = "bits_per_byte"
    above = "loss"

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (sum, tokens) of an example."""
        return np.array([prediction[self.above], prediction["tokens"]], float)


class Loss(TokenRatio):
    """Cross-entropy in nats a token."""

    higher_is_better = False
    basis = "losses"


class Perplexity(TokenRatio):
    """The exponential of the loss."""

    higher_is_better = False
    basis = "losses"
    formula = staticmethod(exp_ratio)
    has_interval = True


class TokenAccuracy(TokenRatio):
    """The share of tokens that were the likeliest."""

    higher_is_better = True
    unit = PERCENT
    has_interval = True
    above = "hits"


class BitsPerByte(Metric):
    """Bits per byte to encode a text and its end, comparable over tokenizers."""

    higher_is_better = False
    formula = staticmethod(ratio)
    groups = False
    fewest = 2
    has_interval = True

    def example_statistics(self, prediction: Mapping[str, Any], target: object) -> Array:
        """Return (bits, bytes) of an example."""
        return np.array([prediction["loss"] / math.log(2), prediction["bytes"]], float)


def metrics(*, per_byte: bool = False) -> dict[str, Metric]:
    """Return the metrics of a language model, by name.

    Args:
        per_byte: Whether all of a text is predicted, so that its bytes can be counted.
    """
    found: dict[str, Metric] = {
        "loss": Loss(),
        "perplexity": Perplexity(),
        "token_accuracy": TokenAccuracy(),
    }
    return found | ({"bits_per_byte": BitsPerByte()} if per_byte else {})
