"""Torch's generators seeded in each step, at no cost for devices that are not there."""

from __future__ import annotations

import torch


def seed_torch(seed: int) -> None:
    """Seed the generators of all devices that there are, as `torch.manual_seed` does.

    That one keeps the seed for kinds of devices that are not in use, too, and each time the stack
    with it: 0.7 ms a call, twice in a step that takes a small model 20.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
