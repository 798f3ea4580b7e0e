"""Values of a run's config: by key or group, and as a person would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lushan.run.files import jsonable
from lushan.run.identity import ABSENT, lookup


def value_of(key: str, config: Mapping[str, Any], choices: Mapping[str, Any]) -> object:
    """The value of a key or group: `task/head` and `task.head` are the option that was chosen.

    Returns:
        `ABSENT` where the run has neither such a choice nor such a key.
    """
    group = key.replace(".", "/")
    if choices.get(group) is not None:
        return choices[group]
    return lookup(config, key.replace("/", "."))


def show(value: object) -> str:
    """A value as a person would write it."""
    if value is ABSENT or value is None:
        return "-"
    if isinstance(value, Mapping) and isinstance(value.get("_target_"), str):
        return str(value["_target_"]).rpartition(".")[2]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(jsonable(value), ensure_ascii=False)
    return str(value)
