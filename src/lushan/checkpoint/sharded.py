"""The state of a run whose weights are spread over processes, as a checkpoint folder.

What is sharded (weights, what the optimizer remembers of each, averages) lies in one file a
process; the rest, small and the same everywhere, in `trainer.pt` as ever. The folder can be read by
as many processes as wrote it, by another number, and by one alone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lushan.checkpoint import shards
from lushan.checkpoint.dtensor import is_sharded, like, load_into
from lushan.checkpoint.folder import STATE, writing
from lushan.checkpoint.gathered import agreed_aliases, gather_weights
from lushan.checkpoint.weights import (
    SHARDS,
    WEIGHTS,
    WEIGHTS_IN_SHARDS,
    Damaged,
    is_in_shards,
    load_weights,
    verify,
)
from lushan.errors import RunFailed
from lushan.run.files import TEMPORARY, read_json, write_json

if TYPE_CHECKING:
    from torch.optim import Optimizer

log = logging.getLogger(__name__)

OPTIMIZER, OTHER = "optimizer", "state"
"""Prefix of the names of tensors that are no weights."""


def save(checkpoint: Mapping[str, Any], folder: Path, names: list[str]) -> None:
    """Write a state; all processes call it.

    Args:
        checkpoint: As Lightning makes it, with tensors that may be sharded.
        folder: Where.
        names: Of the optimizer's weights, in its order.

    Raises:
        RunFailed: One process could not write, raised on all of them.
    """
    rest = dict(checkpoint)
    weights = rest.pop("state_dict")
    aliases = agreed_aliases(weights)
    tensors = {f"{WEIGHTS_IN_SHARDS}/{n}": t for n, t in weights.items() if n not in aliases}
    rest["optimizer_states"], remembered = _without_tensors(rest["optimizer_states"], names)
    rest, others = _without_shards(rest)
    tensors |= remembered | {"/".join((OTHER, *path)): t for path, t in others.items()}
    with _together(folder) as (temporary, sums):
        written = shards.write(tensors, temporary)
        if sums is not None:
            sums.update(written)
            torch.save(rest | {SHARDS: [list(path) for path in others]}, temporary / STATE)
            write_json(temporary / SHARDS, {"names": names, "aliases": aliases})


def save_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write whole weights, as any other checkpoint of weights; all processes call it.

    Raises:
        RunFailed: They cannot be written, raised on all processes.
    """
    with _together(folder) as (temporary, sums):
        gather_weights(weights, None if sums is None else temporary / WEIGHTS)


def load(
    folder: Path, module: nn.Module, optimizer: Optimizer | None, names: list[str]
) -> dict[str, Any]:
    """Read a state into a model and an optimizer that may be spread; all processes call it.

    Args:
        folder: Written by `save`, or by one process alone.
        module: Lightning's.
        optimizer: Of the module's weights; None to evaluate.
        names: Of the optimizer's weights, in its order.

    Returns:
        The rest, as Lightning wants it.
    """
    rest = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    if not is_in_shards(folder):
        load_into(module, load_weights(folder))
        _restore(optimizer, rest.pop("optimizer_states"))
        return rest
    known = read_json(folder / SHARDS)
    if optimizer is not None and known["names"] != names:
        raise RunFailed(f"{folder}: the optimizer's weights do not match this model")
    weights = {
        name: tensor if is_sharded(tensor) else torch.empty_like(tensor)
        for name, tensor in module.state_dict().items()
        if name not in known["aliases"]
    }
    targets = {f"{WEIGHTS_IN_SHARDS}/{name}": tensor for name, tensor in weights.items()}
    states = rest.pop("optimizer_states")
    if optimizer is not None:
        targets |= _places(folder, optimizer, states, names)
    targets |= _restore_backup(rest, module)
    shards.read(targets, folder)
    # Sharded weights have been read in place; this also checks what is not sharded.
    module.load_state_dict(weights | {n: weights[of] for n, of in known["aliases"].items()})
    if optimizer is not None:
        optimizer.load_state_dict(states[0])
    return rest


def load_alone(folder: Path) -> dict[str, Any]:
    """A whole state, as Lightning wants it, in this process alone; `verify` comes before."""
    rest = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    known = read_json(folder / SHARDS)
    tensors = shards.read_whole(folder)
    (state,) = rest["optimizer_states"]
    numbers = {name: number for number, name in enumerate(known["names"])}
    weights = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == WEIGHTS_IN_SHARDS:
            weights[name] = tensor
        elif kind == OPTIMIZER:
            name, _, entry = name.rpartition("/")
            state["state"].setdefault(numbers[name], {})[entry] = tensor
    for path in rest.pop(SHARDS):
        _at(rest, path)[path[-1]] = tensors["/".join((OTHER, *path))]
    weights |= {name: weights[of] for name, of in known["aliases"].items()}
    return rest | {"state_dict": weights}


