"""The border between config and objects: the one place where a target is called."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lushan.config.allow_list import locate, require_arguments
from lushan.config.signatures import read
from lushan.errors import UserError

TARGET = "_target_"
CALLED = ("data", "processor", "model", "task", "optimizer", "scheduler", "trainer")
"""Groups of a run's config that are one node with a target."""
GIVEN: Mapping[str, tuple[str, ...]] = {
    "data": ("cache_dir",),
    "processor": ("texts", "cache_dir"),
    "processor.tokenizer": ("texts", "cache_dir"),
    "model": ("vocab_size", "pad_token_id", "special", "auto_class", "wrap"),
    "model.config": ("vocab_size", "pad_token_id"),
    "peft": ("encoder", "auto_class"),
    "peft.config": (
        *("task_type", "peft_type", "total_step", "inference_mode"),
        *("auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    ),
    "task.head": ("width", "num_labels", "allowed"),
    "optimizer": ("model",),
    "optimizer.algorithm": ("params",),
    "optimizer.matrices": ("params",),
    "scheduler": ("step", "total_steps", "scores"),
    "trainer": ("limits", "plan", "callbacks", "logger", "plugins", "default_root_dir"),
    "callbacks.checkpoints": (
        *("folder", "monitor", "higher_is_better", "signals", "facts", "elastic"),
    ),
}
"""Arguments that a run finds out and gives, by the key of the node: no config sets them."""
METRICS = "task.metrics"
"""Metrics that a config adds, by names of its own."""
_OF_METRICS = ("num_classes", "num_labels")
_OF_CALLBACKS = ("measures",)


def given(key: str) -> tuple[str, ...]:
    """Return the arguments of a node that a run gives."""
    group = key.rpartition(".")[0]
    if group == METRICS:
        return _OF_METRICS
    return GIVEN.get(key, ()) + (_OF_CALLBACKS if group == "callbacks" else ())


def build(node: Mapping[str, Any], key: str = "", /, **late: Any) -> Any:
    """Call what a node names, with what it holds; nodes inside it are built first.

    As in Hydra, `_partial_: true` gives a `functools.partial` of the call, `_args_` are given by
    position, and `_recursive_: false` leaves the nodes inside as they are. Those of the arguments
    that a target lists as `BUILT_LATER` are handed over as callables that build them.

    Args:
        node: Of a checked config, in plain values.
        key: Its dotted key, where other targets are allowed than in the rest of a config.
        late: What only the run knows. Arguments that the target does not take are left out, so
            that a target names what it needs.

    Raises:
        UserError: The target is not allowed, there is no such thing, or a library refuses the
            arguments.
    """
    target = locate(node[TARGET], key)
    require_arguments(node, key)
    inside = _built if node.get("_recursive_", True) else _as_it_is
    later = getattr(target, "BUILT_LATER", ())
    values = {
        name: _later(value) if name in later else inside(value)
        for name, value in node.items()
        if not is_reserved(name)
    }
    positional = [inside(value) for value in node.get("_args_") or ()]
    if late:
        taken = read(target).parameters
        values |= {name: value for name, value in late.items() if name in taken}
    if node.get("_partial_"):
        return functools.partial(target, *positional, **values)
    try:
        return target(*positional, **values)
    except Exception as error:
        if _is_a_refusal(error):
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{node[TARGET]} cannot be created: {first}") from error
        raise


def source_of(cfg: Mapping[str, Any]) -> Any:
    """The data source of a run, with the place where it may keep what it reads."""
    return build(cfg["data"], cache_dir=Path(cfg["paths"]["cache_dir"]))


def _is_a_refusal(error: Exception) -> bool:
    """Return whether a library, or the call itself, and not our own code found a value wrong."""
    kinds = (ValueError, TypeError)
    if not isinstance(error, kinds) and type(error).__name__ != "MisconfigurationException":
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    module = str(frame.f_globals.get("__name__", ""))
    return module == __name__ or not module.startswith("lushan.")


def is_reserved(name: object) -> bool:
    """Return whether a key of a node is an instruction such as `_target_`, and no argument."""
    return isinstance(name, str) and name.startswith("_") and name.endswith("_")


def _built(value: object) -> object:
    if isinstance(value, Mapping):
        if TARGET in value:
            return build(value)
        return {name: _built(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_built(item) for item in value]
    return value


def _later(value: object) -> object:
    """Return what builds a node, or each of some that are not null, for the target to call."""
    if not isinstance(value, Mapping):
        return value
    if TARGET in value:
        return functools.partial(build, value)
    return {name: _later(item) for name, item in value.items() if item is not None}


def _as_it_is(value: object) -> object:
    return value
