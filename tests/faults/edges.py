"""Every key of a config that takes a number, found by the signatures of what the config names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lushan.config.signatures import signature
from lushan.config.types import fits

GROUPS = ("data", "processor", "optimizer", "scheduler", "task", "trainer", "callbacks")
"""Whose numbers decide how a run goes. A model's sizes are its architecture's to refuse."""
EDGES = (0, -1, 10**12, 0.5, -0.5, 1e-300, 1e300, "nan")


def numeric_keys(node: Mapping[str, Any], key: str = "") -> Iterator[str]:
    """The dotted keys at and below a node of a config that take a number, set there or not."""
    if "_target_" in node:
        for name, parameter in signature(node["_target_"], key).parameters.items():
            number = any(fits(value, parameter.kind) for value in (1, 0.5))
            if number and parameter.kind != ["any"] and not parameter.late:
                yield f"{key}.{name}"
    for name, inner in node.items():
        if isinstance(inner, Mapping):
            yield from numeric_keys(inner, f"{key}.{name}" if key else str(name))


def keys_of(config: Mapping[str, Any]) -> list[str]:
    """Those of `GROUPS`."""
    found = [key for group in GROUPS for key in numeric_keys(config.get(group) or {}, group)]
    return list(dict.fromkeys(found))
