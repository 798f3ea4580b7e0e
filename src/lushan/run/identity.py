"""A run is its config: the run id, and in what two configs differ.

The id is a hash of the keys that can change the result. Runs of the same experiment have the same
id, and with it the same folder: complete runs are found, interrupted ones resume.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import marshal
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lushan.errors import UserError
from lushan.public_sets import address_of
from lushan.run.artifacts import is_run

RESOLVED = "resolved"
"""In the config of a run that was begun: values of `auto` and of defaults, by their keys."""

LONGEST_NAME = 255
"""Bytes of a file's or folder's name, on every file system that is in use."""

OBSERVED = (
    "tags",
    "logger.*",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_autolog_hparams",
    "trainer.detect_anomaly",
    "trainer.profiler",
    "callbacks.progress_bar",
    "callbacks.*_progress_bar",
    "callbacks.*model_summary",
    "callbacks.lr_monitor",
    "callbacks.learning_rate_monitor",
    "callbacks.device_stats*",
    "callbacks.samples",
)
"""Keys whose effect is not the result but what is shown or kept of a run while it is trained."""

EXCLUDED = (
    *OBSERVED,
    # Places of files, and trackers.
    "hydra",
    "paths",
    "trainer.default_root_dir",
    "name",
    "logger",
    "optimized_metric",
    "trial",
    "show",
    "*.cache_dir",
    # Resolved values of `auto` and of defaults; the keys themselves count.
    RESOLVED,
    # Which machine does the work: the global batch is configured, its division is not the result.
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.tensor_parallel",
    "trainer.reduce_often",
    "trainer.group_timeout",
    "trainer.elastic",
    "trainer.use_distributed_sampler",
    "data.micro_tokens",
    "data.eval_tokens",
    "data.workers",
    "data.prefetch",
    "data.pin_memory",
)
"""Keys that must not change a result, as dotted patterns; a pattern covers all below it.

