"""Metrics of a task, known before it is built: their names, and the measure of each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from lushan.common.units import Measure
from lushan.config import check_cache
from lushan.config.allow_list import locate
from lushan.config.binding import require_node
from lushan.config.build import METRICS, TARGET, build
from lushan.config.rules import SCORE
from lushan.config.signatures import files_of, signature
from lushan.errors import UserError


def measures(cfg: Mapping[str, Any]) -> dict[str, Measure]:
    """Return what the task reports, without the split's name, and what is to be known of it.

    Raises:
        UserError: A metric that the config adds is none of what the task predicts.
    """
    node = cfg["task"]
    name = node[TARGET]
    added = {key: one for key, one in (node.get("metrics") or {}).items() if one is not None}
    files = []
    for key, one in added.items():
        require_node(f"{METRICS}.{key}", one)
        signature(one[TARGET], f"{METRICS}.{key}")
        files.append(files_of(one[TARGET]))
    question = ["measures", name, node, files]
    found = check_cache.remembered_of(question, name, lambda: _measures(name, node, added))
    return {metric: Measure.from_dict(content) for metric, content in found.items()}


def _measures(
    name: str, node: Mapping[str, Any], added: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], set[str]]:
    """Return the measures in plain values, and the modules that they were read from."""
    task = locate(name, "task")
    own = task.own_metrics(dict(node))
    modules = {base.__module__ for metric in own.values() for base in type(metric).__mro__}
    late = {key: functools.partial(build, one, f"{METRICS}.{key}") for key, one in added.items()}
    found = task.measures(dict(node), late)
    for key in added:
        if (score := found[key].score) is not None:
            _require_score(f"{METRICS}.{key}", score)
    return {metric: measure.as_dict() for metric, measure in found.items()}, modules


def _require_score(key: str, name: str) -> None:
    """Refuse a score that tests over examples could not call, as a result names it."""
    try:
        locate(name, SCORE)
    except UserError as error:
        raise UserError(
            f"the formula of this metric cannot be imported by its name: {error.problem}",
            key=key,
            value=name,
            hint="Define it with `def` at the top level of a module of your package, without "
            "torch.",
        ) from error


def metric_names(cfg: Mapping[str, Any]) -> list[str]:
    """Return the names of what the task reports, without the split's name."""
    return list(measures(cfg))


def main_metric(cfg: Mapping[str, Any]) -> str:
    """The metric that chooses the best checkpoint, without the split's name.

    Raises:
        UserError: The task has none before it has been made.
    """
    node = cfg["task"]
    name = node[TARGET]
    found = check_cache.remembered(
        ["main_metric", name, node], name, lambda: locate(name, "task").monitored(dict(node))
    )
    if not found:
        raise UserError(
            "the task does not name its main metric",
            key="optimized_metric",
            hint=f"Write optimized_metric=val/NAME; the task reports "
            f"{', '.join(metric_names(cfg))}.",
        )
    return str(found)
