"""Check of a composed config against what it names, before anything heavy is loaded.

Every `_target_` is bound against its signature; then the targets check what only they know, by a
classmethod `check(cfg)`; then what no one target can see. The first mistake is raised.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lushan.common import parsing
from lushan.common.units import Measure, measure_of
from lushan.config import check_cache, environment, expansion, explain, types
from lushan.config.allow_list import locate, nodes
from lushan.config.binding import bind, require, require_names, require_node, unknown
from lushan.config.build import CALLED, TARGET, source_of
from lushan.config.launcher_settings import require_storage
from lushan.config.measures import measures
from lushan.config.signatures import Signature
from lushan.errors import UnknownKey, UserError, nearest
from lushan.run import remote_code
from lushan.run.identity import RESOLVED

TOP: Mapping[str, types.Kind] = {
    "name": ["str"],
    "seed": ["int"],
    "tags": ["list", ["str"]],
    "train": ["bool"],
    "test": ["bool"],
    "ckpt_path": ["union", ["str"], ["none"]],
    "optimized_metric": ["union", ["str"], ["list", ["str"]], ["none"]],
    "show": ["union", ["literal", "batch"], ["none"]],
    "trial": ["union", ["dict", ["any"]], ["none"]],
    remote_code.KEY: ["bool"],
    RESOLVED: ["union", ["dict", ["any"]], ["none"]],
}
"""The keys that are no group."""

LATER = ("show", "trial", remote_code.KEY, RESOLVED)
"""Keys that the configs of older runs have not, or most have not."""

OPTIONAL = ("peft",)
"""Groups that are one node, or null."""

NAMED = ("callbacks", "logger")
"""Groups that map names of the user's to nodes."""

PATHS: Mapping[str, types.Kind] = {"output_dir": ["str"], "cache_dir": ["str"]}

KNOWN = (*TOP, *CALLED, *OPTIONAL, *NAMED, "paths")


