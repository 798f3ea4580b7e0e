"""Status of each job of a sweep: collected by launcher and sweeper, shown by the command line."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lushan.common.terminal import in_line
from lushan.common.units import head, number
from lushan.errors import UserError
from lushan.run.result import RunResult
from lushan.run.status import COMPLETE, FAILED, INTERRUPTED, PRUNED

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {
    COMPLETE: "green",
    FAILED: "red",
    INTERRUPTED: "yellow",
    PRUNED: "magenta",
    "running": "cyan",
    "new": "dim",
}


@dataclasses.dataclass(frozen=True)
class JobStatus:
    """Status of a job of `lushan train` or of a study that has ended.

    Args:
        state: `complete`, `pruned`, `interrupted` or `failed`; `running` where another process has
            the run.
        number: Number of the job in its sweep, from 0; None of a single run.
        overrides: What sets it apart from the other jobs of its sweep.
        reason: Why it is not complete, in one line.
        exit_code: Its own: 0, 1, 2, 130, 143; negative for a signal that killed it.
        folder: Its run folder, where one is known.
        seconds: Its time.
        metric: The metric that is shown of it; the result's main one where None.
        result: What its run reports; None where it is not complete, and of another rank than the
            first.
        answered: Whether it was complete before.
        begun: Whether it began a run that it did not complete.
    """

    state: str
    number: int | None = None
    overrides: tuple[str, ...] = ()
    reason: str | None = None
    exit_code: int = 0
    folder: Path | None = None
    seconds: float = 0.0
    metric: str | None = None
    result: RunResult | None = None
    answered: bool = False
    begun: bool = False

    @property
    def shown(self) -> str | None:
        """The name of the metric that is shown; None without a result."""
        return None if self.result is None else self.metric or self.result.headline

    @property
    def value(self) -> float | None:
        """The value of that metric."""
        return None if self.result is None else self.result.metrics.get(str(self.shown))


_collected: list[JobStatus] = []
_notes: list[str] = []


def record(status: JobStatus) -> None:
    """Add the status of a job that has ended."""
    _collected.append(status)


def collected() -> list[JobStatus]:
    """Return the statuses of the jobs of this process's sweep so far, by number."""
    return sorted(_collected, key=lambda status: -1 if status.number is None else status.number)


def add_note(text: str) -> None:
    """Add a line to be printed after the closing table."""
    _notes.append(text)


def notes() -> list[str]:
    """Return what is printed after the closing table."""
    return list(_notes)


def clear() -> None:
    """Remove all statuses and notes: another sweep begins."""
    _collected.clear()
    _notes.clear()


def exit_code(jobs: Sequence[JobStatus]) -> int:
    """Return the exit code of a sweep.

    0 when all jobs are complete or pruned, 2 when the user's mistake kept every one of them from
    running, else 1.
    """
    if jobs and all(job.exit_code == UserError.exit_code for job in jobs):
        return UserError.exit_code
    return int(any(job.state not in (COMPLETE, PRUNED) for job in jobs))


def exit_reason(code: int) -> str:
    """Return in words how a process ended that could not report it."""
    number = -code if code < 0 else code - 128
    if number in signal.valid_signals():
        return f"ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def status_table(jobs: Sequence[JobStatus]) -> Table:
    """Return the closing table of a sweep: a column for each metric, and the run folders."""
    from rich.table import Table  # no single run needs it

    metrics = {job.shown: job.result.measure(job.shown) for job in jobs if job.result and job.shown}
    table = Table("job", "overrides", "state", box=None, pad_edge=False)
    for metric, measure in metrics.items():
        table.add_column(_plain(head(metric, measure)), justify="right", overflow="fold")
    table.add_column("s")
    # A folder is copied from here: it stays whole, on a narrow terminal too.
    longest = max((len(str(job.folder or "")) for job in jobs), default=0)
    table.add_column("run", min_width=longest, no_wrap=True)
    table.add_column("reason")
    for job in jobs:
        state = "complete (before)" if job.answered else job.state
        values = [
            number(job.value, measure) if metric == job.shown and job.value is not None else ""
            for metric, measure in metrics.items()
        ]
        table.add_row(
            str(job.number),
            _plain(" ".join(job.overrides)),
            f"[{STYLES.get(job.state, 'default')}]{state}",
            *values,
            "" if job.answered else f"{job.seconds:.1f}",
            _plain(str(job.folder or "")),
            _plain(job.reason or ""),
        )
    return table


def _plain(text: str) -> str:
    return in_line(text).replace("[", r"\[")


def describe(jobs: Sequence[JobStatus]) -> str:
    """Return one line: `12 jobs: 9 complete (4 before), 1 interrupted, 2 failed`."""
    parts = []
    for state in (COMPLETE, PRUNED, INTERRUPTED, FAILED):
        count = sum(job.state == state for job in jobs)
        before = sum(job.answered for job in jobs if job.state == state)
        if count:
            parts.append(f"{count} {state}" + (f" ({before} before)" if before else ""))
    total = f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}"
    return f"{total}: {', '.join(parts)}" if parts else total
