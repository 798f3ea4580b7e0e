"""Shares of the data, which processes have, and what they know together."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lushan.engine.distributed.strategies import Sharded


def data_share(trainer: pl.Trainer) -> tuple[int, int]:
    """Return which share of a global batch this process sees, and how many there are."""
    strategy = trainer.strategy
    if isinstance(strategy, Sharded):
        return strategy.data_rank, strategy.data_ranks
    return trainer.global_rank, trainer.world_size


def model_share(trainer: pl.Trainer) -> int:
    """Return which part of each matrix this process has; 0 where matrices are whole."""
    strategy = trainer.strategy
    if isinstance(strategy, Sharded):
        return trainer.global_rank % strategy.tensor_parallel
    return 0


def walks_together(trainer: pl.Trainer) -> bool:
    """Return whether each pass through the model needs all processes."""
    return isinstance(trainer.strategy, Sharded) and trainer.strategy.data_ranks > 1


def summed(trainer: pl.Trainer, value: Tensor | float) -> float:
    """Return the sum of a number over all shares of the data; all processes must call it."""
    world = trainer.world_size
    if world == 1:
        return float(value)
    device = trainer.strategy.root_device
    share = torch.as_tensor(value, dtype=torch.float64, device=device).clone()
    total = trainer.strategy.reduce(share, reduce_op="sum")
    return float(total) * data_share(trainer)[1] / world


def of_all_shares(trainer: pl.Trainer, value: object) -> list[Any]:
    """Return what the processes hold, once for each share of the data; all must call it."""
    world = trainer.world_size
    if world == 1:
        return [value]
    parts: list[Any] = [None] * world
    torch.distributed.all_gather_object(parts, value)
    return parts[:: world // data_share(trainer)[1]]
