"""A composed config held against the signatures of what it names, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lushan.config.build import RESERVED
from lushan.config.kinds import Kind, fits, repair, words
from lushan.config.origin import origin
from lushan.config.signatures import Signature, signature
from lushan.config.targets import locate, nodes
from lushan.errors import UserError, did_you_mean

PLAIN: dict[str, Kind] = {
    "name": ["str"],
    "seed": ["int"],
    "tags": ["list", ["str"]],
    "train": ["bool"],
    "test": ["bool"],
    "ckpt_path": ["union", ["str"], ["none"]],
    "optimized_metric": ["union", ["str"], ["none"]],
}
"""Keys at the top that are values."""
CALLS = ("data", "tokenizer", "model", "task", "optimizer", "scheduler", "trainer")
"""Keys at the top that are calls."""
COLLECTIONS = ("callbacks", "logger")
"""Keys at the top that map any name to a call, or to null."""
PATHS = ("output_dir", "cache_dir")
KNOWN = (*PLAIN, *CALLS, *COLLECTIONS, "paths", "hydra")


def check(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a config and judge every key of it.

    What it names is not imported where its signature is known from before.

    Args:
        cfg: As Hydra composed it; its `hydra` node, where there is one, is left out.

    Returns:
        The config in plain values.

    Raises:
        UserError: A key is unknown, missing, of the wrong type, or names what it must not.
    """
    plain = resolved(cfg)
    plain.pop("hydra", None)
    _check_top(plain)
    for key, node in nodes(plain):
        _check_call(key, node)
    return plain


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """A config in plain values, interpolations filled in.

    Raises:
        UserError: A value is missing (`???`), or an interpolation leads nowhere.
    """
    try:
        missing = sorted(k for k in OmegaConf.missing_keys(cfg) if not k.startswith("hydra."))
        if missing:
            key = missing[0]
            more = f" So do {', '.join(missing[1:])}." if missing[1:] else ""
            raise UserError(
                "this needs a value", key=key, file=origin(key), hint=f"Write {key}=VALUE.{more}"
            )
        plain = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        first = str(error).splitlines()[0]
        raise UserError(first, key=key or None, file=origin(key) if key else None) from error
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def _check_top(cfg: Mapping[str, Any]) -> None:
    for key, value in cfg.items():
        if key not in KNOWN:
            raise UserError(
                "there is no such key",
                key=key,
                value=value,
                file=origin(key),
                hint=did_you_mean(key, KNOWN) or f"At the top stand {', '.join(KNOWN[:-1])}.",
            )
        if key in PLAIN:
            _require_kind(key, value, PLAIN[key])
    for key in (*PLAIN, *CALLS):
        if key not in cfg:
            raise UserError("this key is gone, and every run needs it", key=key)
    for key in CALLS:
        _require_call(key, cfg[key])
    for key in COLLECTIONS:
        entries = cfg.get(key) or {}
        _require_kind(key, entries, ["dict", ["any"]])
        for name, value in entries.items():
            if value is not None:
                _require_call(f"{key}.{name}", value)
    for name, value in (cfg.get("paths") or {}).items():
        if name not in PATHS:
            raise UserError(
                "there is no such path", key=f"paths.{name}", hint=did_you_mean(name, PATHS)
            )
        _require_kind(f"paths.{name}", value, ["str"])


def _require_call(key: str, value: Any) -> None:
    if not isinstance(value, Mapping) or "_target_" not in value:
        raise UserError(
            "this must name what to call: a mapping with a _target_",
            key=key,
            value=value,
            file=origin(key),
            hint=f"Choose one by {key}=OPTION; `lushan train --help` lists them."
            if key in CALLS
            else None,
        )


def _check_call(key: str, node: Mapping[str, Any]) -> None:
    found = signature(node["_target_"], key)
    partial = node.get("_partial_", False)
    if not isinstance(partial, bool):
        raise UserError("this must be true or false", key=f"{key}._partial_", value=partial)
    for name, value in node.items():
        if name in RESERVED:
            continue
        at = f"{key}.{name}" if key else str(name)
        parameter = found.parameters.get(str(name))
        if parameter is None:
            if found.open and not str(name).startswith("_"):
                continue
            _refuse_unknown(at, str(name), value, node["_target_"], found)
        else:
            _require_kind(at, value, parameter.kind)
    if partial:
        return
    for parameter in found.parameters.values():
        if parameter.required and not parameter.late and parameter.name not in node:
            at = f"{key}.{parameter.name}"
            raise UserError(
                f"{node['_target_']} needs this argument", key=at, hint=f"Write {at}=VALUE."
            )


def _refuse_unknown(at: str, name: str, value: Any, target: str, found: Signature) -> None:
    settable = [p.name for p in found.parameters.values() if not p.late]
    group = at.removesuffix(name)
    near = did_you_mean(name, settable, prefix=group)
    raise UserError(
        f"{target.rpartition('.')[2]} has no such argument",
        key=at,
        value=value,
        file=origin(at),
        hint=near or f"It takes {', '.join(sorted(settable))}.",
    )


def _require_kind(key: str, value: Any, kind: Kind) -> None:
    if fits(value, kind):
        return
    raise UserError(
        f"this must be {words(kind)}",
        key=key,
        value="null" if value is None else value,
        file=origin(key),
        hint=repair(value, kind),
    )


def check_combinations(cfg: Mapping[str, Any]) -> None:
    """Judge what signatures cannot tell: parts that do not go together.

    Imports what the config names, and so comes after `check`, and only for a run that is to be
    carried out.

    Raises:
        UserError: A class refuses the config it stands in, or a callback waits for a metric that
            the task does not report.
    """
    for key, node in nodes(dict(cfg)):
        if "check" in signature(node["_target_"], key).checks:
            locate(node["_target_"], key).check(cfg)
    _check_monitors(cfg)


def _check_monitors(cfg: Mapping[str, Any]) -> None:
    task = cfg["task"]
    if "metric_names" not in signature(task["_target_"], "task").checks:
        return
    names = locate(task["_target_"], "task").metric_names(task)
    if task.get("monitor") is not None and task["monitor"] not in names:
        _refuse_metric("task.monitor", task["monitor"], names)
    on_validation = [f"val/{name}" for name in names]
    for name, node in (cfg.get("callbacks") or {}).items():
        monitor = (node or {}).get("monitor")
        if monitor is not None and monitor not in on_validation:
            _refuse_metric(f"callbacks.{name}.monitor", monitor, on_validation)
    wanted = cfg.get("optimized_metric")
    known = [*on_validation, *(f"test/{name}" for name in names)]
    if wanted is not None and wanted not in known:
        _refuse_metric("optimized_metric", wanted, known)


def _refuse_metric(key: str, value: str, known: list[str]) -> None:
    raise UserError(
        "the task reports no such metric",
        key=key,
        value=value,
        file=origin(key),
        hint=did_you_mean(value, known) or f"It reports {', '.join(known)}.",
    )
