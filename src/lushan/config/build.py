"""The one place where a config becomes an object."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from lushan.config.targets import locate
from lushan.errors import UserError

RESERVED = ("_target_", "_partial_")
"""Keys of a node that are not arguments."""


def build(node: Mapping[str, Any], *, at: str = "", **late: Any) -> Any:
    """Call what a node names, with its other keys as arguments, inner nodes first.

    Args:
        node: A mapping with `_target_`, in plain values; with `_partial_: true` the result is a
            `functools.partial`, to be called later.
        at: The dotted key of the node, for errors.
        **late: Arguments that only code can give.

    Raises:
        UserError: The target is not allowed, or a library refuses its arguments.
    """
    target = locate(node["_target_"], at)
    arguments = {
        name: _inner(value, f"{at}.{name}" if at else name)
        for name, value in node.items()
        if name not in RESERVED
    }
    if node.get("_partial_"):
        return functools.partial(target, **arguments, **late)
    try:
        return target(**arguments, **late)
    except UserError:
        raise
    except Exception as error:
        # A library refuses a value: it is the config's, whatever exception tells of it.
        if isinstance(error, ValueError | TypeError) or _is_of_lightning(error):
            raise UserError(
                f"{node['_target_']} cannot be made: {_first_line(error)}", key=at or None
            ) from error
        raise


def _inner(value: Any, at: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, at=at)
        return {name: _inner(item, f"{at}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_inner(item, f"{at}.{i}") for i, item in enumerate(value)]
    return value


def _is_of_lightning(error: Exception) -> bool:
    return type(error).__name__ == "MisconfigurationException"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
