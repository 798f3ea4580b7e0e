"""Checkpoint folders read and written for Lightning, and the newest whole one found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import Tensor

from lushan.checkpoint.dtensor import any_sharded
from lushan.checkpoint.folder import STATE, write_folder
from lushan.checkpoint.weights import WEIGHTS, Damaged, is_in_shards, load_weights, verify


def write_weights(folder: Path, weights: dict[str, Tensor], *, first: bool) -> None:
    """Write weights alone, whole; all processes call it, and the first one writes."""
    if any_sharded(weights.values()):
        from lushan.checkpoint import sharded

        sharded.save_weights(weights, folder)
    elif first:
        write_folder(folder, {WEIGHTS: weights})


class FolderIO(CheckpointIO):
    """Lets Lightning read and write checkpoint folders."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write weights and state."""
        state = dict(checkpoint)
        write_folder(Path(path), {WEIGHTS: state.pop("state_dict"), STATE: state})

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read both; only tensors and plain values are ever unpickled."""
        folder = Path(path)
        verify(folder)
        if is_in_shards(folder):
            from lushan.checkpoint import sharded

            return sharded.load_alone(folder)
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        return {**state, "state_dict": load_weights(folder)}

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint folder."""
        shutil.rmtree(path, ignore_errors=True)


def newest(folder: Path, *, quick: bool = False) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint below `folder`, and what is wrong with newer ones.

    Args:
        folder: A run's checkpoints.
        quick: Only whether its files are there; their contents are checked when they are read.
    """
    complaints = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            verify(path, share=(1, 1) if quick else (0, 1))
        except Damaged as error:
            complaints.append(str(error))
            continue
        return path, complaints
    return None, complaints
