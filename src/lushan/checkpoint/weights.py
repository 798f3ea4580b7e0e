"""Weights as files that are checked when they are read, and as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lushan.checkpoint.dtensor import whole
from lushan.common import parsing
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.files import follow_umask, sha256_file

WEIGHTS, SUMS = "weights.safetensors", "checksums.json"
RUN = "run_id.json"
"""The id of the run that a checkpoint belongs to."""
SHARDS = "shards.json"
"""Beside the files of several processes: which names share their tensors."""
WEIGHTS_IN_SHARDS = "weights"
"""Prefix of the names of weights there."""


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and values of tensors: equal only if every bit is.

    All processes call it where weights are spread over them.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        flat = whole(weights[name]).cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Damaged(Exception):
    """A checkpoint that is not what was written."""


def save_weights(weights: dict[str, Tensor], folder: Path) -> None:
    """Write tensors as safetensors; those that share memory are written once."""
    kept: dict[str, Tensor] = {}
    first: dict[tuple[int, torch.Size], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in weights.items():
        key = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        kept[name] = tensor.detach().cpu().contiguous()
    save_file(kept, folder / WEIGHTS, metadata={"aliases": json.dumps(aliases)})
    follow_umask(folder / WEIGHTS)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote, or what several processes wrote, after checking its SHA-256.

    Raises:
        Damaged: A file is missing, cut short or changed.
    """
    if is_in_shards(folder):
        return _from_shards(folder)
    verify(folder, only=(WEIGHTS,))
    weights = load_file(folder / WEIGHTS)
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        aliases = parsing.parse_json((file.metadata() or {}).get("aliases", "{}"))
    return weights | {name: weights[target] for name, target in aliases.items()}


def is_in_shards(folder: Path) -> bool:
    """Return whether a checkpoint's tensors lie in as many files as processes have written it."""
    return (folder / SHARDS).is_file()


def _from_shards(folder: Path) -> dict[str, Tensor]:
    from lushan.checkpoint import shards

    verify(folder)
    aliases = parsing.read_json(folder / SHARDS)["aliases"]
    prefix = f"{WEIGHTS_IN_SHARDS}/"
    found = shards.read_whole(folder, prefix)
    weights = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return weights | {name: weights[target] for name, target in aliases.items()}


def verify(
    folder: Path, only: Collection[str] | None = None, *, share: tuple[int, int] = (0, 1)
) -> None:
    """Compare every file with its recorded SHA-256.

    Args:
        folder: Of a checkpoint.
        only: Names of the files that matter; all when not given.
        share: (i, n) compares the i-th of n shares, and sees of the others only that they exist.

    Raises:
        Damaged: One differs, is missing, or is there without a record; or the checkpoint lies in
            the folder of a run that has not written it.
    """
    try:
        sums = parsing.read_json(folder / SUMS)
    except (OSError, UserError) as error:
        raise Damaged(f"{folder / SUMS} cannot be read: {error}") from error
    if not isinstance(sums, dict):
        raise Damaged(f"{folder / SUMS} is not a list of checksums")
    _require_own(folder)
    names = sorted(name for name in sums if only is None or name in (*only, RUN))
    for number, name in enumerate(names):
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{path} is missing")
        if number % share[1] == share[0] and sha256_file(path) != sums[name]:
            raise Damaged(f"{path} was changed: its SHA-256 differs")
    for path in folder.glob("*.safetensors"):
        if path.name not in sums:
            raise Damaged(f"{path} does not belong to this checkpoint")


def _require_own(folder: Path) -> None:
    try:
        written = parsing.read_json(folder / RUN)
    except FileNotFoundError:  # where it is listed, its absence is noticed
        return
    except (OSError, UserError) as error:
        raise Damaged(f"{folder / RUN} cannot be read: {error}") from error
    here = run_of(folder)
    if here is not None and written != here:
        raise Damaged(f"{folder} is a checkpoint of the run {written}, not of {here}")


def run_of(folder: Path) -> str | None:
    """Return the id of the run in whose folder a checkpoint lies, if it lies in one."""
    return checksums.run_id_of(folder.absolute().parent.parent)


def shapes(folder: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor of a checkpoint; none where several processes wrote it."""
    if not (folder / WEIGHTS).is_file():
        return {}
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
