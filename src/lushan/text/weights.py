"""Weights of a message's tokens in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WEIGHT = "weight"
"""A message's key for the weight of its tokens in the loss; 1 where it has none."""


def weight_of(message: Mapping[str, Any]) -> float:
    """The weight of a message's tokens in the loss."""
    return float(message.get(WEIGHT, 1))


def is_learned(message: Mapping[str, Any]) -> bool:
    """Return whether a message is the assistant's and has a weight."""
    return message["role"] == "assistant" and weight_of(message) > 0
