"""Declarations of a callable for configs: that it may be named, and the bounds of its arguments.

A config is data, and often another person's; what it may call is declared where it is defined,
by `@configurable`, and nothing else of lushan can be called. The bounds of a number stand in its
annotation, `Annotated[int, Within(least=1)]`, and are checked before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

T = TypeVar("T")

_MARK = "__configurable__"


@dataclasses.dataclass(frozen=True)
class Within:
    """The bounds of a number; None is none. NaN and infinity are within no bounds."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether a number is within the bounds."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = f"above {self.above:g}" if self.above is not None else ""
        low = f"{self.least:g} or more" if self.least is not None else low
        high = f"below {self.below:g}" if self.below is not None else ""
        high = f"{self.most:g} at most" if self.most is not None else high
        return ", and ".join(part for part in (low, high) if part)


def configurable(thing: T) -> T:
    """Mark a class or function as a permitted target of a config.

    What derives from a marked class is not permitted by that.
    """
    setattr(thing, _MARK, True)
    return thing


def is_configurable(thing: object) -> bool:
    """Return whether this very class or function carries the mark."""
    return getattr(thing, "__dict__", {}).get(_MARK) is True