def newest_together(folder: Path) -> Path:
    """Find the newest state that all processes find whole, each checking its share of the files.

    Raises:
        RunFailed: There is none.
    """
    folders = [sorted((path.name for path in folder.glob("step-*")), reverse=True)]
    dist.broadcast_object_list(folders, src=0)
    for name in folders[0]:
        complaint = None
        try:
            verify(folder / name, share=(dist.get_rank(), dist.get_world_size()))
        except Damaged as error:
            complaint = str(error)
        found: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(found, complaint)
        if not any(found):
            return folder / name
        for line in filter(None, found):
            log.warning("skipping a damaged checkpoint: %s", line)
    raise RunFailed(f"{folder}: no checkpoint of this run is complete; delete it to start again")


@contextlib.contextmanager
def _together(folder: Path) -> Any:
    """Give a folder to write into, which the first process makes and renames at the end."""
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
    with contextlib.ExitStack() as stack:
        sums = None
        with _raised_together():
            if dist.get_rank() == 0:
                temporary, sums = stack.enter_context(writing(folder))
        yield temporary, sums
        with _raised_together():
            stack.close()


@contextlib.contextmanager
def _raised_together() -> Any:
    """Raise in all processes what fails in the first one, which they would wait for."""
    complaint: list[str | None] = [None]
    try:
        yield
    except RunFailed as error:
        complaint[0] = str(error)
    dist.broadcast_object_list(complaint, src=0)
    if complaint[0] is not None:
        raise RunFailed(complaint[0])


def _without_tensors(
    states: list[dict[str, Any]], names: list[str]
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """An optimizer's state without its tensors, and these by the names of weights."""
    (state,) = states
    tensors: dict[str, Tensor] = {}
    plain: dict[int, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        plain[number] = {}
        for entry, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER}/{names[number]}/{entry}"] = value
            else:
                plain[number][entry] = value
    return [state | {"state": plain}], tensors


def _places(
    folder: Path, optimizer: Optimizer, states: list[dict[str, Any]], names: list[str]
) -> dict[str, Tensor]:
    """Empty tensors for what the optimizer remembers, put into its state."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = {name: number for number, name in enumerate(names)}
    places: dict[str, Tensor] = {}
    for key, shape in shards.shapes(folder).items():
        kind, _, name = key.partition("/")
        if kind != OPTIMIZER:
            continue
        name, _, entry = name.rpartition("/")
        parameter = parameters[numbers[name]]
        if shape.shape == parameter.shape:
            place = torch.empty_like(parameter, dtype=shape.dtype, requires_grad=False)
        else:
            place = torch.empty_like(shape, device="cpu")
        places[key] = place
        states[0]["state"].setdefault(numbers[name], {})[entry] = place
    return places


def _restore(optimizer: Optimizer | None, states: list[dict[str, Any]]) -> None:
    """Give an optimizer whole tensors."""
    if optimizer is None:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    (state,) = states
    for number, entries in state["state"].items():
        for entry, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameters[number].shape:
                entries[entry] = like(parameters[number], value)
    optimizer.load_state_dict(state)


def _without_shards(
    node: dict[str, Any], path: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[tuple[str, ...], Tensor]]:
    """A tree without what is sharded in it, and that by its place."""
    kept: dict[str, Any] = {}
    found: dict[tuple[str, ...], Tensor] = {}
    for name, value in node.items():
        if is_sharded(value):
            found[(*path, name)] = value
        elif isinstance(value, dict):
            kept[name], inside = _without_shards(value, (*path, name))
            found |= inside
        else:
            kept[name] = value
    return kept, found


def _restore_backup(rest: dict[str, Any], module: nn.Module) -> dict[str, Tensor]:
    """Empty tensors for what else was sharded, put where it stood.

    Each stands under the name of a weight and is spread as that is.
    """
    weights = dict(module.model.named_parameters(remove_duplicate=False))  # type: ignore[union-attr]
    places = {}
    for path in rest.pop(SHARDS):
        place = torch.empty_like(weights[path[-1]], requires_grad=False)
        _at(rest, path)[path[-1]] = place
        places["/".join((OTHER, *path))] = place
    return places


def _at(tree: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for name in path[:-1]:
        tree = tree[name]
    return tree