def check(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed config in plain values, once everything in it fits.

    Raises:
        UserError: A key is unknown or missing, a value of the wrong type, a target not allowed, or
            two things cannot be combined. It names the file that the key came from.
    """
    try:
        plain = resolved(cfg)
        check_top(plain)
        environment.require_visible(plain)
        found = {key: bind(key, node) for key, node in nodes(plain)}
        check_classes(plain, found)
        check_combinations(plain, found)
        check_data(plain)
    except UserError as error:
        with_suggestion = (
            explain.with_suggestion(error, cfg) if isinstance(error, UnknownKey) else error
        )
        raise explain.with_provenance(with_suggestion) from error.__cause__
    return plain


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config with all interpolations resolved.

    Raises:
        UserError: A value is missing, or an interpolation leads nowhere.
    """
    written = OmegaConf.to_container(cfg, resolve=False, throw_on_missing=False)
    expansion.require_bounded(written)
    unset = sorted(missing(written))
    if unset:
        for key, node in nodes(written):
            require_names(key, node)  # what is not set may be set under a misspelt name
        name = unset[0].rpartition(".")[2]
        hint = f"Write {unset[0]}={name.upper()}."
        raise UserError("this must be set", key=unset[0], hint=hint)
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain.of_resolving(error) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def missing(node: object, key: str = "") -> Iterator[str]:
    """The dotted keys whose value is `???`."""
    if node == "???":
        yield key
    pairs = node.items() if isinstance(node, Mapping) else ()
    for name, value in [*pairs, *(enumerate(node) if isinstance(node, list) else ())]:
        yield from missing(value, f"{key}.{name}" if key else str(name))


# Keys and types


def check_top(cfg: Mapping[str, Any]) -> None:
    """Check the top level: known keys of the right type, and every group there."""
    check_names(cfg)
    if not 0 <= cfg["seed"] < 2**63:
        raise UserError("must be 0 or more, and below 2^63", key="seed", value=cfg["seed"])
    for name in (*CALLED, *OPTIONAL):
        if name in CALLED or cfg.get(name) is not None:
            require_node(name, cfg[name])
    for group in NAMED:
        members = cfg.get(group) or {}
        require(group, members, ["dict", ["any"]])
        for name, node in members.items():
            if node:
                require_node(f"{group}.{name}", node)
    check_paths(cfg["paths"])


def check_names(cfg: Mapping[str, Any]) -> None:
    """Check that the keys of the top level are known and of the right type, and none is missing."""
    for name, value in cfg.items():
        if name not in KNOWN:
            raise unknown(name, value, KNOWN)
        if name in TOP:
            require(name, value, TOP[name])
    for name in (*(n for n in TOP if n not in LATER), *CALLED, "paths"):
        if name not in cfg or (name in CALLED and cfg[name] is None):
            hint = (
                f"Choose one: {name}=NAME." if name in CALLED else "The default is in train.yaml."
            )
            raise UserError("this is missing", key=name, hint=hint)


def check_paths(node: Any) -> None:
    """Check where things are kept."""
    require("paths", node, ["dict", ["any"]])
    for name, value in node.items():
        if name not in PATHS:
            raise unknown(f"paths.{name}", value, PATHS)
        require(f"paths.{name}", value, PATHS[name])
    for name in PATHS:
        if name not in node:
            raise UserError("this is missing", key=f"paths.{name}")


# What the targets know


def check_classes(cfg: Mapping[str, Any], found: Mapping[str, Signature]) -> None:
    """Call `check(cfg)` of each target that has one."""
    # Neither can make a combination impossible; without them, seeds share one verdict.
    checked = {k: v for k, v in cfg.items() if k not in ("seed", "name", "tags", "paths", "logger")}
    for key, what in found.items():
        if "check" in what.checks:
            name = _at(cfg, key)[TARGET]
            check_cache.remembered(
                ["check", name, checked], name, functools.partial(_check_by, name, key, cfg)
            )


def _check_by(name: str, key: str, cfg: Mapping[str, Any]) -> None:
    locate(name, key).check(parsing.parse_json(json.dumps(cfg)))


def _at(cfg: Mapping[str, Any], key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


# What no one target can see


def check_combinations(cfg: Mapping[str, Any], found: Mapping[str, Signature]) -> None:
    """Refuse parts that fit one by one, but not together."""
    data = cfg["data"]
    if data.get("batch_tokens") is not None and data.get("batch_examples") is not None:
        raise UserError(
            "set the batch size in tokens or in examples, not both",
            key="data.batch_examples",
            value=data["batch_examples"],
            hint="Remove one of data.batch_tokens and data.batch_examples, or set it to null.",
        )
    if not cfg["train"] and cfg["ckpt_path"] is None:
        raise UserError(
            "training is off, and there are no weights to evaluate",
            key="train",
            value=False,
            hint="Write ckpt_path=outputs/NAME/RUN/checkpoints/best.",
        )
    if cfg.get("trial"):
        require_storage(cfg["trial"].get("storage"), "trial.storage")
    _require_own_tokenizer(cfg, found["processor"])
    monitored = [
        (f"callbacks.{name}", node)
        for name, node in (cfg.get("callbacks") or {}).items()
        if node and isinstance(node.get("monitor"), str)
    ]
    has_names = "measures" in found["task"].checks
    known_measures = measures(cfg) if has_names else {}
    if has_names and (watched := cfg["task"].get("monitor")) is not None:
        _require_metric("task.monitor", watched, list(known_measures))
        _require_direction("task.monitor", watched, known_measures)
    if has_names and cfg.get("optimized_metric") is not None:
        known = [f"{split}/{name}" for split in ("val", "test") for name in known_measures]
        wanted = cfg["optimized_metric"]
        for metric in [wanted] if isinstance(wanted, str) else wanted:
            _require_metric("optimized_metric", metric, known)
    for key, node in monitored:
        if has_names:
            names = [f"val/{name}" for name in known_measures]
            _require_metric(f"{key}.monitor", node["monitor"], names)
            _require_mode(key, node, found[key], known_measures)
        if data.get("validation", "") is None:
            raise UserError(
                "there is no validation split to monitor",
                key=f"{key}.monitor",
                value=node["monitor"],
                hint="Write data.validation=FILE, or a share such as data.validation=0.1.",
            )


def _require_own_tokenizer(cfg: Mapping[str, Any], found: Signature) -> None:
    """Refuse a newly trained tokenizer beside weights that know another one's ids."""
    path = cfg["model"].get("path")
    if isinstance(path, str) and "texts" in found.parameters:
        raise UserError(
            f"this tokenizer is trained on the training text, but the weights of {path} need "
            f"their own tokenizer",
            key="processor",
            value=cfg["processor"].get("kind", cfg["processor"][TARGET]),
            hint="Write processor=pretrained to use the tokenizer of the weights.",
        )


def check_data(cfg: Mapping[str, Any]) -> None:
    """Check the settings of the data source, as a run does that makes it; nothing is read."""
    node = cfg["data"]
    check_cache.remembered(["made", node], node[TARGET], lambda: bool(source_of(cfg)))


def _require_metric(key: str, value: str, names: list[str]) -> None:
    if value not in names:
        near = nearest(value, names)
        hint = f"Did you mean {near}?" if near else f"There are: {', '.join(names)}."
        raise UserError("the task does not report this metric", key=key, value=value, hint=hint)


def _require_direction(key: str, metric: str, known: Mapping[str, Measure]) -> None:
    """Refuse to choose by a metric whose direction is unknown."""
    if measure_of(known, metric).higher_is_better is None:
        raise UserError(
            "this metric does not say whether higher or lower is better",
            key=key,
            value=metric,
            hint="Choose another metric, or set higher_is_better in a subclass.",
        )


def _require_mode(
    key: str, node: Mapping[str, Any], found: Signature, known: Mapping[str, Measure]
) -> None:
    # Lightning's callbacks wait for a smaller value by default.
    mode = node.get("mode", "min" if "mode" in found.parameters else None)
    if mode not in ("min", "max"):
        return
    _require_direction(f"{key}.monitor", node["monitor"], known)
    better = "max" if measure_of(known, node["monitor"]).higher_is_better else "min"
    if mode != better:
        raise UserError(
            f"{node['monitor']} is better when it is {'lower' if better == 'min' else 'higher'}",
            key=f"{key}.mode",
            value=mode,
            hint=f"Write {key}.mode={better}.",
        )
