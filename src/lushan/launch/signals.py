"""SIGTERM, Ctrl-C, SIGHUP, SIGUSR1: stop with everything saved; exit codes by signal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from lushan.errors import Interrupted

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""SIGHUP comes when a terminal is closed; SIGUSR1 is what many SLURM scripts ask for before a time
limit: `--signal=USR1@120`."""


def wanted() -> tuple[signal.Signals, ...]:
    """Return those of `CAUGHT` that mean this process: `nohup` has SIGHUP ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(one for one in CAUGHT if not (ignored and one is signal.SIGHUP))


class Signals:
    """Turns signals into `Interrupted`: at once, or where the training loop can save first.

    Attributes:
        pending: The signal that waits to be honoured, or None.
        deferred: Whether a first signal waits for the loop; a second one never does.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self.deferred = False

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.deferred and self.pending is None:
            self.pending = signum
            return
        self.pending = signum
        raise Interrupted(signum)

    def install(self) -> None:
        """Take the signals; again after a library has put its own handlers in."""
        for signum in wanted():
            signal.signal(signum, self._handle)

    @contextlib.contextmanager
    def caught(self) -> Iterator[Signals]:
        """Take the signals for the length of a block (in the main thread; elsewhere do nothing)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {signum: signal.getsignal(signum) for signum in wanted()}
        self.install()
        try:
            yield self
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def end_with(parent: int) -> None:
    """Let this process get SIGTERM when its parent has ended, however that came about (Linux).

    Args:
        parent: The process that started this one; it may be gone already.
    """
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)
