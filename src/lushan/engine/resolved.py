"""What `auto` and defaults came to on a machine: recorded with a run, for whoever repeats it."""

from __future__ import annotations

from typing import Any

import torch

from lushan.compat import transformers
from lushan.engine.trainer import Trainer


def resolved(trainer: Trainer, model: torch.nn.Module) -> dict[str, Any]:
    """Return what was found out at run time and can change digits.

    Returns:
        Config key to value; and what no key sets: `threads`, `device`, `kernels` (the processor's
        instructions that torch uses) and `matmul` (the precision of products in float32).
    """
    return {**trainer.facts, "model.attention": attention_of(model), **machine(trainer)}


def attention_of(model: torch.nn.Module) -> str | None:
    """Return how transformers computes a model's attention; None where it has none of its own."""
    config = getattr(getattr(model, "encoder", None), "config", None)
    return transformers.attention_of(config)


def machine(trainer: Trainer) -> dict[str, Any]:
    """Return what of this machine decides in which order sums are taken."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "threads": torch.get_num_threads(),
        "device": name,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "matmul": torch.get_float32_matmul_precision(),
    }
