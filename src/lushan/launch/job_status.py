"""Status of each job of a sweep: collected by launcher and sweeper, shown by the command line."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from lushan.common.terminal import in_line
from lushan.common.units import Measure, head, number
from lushan.errors import UserError
from lushan.run.folder import COMPLETE, FAILED, INTERRUPTED, PRUNED

STYLES = {
    COMPLETE: "green",
    FAILED: "red",
    INTERRUPTED: "yellow",
    PRUNED: "magenta",
    "running": "cyan",
    "new": "dim",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Status of one job of a sweep at its end.

    Args:
        number: Number of the job, from 0.
        overrides: What sets it apart.
        state: `complete`, `pruned`, `interrupted` or `failed`.
        reason: Why it is not complete, in one line.
        exit_code: Its own: 0, 1, 2, 130, 143; negative for a signal that killed it.
        folder: Its run folder, where one is known.
        seconds: Its time.
        metric: The metric of `value`.
        value: What it returned.
        measure: What is to be known of the metric, as `result.json` has it.
        answered: Whether it was complete before.
    """

    number: int
    overrides: tuple[str, ...]
    state: str
    reason: str | None = None
    exit_code: int = 0
    folder: str | None = None
    seconds: float = 0.0
    metric: str | None = None
    value: Any = None
    measure: Any = None
    answered: bool = False


_collected: list[Outcome] = []
_notes: list[str] = []


def record(outcome: Outcome) -> None:
    """Add the outcome of a job."""
    _collected.append(outcome)


def collected() -> list[Outcome]:
    """Return the outcomes of the jobs of this process's sweep so far, by number."""
    return sorted(_collected, key=lambda outcome: outcome.number)


def add_note(text: str) -> None:
    """Add a line to be printed after the closing table."""
    _notes.append(text)


def notes() -> list[str]:
    """Return what is printed after the closing table."""
    return list(_notes)


def clear() -> None:
    """Forget all outcomes: another sweep begins."""
    _collected.clear()
    _notes.clear()


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of a sweep.

    0 when all jobs are complete or pruned, 2 when the user's mistake kept every one of them from
    running, else 1.
    """
    if outcomes and all(outcome.exit_code == UserError.exit_code for outcome in outcomes):
        return UserError.exit_code
    return int(any(outcome.state not in (COMPLETE, PRUNED) for outcome in outcomes))


def exit_reason(code: int) -> str:
    """Return in words how a process ended that could not report it.

    Args:
        code: Its exit code; negative for the signal that ended it.
    """
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number in signal.valid_signals():
        return f"ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """Return the closing table of a sweep: a column for each metric, and the run folders."""
    metrics = {o.metric: Measure.from_dict(o.measure or {}) for o in outcomes if o.metric}
    table = Table("job", "overrides", "state", box=None, pad_edge=False)
    for metric, measure in metrics.items():
        table.add_column(_plain(head(metric, measure)), justify="right", overflow="fold")
    table.add_column("s")
    # A folder is copied from here: it stays whole, on a narrow terminal too.
    longest = max((len(outcome.folder or "") for outcome in outcomes), default=0)
    table.add_column("run", min_width=longest, no_wrap=True)
    table.add_column("reason")
    for outcome in outcomes:
        state = "complete (before)" if outcome.answered else outcome.state
        values = [
            number(outcome.value, measure)
            if metric == outcome.metric and isinstance(outcome.value, float)
            else ""
            for metric, measure in metrics.items()
        ]
        table.add_row(
            str(outcome.number),
            _plain(" ".join(outcome.overrides)),
            f"[{STYLES.get(outcome.state, 'default')}]{state}",
            *values,
            "" if outcome.answered else f"{outcome.seconds:.1f}",
            _plain(outcome.folder or ""),
            _plain(outcome.reason or ""),
        )
    return table


def _plain(text: str) -> str:
    return in_line(text).replace("[", r"\[")


def describe(outcomes: Sequence[Outcome]) -> str:
    """Return one line: `12 jobs: 9 complete (4 before), 1 interrupted, 2 failed`."""
    parts = []
    for state in (COMPLETE, PRUNED, INTERRUPTED, FAILED):
        count = sum(outcome.state == state for outcome in outcomes)
        before = sum(outcome.answered for outcome in outcomes if outcome.state == state)
        if count:
            parts.append(f"{count} {state}" + (f" ({before} before)" if before else ""))
    jobs = f"{len(outcomes)} job{'s' if len(outcomes) != 1 else ''}"
    return f"{jobs}: {', '.join(parts)}" if parts else jobs