Everything else counts. A new key belongs here only if a run with another value of it ends with
the same weights and the same numbers.
"""

DIVISION = ("data.micro_tokens", "trainer.devices", "trainer.num_nodes", "trainer.tensor_parallel")
"""Keys that count all the same where masks of dropout are drawn for a micro-batch as a whole."""

PATHS = ("data.dir", "data.train", "data.validation", "data.test")
"""Keys that name files: `x/a.txt` here and `../x/a.txt` from a folder below are the same. So do
these keys of each of `data.sources`."""

_BY_PLACE = ("eager", "sdpa")
"""Kinds of attention whose masks belong to examples; see `lushan.models.dropout`."""

LOCATIONS = ("data.path", "model.path", "processor.path", "task.images.path", "task.template")
"""Keys that name a file or folder, where there is one of that name, and else an id of the hub."""


CACHE, SWEEPS = ".cache", ".sweeps"
RESERVED = (CACHE, SWEEPS)
"""Folders beside runs that hold none: what is cached, and what the jobs of a sweep print."""


class _Absent(enum.Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "(absent)"

    __str__ = __repr__


ABSENT = _Absent.ABSENT
"""Stands for the value of a key that a config has not."""


def run_id(config: Mapping[str, Any]) -> str:
    """Return the id of the run that a config describes: 10 hex characters.

    Args:
        config: The whole config, resolved, in plain dictionaries and lists.

    Raises:
        TypeError: A value is not one that YAML can hold.
    """
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:10]


def is_run_id(name: str) -> bool:
    """Return whether a name has the form of a run id."""
    return re.fullmatch(r"[0-9a-f]{10}", name) is not None


def run_path(config: Mapping[str, Any]) -> Path:
    """Return the folder of the run that a config describes: `paths.output_dir`/`name`/`run_id`.

    Raises:
        UserError: The name cannot be that of a folder, or the folder is for something else.
    """
    name = config["name"]
    parts = Path(str(name)).parts
    if not parts or Path(str(name)).is_absolute() or ".." in parts or set(name) & {"\0", "\n"}:
        raise UserError(
            "the name of an experiment is used as a folder name below paths.output_dir",
            key="name",
            value=name,
            hint="Write name=WORD, on one line.",
        )
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise UserError(
            f"the limit of a folder name is {LONGEST_NAME} bytes",
            key="name",
            value=name,
            hint="Write a shorter one. A / in it creates a subfolder.",
        )
    if any(part.startswith(".") for part in parts):
        raise UserError(
            "names that begin with a dot are reserved, because runs below them are not listed",
            key="name",
            value=name,
            hint="Write name=WORD.",
        )
    root = Path(config["paths"]["output_dir"]).expanduser()
    if root.name in RESERVED:
        raise UserError(
            "this folder is reserved for caches and the output of sweep jobs",
            key="paths.output_dir",
            value=str(root),
            hint="Use another folder for runs, such as paths.output_dir=outputs.",
        )
    for depth in range(len(parts)):
        if is_run(above := root.joinpath(*parts[: depth + 1])):
            raise UserError(
                f"{above} is a run folder, so it cannot contain other runs",
                key="name",
                value=name,
                hint="Write name=WORD.",
            )
    return root.joinpath(*parts, run_id(config))


def canonical(config: Mapping[str, Any]) -> str:
    """Return one text for all ways of writing a config's result-changing keys.

    Keys are sorted, lists keep their order, 1e-5 is 0.00001; but 1, 1.0 and true stay three
    values: `warmup=1` is a step, `warmup=1.0` the whole training.
    """
    return json.dumps(
        _typed(_with_absolute_paths(relevant(config)) | _division(config)),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    )


def depends_on_division(config: Mapping[str, Any]) -> bool:
    """Return whether dropout draws masks for micro-batches as a whole; see `DIVISION`."""
    attention = lookup(config, "model.attention")
    return lookup(config, "trainer.compile") is True or attention not in (ABSENT, None, *_BY_PLACE)


def _division(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a batch is shared out, where kernels of compiled layers or attention drop."""
    found = {key: value for key, value in flat(config).items() if key in DIVISION}
    return {"division": found} if depends_on_division(config) else {}


@functools.lru_cache(maxsize=4096)
def is_excluded(key: str) -> bool:
    """Return whether a dotted key, or one that it lies below, is among the `EXCLUDED`."""
    return any(_is_among(name, EXCLUDED) for name in _above(key))


def _is_among(name: str, patterns: Sequence[str]) -> bool:
    # Most are plain names, and each pattern takes the time of a regular expression.
    return name in patterns or any("*" in p and fnmatchcase(name, p) for p in patterns)


