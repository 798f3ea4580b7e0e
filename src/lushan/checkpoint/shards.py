"""Tensors on disk, as many files as processes: each writes and reads its own part.

The format is that of `torch.distributed.checkpoint` over safetensors: a file says of each of its
tensors where in the whole it lies, so that any number of processes can read what any other number
wrote. Nothing in it is unpickled.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner

from lushan.errors import RunFailed
from lushan.run.files import sha256_file

dcp: Any = torch.distributed.checkpoint
"""Its types do not declare what it offers."""


def write(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, str]:
    """Write tensors into a folder; all processes call it, each with its part of each tensor.

    Args:
        tensors: Name to tensor; what is not sharded must be the same on every process.
        folder: There already, and seen by all.

    Returns:
        File to SHA-256, on every process.

    Raises:
        RunFailed: One process could not write, raised on all of them.
    """
    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        # By name alone: `a.b` is no tree here.
        dcp.save(
            dict(tensors),
            storage_writer=writer,
            planner=DefaultSavePlanner(flatten_state_dict=False),
        )
    except CheckpointException as error:
        raise RunFailed(f"cannot save the checkpoint {folder}: {_first(error)}") from error
    own = {p.name: sha256_file(p) for p in folder.glob(f"shard-{dist.get_rank() + 1:05d}-*")}
    parts: list[dict[str, str]] = [{}] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return {name: digest for part in parts for name, digest in part.items()}


def shapes(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder without their values, as such on the meta device."""
    found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {
        name: torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
        for name, entry in found.items()
    }


def read(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Fill tensors with what a folder holds under their names; all processes call it."""
    _read(tensors, folder, alone=False)


def read_whole(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a folder whose names begin so, whole, in this process alone."""
    tensors = {
        name: torch.empty_like(tensor, device="cpu")
        for name, tensor in shapes(folder).items()
        if name.startswith(prefix)
    }
    _read(tensors, folder, alone=True)
    return tensors


def _read(tensors: Mapping[str, Tensor], folder: Path, *, alone: bool) -> None:
    with _quiet():
        dcp.load(
            dict(tensors),
            storage_reader=dcp.HuggingFaceStorageReader(str(folder)),
            planner=DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False),
            no_dist=alone,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _first(error: CheckpointException) -> str:
    rank, (reason, _) = next(iter(sorted(error.failures.items())))
    return f"{str(reason).strip() or type(reason).__name__} (process {rank})"
