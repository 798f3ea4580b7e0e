"""The mark of what a config may name by `_target_`.

A config is data, and often somebody else's; what it may call is said where it is defined, by
`@configurable`, and nothing else of lushan can be called.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

_MARK = "__configurable__"


def configurable(thing: T) -> T:
    """Mark a class or function as a permitted target of a config.

    What derives from a marked class is not permitted by that.
    """
    setattr(thing, _MARK, True)
    return thing


def is_configurable(thing: object) -> bool:
    """Return whether this very class or function carries the mark."""
    return getattr(thing, "__dict__", {}).get(_MARK) is True
