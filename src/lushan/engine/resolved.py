"""Resolved values of `auto` and of defaults on a machine: recorded with a run, to reproduce it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from lushan.compat import transformers
from lushan.engine.trainer import Trainer


def resolved(
    trainer: Trainer, attention: str | None, more: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what was found out at run time and can change digits.

    Returns:
        Config key to value; and what no key sets: `threads`, `device`, `kernels` (the processor's
        instructions that torch uses) and `matmul` (the precision of products in float32).
    """
    return {**trainer.facts, **more, "model.attention": attention, **trainer.machine}


def attention_of(model: torch.nn.Module) -> str | None:
    """Return how transformers computes a model's attention; None where it has none of its own."""
    config = getattr(getattr(model, "encoder", None), "config", None)
    return transformers.attention_of(config)
