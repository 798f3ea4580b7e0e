"""Weights that are spread over processes, gathered into one safetensors file and read from it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn

from lushan.checkpoint.dtensor import (
    any_sharded,
    is_sharded,
    load_into,
    local,
    part,
    whole,
    wrapped,
)
from lushan.checkpoint.weights import WEIGHTS, Damaged, load_weights, verify
from lushan.common.parsing import parse_json

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""safetensors' names."""


def gather_weights(weights: Mapping[str, Tensor], path: Path | None) -> None:
    """Write whole weights to a file; all processes call it, and no more than one tensor is whole.

    Args:
        weights: Name to tensor, the same names on every process.
        path: The file, on the process that writes it; None on the others.
    """
    aliases = agreed_aliases(weights)
    names = [name for name in weights if name not in aliases]
    if path is None:
        for name in names:
            whole(weights[name])
        return
    with path.open("wb") as file:
        header = _header({name: weights[name] for name in names}, aliases)
        file.write(struct.pack("<Q", len(header)) + header)
        for name in names:
            flat = whole(weights[name]).cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)


def read_weights(model: nn.Module, folder: Path) -> None:
    """Give a model whole weights from a folder; of one that is spread, each process reads its part.

    Raises:
        Damaged: They are missing or not what was written, raised on all processes.
        RuntimeError: They are those of another model.
    """
    state = model.state_dict()
    if not any_sharded(state.values()) or not (folder / WEIGHTS).is_file():
        load_into(model, load_weights(folder))
        return
    _verify_once(folder)
    found: dict[str, Tensor] = {}
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        aliases = parse_json((file.metadata() or {}).get("aliases", "{}"))
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            piece = file.get_slice(name)
            target = state.get(name)
            if target is None or list(target.shape) != piece.get_shape():
                found[name] = file.get_tensor(name)  # PyTorch raises the error
            elif not is_sharded(target):
                found[name] = file.get_tensor(name)
            else:
                found[name] = wrapped(target, piece[part(target)].to(target.device, target.dtype))
    model.load_state_dict(found | {name: found[of] for name, of in aliases.items()})


def _verify_once(folder: Path) -> None:
    """Read the whole file in the first process, for all."""
    complaint: list[str | None] = [None]
    if dist.get_rank() == 0:
        try:
            verify(folder, only=(WEIGHTS,))
        except Damaged as error:
            complaint[0] = str(error)
    dist.broadcast_object_list(complaint, src=0)
    if complaint[0] is not None:
        raise Damaged(complaint[0])


def agreed_aliases(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that share memory, to the name under which they are kept.

    The first process decides for all: another may hold no part of a small tensor, and could not
    know.
    """
    first: dict[tuple[int, torch.Size], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in weights.items():
        key = (local(tensor).data_ptr(), tensor.shape)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
        first.setdefault(key, name)
    if not dist.is_initialized():
        return aliases
    shared = [aliases]
    dist.broadcast_object_list(shared, src=0)
    return shared[0]


def _header(weights: Mapping[str, Tensor], aliases: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"aliases": json.dumps(aliases)}}
    end = 0
    for name, tensor in weights.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    return text + b" " * (-len(text) % 8)
