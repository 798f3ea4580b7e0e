"""A bar on a terminal, with the time that is left, while something is done to many."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from lushan.common.terminal import console, is_quiet

T = TypeVar("T")
MOMENT = 1.0
"""Seconds after which work on many things shows a bar."""


class Bar:
    """A bar on a terminal while something is done to many.

    There is one at a time, of the command itself: within another, and in the threads of a server,
    none is shown.

    Args:
        what: Is done.
        after: Seconds before it is shown.
    """

    shown: ClassVar[Bar | None] = None

    def __init__(self, what: str, after: float = 0.0) -> None:
        self.what, self.after = what, after
        self.progress: Any = None
        self.begun = time.monotonic()

    def __enter__(self) -> Callable[[int, int], None] | None:
        inside = threading.current_thread() is not threading.main_thread()
        if inside or is_quiet() or not sys.stderr.isatty():
            return None
        if not self.after:
            self._start()
        return self._update

    def _start(self) -> None:
        if Bar.shown is not None:
            return
        from rich.progress import Progress

        Bar.shown = self
        self.progress = Progress(console=console(stderr=True), transient=True)
        self.progress.start()
        self.task = self.progress.add_task(self.what, total=None)

    def _update(self, done: int, of: int) -> None:
        if self.progress is None and time.monotonic() - self.begun >= self.after:
            self._start()
        if self.progress is not None:
            self.progress.update(self.task, completed=done, total=of)

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()
            Bar.shown = None


def over(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield items, with a bar on a terminal where that takes more than a moment."""
    with Bar(what, MOMENT) as report:
        for done, item in enumerate(items, start=1):
            yield item
            if report is not None:
                report(done, len(items))
