"""Evaluation of alarms on history: how soon real rises were found, and how often there was none.

The cumulative sum stands beside two usual detectors of drift, ADWIN (Bifet and Gavaldà 2007) and
Page-Hinkley (Page 1954) as river has them, each with its defaults, on the same texts: each text is
1 where it got the watched label. Both assume independent texts, and state no rate of false alarms
in time.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lushan.common.parsing import parse_json
from lushan.errors import UserError
from lushan.monitor.records import MONTH, moment_of
from lushan.monitor.service import Monitor
from lushan.monitor.store import ALL

Row = tuple[int, int, int]
"""Window, texts, and those that got the label."""
DRAWS = 2000
"""Of the bootstrap over changes."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A real rise, in seconds since 1970."""

    start: float
    end: float


def read_changes(path: Path) -> list[Change]:
    """Read JSON lines with `start` and `end`.

    Raises:
        UserError: A line is none; names it.
    """
    found = []
    try:
        lines = path.expanduser().read_bytes().splitlines()
    except OSError as error:
        raise UserError(str(error.strerror), key="--changes", value=str(path)) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
            start, end = moment_of(row["start"]), moment_of(row["end"])
        except (ValueError, TypeError, KeyError):
            start = end = None
        if start is None or end is None or end <= start:
            raise UserError(
                "not a change",
                file=path,
                line=number,
                hint='Write {"start": "2024-05-01T00:00:00Z", "end": "2024-05-02T00:00:00Z"}.',
            )
        found.append(Change(start, end))
    return sorted(found, key=lambda change: change.start)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a detector did on a history.

    Attributes:
        delays: Seconds from each change's start to the end of the window of its first alarm; None
            where there was no alarm before its end.
        false: Alarms outside of changes.
        quiet: Seconds outside of changes, in which alarms are false.
    """

    delays: list[float | None]
    false: int
    quiet: float

    @property
    def found(self) -> int:
        """Changes with an alarm."""
        return sum(delay is not None for delay in self.delays)

    @property
    def false_a_month(self) -> float:
        """False alarms a month."""
        return self.false / self.quiet * MONTH if self.quiet else float("nan")

    def false_interval(self) -> tuple[float, float]:
        """Return the exact Poisson interval of the false alarms a month (Garwood 1936), 95 %."""
        from scipy.stats import chi2

        low = chi2.ppf(0.025, 2 * self.false) / 2 if self.false else 0.0
        high = chi2.ppf(0.975, 2 * self.false + 2) / 2
        scale = MONTH / self.quiet if self.quiet else float("nan")
        return float(low * scale), float(high * scale)

    def delay(self) -> tuple[float, float, float] | None:
        """Return the median delay of the changes found, with a bootstrap interval over them."""
        found = np.array([delay for delay in self.delays if delay is not None])
        if not len(found):
            return None
        rng = np.random.Generator(np.random.SFC64(0))
        drawn = np.median(rng.choice(found, size=(DRAWS, len(found))), axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(np.median(found)), float(low), float(high)


def outcome(
    alarms: Sequence[int], rows: Sequence[Row], changes: Sequence[Change], width: float, first: int
) -> Outcome:
    """Return how alarms did.

    An alarm belongs to a change if its window overlaps it. In the window's length after a change
    none is false either: its last window may have been the one that completed the sum.

    Args:
        alarms: Their windows.
        rows: The windows of the history.
        changes: The real rises.
        width: Seconds of a window.
        first: The window from which alarms were possible; earlier changes are left out.
    """
    last = (rows[-1][0] + 1) * width if rows else 0.0
    begin = first * width
    known = [c for c in changes if c.start >= begin and c.start < last]
    delays: list[float | None] = []
    for change in known:
        ends = [(w + 1) * width for w in alarms]
        inside = [end for end in ends if change.start < end < change.end + width]
        delays.append(min(inside) - change.start if inside else None)
    outside = [
        w
        for w in alarms
        if w >= first
        and not any(c.start < (w + 1) * width and w * width < c.end + width for c in changes)
    ]
    busy = sum(
        max(0.0, min(last, c.end + width) - max(begin, c.start))
        for c in changes
        if c.end > begin and c.start < last
    )
    return Outcome(delays, len(outside), max(0.0, last - begin - busy))


def river_alarms(rows: Sequence[Row], make: Callable[[], Any]) -> list[int]:
    """Return the windows in which a detector of river's finds a rise."""
    detector, found = make(), []
    for window, texts, hits in rows:
        rose = False
        # The order within a window is not kept: those with the label are spread evenly.
        for i in range(texts):
            before = getattr(detector, "estimation", None)
            detector.update(float((i + 1) * hits // texts - i * hits // texts))
            up = before is None or detector.estimation > before
            rose = rose or (detector.drift_detected and up)
        if rose:
            found.append(window)
    return found


def references() -> dict[str, Callable[[], Any]]:
    """Return detectors of river's by name; none where it is not installed."""
    if importlib.util.find_spec("river") is None:
        return {}
    from river import drift

    return {"ADWIN": drift.ADWIN, "Page-Hinkley": lambda: drift.PageHinkley(mode="up")}


def outcomes(monitor: Monitor, changes: Sequence[Change]) -> dict[str, Outcome]:
    """Return how each detector did on all texts of a monitor's history."""
    rows = monitor.store.series(ALL, 0, monitor.closed)
    sums = monitor.store.sums(ALL)
    if not sums:
        raise UserError(
            "the history is shorter than the baseline, or has fewer than 100 texts in it",
            key="--baseline",
            value=monitor.settings.baseline,
        )
    first, width = sums[0][0], monitor.settings.window
    alarms = {"CUSUM": [a["window"] for _, a in monitor.store.alarms() if a["series"] == ALL]}
    for name, make in references().items():
        alarms[name] = [w for w in river_alarms(rows, make) if w >= first]
    return {n: outcome(found, rows, changes, width, first) for n, found in alarms.items()}


def report(monitor: Monitor, changes: Sequence[Change] | None) -> str:
    """Return the evaluation as a table; without changes, every alarm counts as false."""
    found = outcomes(monitor, changes or ())
    days = next(iter(found.values())).quiet / 86400
    lines = [
        f"{days:.1f} days without a change; stated: "
        f"{MONTH / monitor.settings.between:.3g} false alarms a month, "
        f"{MONTH / monitor.settings.between / len(monitor.settings.series):.3g} of them of all "
        "texts; 95 % intervals",
        f"{'detector':<14}{'found':>10}{'median delay, h':>26}{'false alarms a month':>28}",
    ]
    for name, one in found.items():
        delay = one.delay()
        hours = (
            "-" if delay is None else "{:.1f} [{:.1f}, {:.1f}]".format(*(d / 3600 for d in delay))
        )
        low, high = one.false_interval()
        rate = f"{one.false_a_month:.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"{name:<14}{f'{one.found} of {len(one.delays)}':>10}{hours:>26}{rate:>28}")
    if len(found) == 1:
        lines.append("install river to compare with ADWIN and Page-Hinkley")
    return "\n".join(lines)
