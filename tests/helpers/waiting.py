"""Wait for something that another process or thread does, and fail where it never happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeVar

T = TypeVar("T")


class Started(Protocol):
    """A process, as `subprocess` has it."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it lives."""


def until(
    condition: Callable[[], T],
    seconds: float = 120,
    *,
    process: Started | BaseProcess | None = None,
    said: Callable[[], object] = lambda: "",
    pause: float = 0.01,
) -> T:
    """Return what a condition gives as soon as that is true.

    Args:
        condition: Is asked again and again.
        seconds: After which the test fails: so many that a busy machine makes none fail.
        process: That makes it true: once that has ended, nothing is waited for.
        said: What explains a failure.
        pause: Seconds between two looks.

    Raises:
        AssertionError: It never became true.
    """
    end = time.monotonic() + seconds
    while True:
        ended = _has_ended(process)  # asked first: the condition may be the last that it did
        if found := condition():
            return found
        assert not ended, f"ended before it was true: {said()}"
        assert time.monotonic() < end, f"not true within {seconds:g} s: {said()}"
        time.sleep(pause)


def _has_ended(process: Started | BaseProcess | None) -> bool:
    if process is None:
        return False
    if isinstance(process, BaseProcess):
        return not process.is_alive()
    return process.poll() is not None
