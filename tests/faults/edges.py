"""Every key of a config that takes a number, found by the signatures of what the config names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lushan.config.kinds import fits
from lushan.config.signatures import signature

GROUPS = ("data", "optimizer", "scheduler", "task", "trainer", "callbacks")
EDGES = {"zero": 0, "negative": -1, "huge": 10**12, "fraction": 0.5, "tiny": 1e-300, "vast": 1e300}


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
    """Those of the groups whose numbers decide how a run goes."""
    found = [key for group in GROUPS for key in numeric_keys(config.get(group) or {}, group)]
    return list(dict.fromkeys(found))


def overrides(keys: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Each key with each of its edges."""
    for key in keys:
        yield from ((key, value) for value in EDGES.values())