def _above(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def unseen(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the `OBSERVED` keys that ask for something which a run was trained without.

    Args:
        before: The config that the run was trained with.
        now: The one of the same run that asks.
    """
    found = []
    for key, (_, value) in differences(before, now, excluded=True).items():
        named = [a for a in _above(key) if _is_among(a, OBSERVED)]
        if named and value is not ABSENT and value not in (None, False, [], {}):
            found.append(named[0])
    return list(dict.fromkeys(found))


def relevant(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a copy of a config without the keys that are `EXCLUDED`."""
    kept = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if not is_excluded(key):
            kept[name] = relevant(value, f"{key}.") if isinstance(value, Mapping) else value
    return kept


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config as dotted keys and their values; lists and empty groups are values."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


def lookup(config: Mapping[str, Any], key: str) -> object:
    """Return the value of a dotted key, `ABSENT` where there is none."""
    node: object = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ABSENT
        node = node[part]
    return node


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, excluded: bool = False
) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys in which two configs differ, each with its two values.

    Args:
        old: A config.
        new: Another.
        excluded: Also name the keys that cannot change a result.
    """
    one, other = flat(old), flat(new)
    pairs = {key: (one.get(key, ABSENT), other.get(key, ABSENT)) for key in {**one, **other}}
    return {
        key: pair
        for key, pair in pairs.items()
        if not same(*pair) and (excluded or not is_excluded(key))
    }


def varying(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the dotted keys that have not one value over all configs, in their order."""
    return [key for key in _varying(list(configs), "") if not is_excluded(key)]


def _varying(nodes: list[Any], prefix: str) -> Iterable[str]:
    # Most groups are equal in all runs, and one comparison of whole groups says so: with
    # thousands of runs this is what keeps listing and tables quick.
    if _all_same(nodes):
        return
    if not all(isinstance(node, Mapping) for node in nodes):
        # A group in some runs and a plain value or nothing in others.
        groups = [node if isinstance(node, Mapping) else {} for node in nodes]
        if any(not isinstance(n, Mapping) and n is not ABSENT for n in nodes) or not any(groups):
            yield prefix[:-1]
        nodes = groups
    names = dict.fromkeys(name for node in nodes for name in node)
    for name in names:
        yield from _varying([node.get(name, ABSENT) for node in nodes], f"{prefix}{name}.")


def _all_same(nodes: list[Any]) -> bool:
    first = nodes[0] if nodes else None
    if first is None or isinstance(first, str | bool | int):
        kind = type(first)
        return all(type(node) is kind and node == first for node in nodes)
    stamp = _stamp(first)
    return all((stamp and _stamp(node) == stamp) or same(node, first) for node in nodes)


def _stamp(node: Any) -> bytes | None:
    """Bytes that only equal values share (not all equal values do: keys may be in another order).

    `marshal` in its oldest form distinguishes 1 from 1.0 and true, in a tenth of `same`'s time.
    """
    try:
        return marshal.dumps(node, 0)
    except ValueError:  # ABSENT, or a value that is not plain
        return None


def same(one: object, other: object) -> bool:
    """Return whether two values are equal and of one type: 1, 1.0 and true are three values."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or repr(one) == repr(other) == "nan")


def _typed(value: object) -> object:
    """Make sure that different values give different JSON."""
    if isinstance(value, Mapping):
        # JSON has only text as keys; 1 and "1" are two keys of a YAML mapping.
        return {
            key if isinstance(key, str) and key[:1] != "\0" else f"\0{key!r}": _typed(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_typed(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a config must contain plain values, not {type(value).__name__}: {value!r}")


def _with_absolute_paths(config: dict[str, Any]) -> dict[str, Any]:
    sources = lookup(config, "data.sources")
    inside = sources if isinstance(sources, Mapping) else {}
    for root in ("data", *(f"data.sources.{name}" for name in inside)):
        source = lookup(config, root)
        # Without files of its own (a set of the hub) `data.train` is the name of a split; with a
        # `data.dir` it is a name below it.
        if isinstance(source, dict) and isinstance(source.get("dir"), str):
            source["dir"] = address_of(source) or _absolute(source["dir"])
        elif lookup(config, f"{root}.path") is ABSENT:
            for key in PATHS:
                _change(config, key.replace("data", root, 1), _absolute)
    _change(config, "ckpt_path", _absolute)
    for key in LOCATIONS:
        _change(config, key, _location)
    return config


def _change(config: dict[str, Any], key: str, change: Callable[[str], str]) -> None:
    group, _, name = key.rpartition(".")
    node = lookup(config, group) if group else config
    value = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict) and isinstance(value, str):
        node[name] = change(value)
    elif isinstance(node, dict) and isinstance(value, list):
        node[name] = [change(item) if isinstance(item, str) else item for item in value]


def _location(path: str) -> str:
    # An earlier run is what its id says, wherever its folder has been moved to.
    if is_run(path):
        return f"run:{Path(path).name}"
    return _absolute(path) if Path(path).exists() else path


def _absolute(path: str) -> str:
    # `pkg://...` and the like name no place in the file system; `-` is the standard input.
    if "://" in path or path in ("", "-"):
        return path
    # As it is written, links not followed: `data/current` is what the user named.
    return os.path.normpath(Path.cwd() / Path(path).expanduser())
