"""A bar on a terminal while something is done to many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from lushan.common.terminal import console, is_quiet


class Bar:
    """A bar on a terminal while something is done to many."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> Callable[[int, int], None] | None:
        self.progress: Any = None
        if is_quiet() or not sys.stderr.isatty():
            return None
        from rich.progress import Progress

        self.progress = Progress(console=console(stderr=True), transient=True)
        self.progress.start()
        task = self.progress.add_task(self.what, total=None)
        return lambda done, of: self.progress.update(task, completed=done, total=of)

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()
