"""A table's rows against one of them: every difference with its interval, and p over the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from lushan.common.units import Measure, signed
from lushan.errors import UserError, did_you_mean
from lushan.study import differences
from lushan.study.differences import LEVEL, OVER_RUNS, TESTS, Contrast
from lushan.study.numbers import p_text

if TYPE_CHECKING:
    from lushan.study.grid import Grid

Place = tuple[tuple[str, ...], tuple[str, ...], str]
"""Row, column, metric."""


@dataclasses.dataclass(frozen=True)
class Against:
    """What the rows of a table are compared with, and how.

    Attributes:
        row: The baseline's.
        name: As it is written in heads: its value, or `key=value` of each key.
        test: One of `contrast.TESTS`.
        contrasts: Of every other cell, corrected over all of them.
        measures: Unit of each metric.
    """

    row: tuple[str, ...]
    name: str
    test: str
    contrasts: Mapping[Place, Contrast]
    measures: Mapping[str, Measure]

    FIELDS: ClassVar = (
        "baseline",
        "test",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "undecided",
    )
    """The columns of `fields`."""

    def text(self, place: Place) -> str:
        """`+2.10 [0.30, 3.90], p = 0.021 *`, or why there is no p: `+2.10, undecided`."""
        found = self.contrasts.get(place)
        if found is None or found.effect is None:
            return "–" if found is None or not found.compares else "undecided"
        measure = self.measures[place[-1]]
        text = signed(found.effect, measure)
        if found.low is None or found.high is None or found.corrected is None:
            return f"{text}, undecided"
        within = f"[{signed(found.low, measure)}, {signed(found.high, measure)}]"
        return f"{text} {within}, {p_text(found.corrected)}{' *' if found.is_marked else ''}"

    def fields(self, place: Place) -> list[str | float | None]:
        """The same for programs, in full."""
        c = self.contrasts.get(place)
        if c is None:
            return [self.name, self.test, *[None] * 6]
        return [self.name, self.test, c.effect, c.low, c.high, c.p, c.corrected, c.why or ""]

    @property
    def caption(self) -> str:
        """What the differences are, in a sentence."""
        decided = sum(c.p is not None for c in self.contrasts.values())
        if not decided:
            return f"Differences to {self.name}, none of which can be tested by {TESTS[self.test]}."
        times = "1 comparison" if decided == 1 else f"{decided} comparisons"
        seeds = "" if self.test in OVER_RUNS else ", of these runs and not of other seeds"
        return (
            f"Differences to {self.name} with 95 % intervals; p by {TESTS[self.test]}{seeds}, "
            f"corrected by Holm over {times}, * where it is below {LEVEL}."
        )

    def notes(self) -> list[str]:
        """A line for each reason why something is undecided, with the cells it is the reason of."""
        cells: dict[str, list[str]] = {}
        for (row, column, metric), c in self.contrasts.items():
            if c.why is not None and c.compares:  # else the table says so
                cells.setdefault(c.why, []).append(" ".join([*row, *column, metric]))
        return [f"Undecided: {', '.join(names)} ({why})." for why, names in cells.items()]


def against(
    grid: Grid, baseline: str, test: str, *, column: tuple[str, ...] | None = None
) -> Against:
    """Compare all rows of a table with one, in each column with that row's cell there.

    Args:
        grid: The table.
        baseline: A value of the row's key; of several keys `key=value,key=value`.
        test: One of `contrast.TESTS`.
        column: Compare the cells of all columns with the row's cell in this one.

    Raises:
        UserError: There is no such row or test, or the baseline names several rows.
    """
    differences.require_test(test)
    base = find(grid, baseline)
    read = differences.reader()
    found = {
        (row, here, metric): differences.contrast(
            grid.cells[row, here, metric].members,
            grid.cells[base, column or here, metric].members,
            metric,
            test,
            read,
        )
        for here in grid.columns
        for row in grid.rows
        for metric in grid.metrics
        # Of a combination that nobody runs there is nothing to be decided.
        if (row, here) != (base, column or here) and grid.cells[row, here, metric].runs
    }
    judged = differences.corrected(list(found.values()))
    name = base[0] if len(base) == 1 else ",".join(_parts(grid, base))
    if column is not None:
        parts = zip(grid.column_keys, column, strict=True)
        name = ",".join([*_parts(grid, base), *(f"{key}={value}" for key, value in parts)])
    return Against(base, name, test, dict(zip(found, judged, strict=True)), grid.measures)


def find(grid: Grid, baseline: str) -> tuple[str, ...]:
    """The row that a baseline names.

    Raises:
        UserError: None, or several.
    """
    names = {row: ",".join(_parts(grid, row)) for row in grid.rows}
    matching = [row for row in grid.rows if baseline in (names[row], *row[: len(row) == 1])]
    if not matching:
        # In any order, and with fewer keys where these are enough.
        wanted = {_dotted(part.strip()) for part in baseline.split(",")}
        matching = [row for row in grid.rows if wanted <= set(_parts(grid, row))]
    if len(matching) == 1:
        return matching[0]
    known = [row[0] if len(row) == 1 else names[row] for row in grid.rows]
    several = ", ".join(names[row] for row in matching)
    raise UserError(
        f"it is the name of several rows: {several}" if matching else "no such row",
        key="--baseline",
        value=baseline,
        hint=(None if matching else did_you_mean(baseline, known))
        or f"Write one of {', '.join(known)}.",
    )


def _parts(grid: Grid, row: tuple[str, ...]) -> list[str]:
    return [f"{_dotted(key)}={value}" for key, value in zip(grid.keys, row, strict=True)]


def _dotted(part: str) -> str:
    """`task.head=a/b` of `task/head=a/b`."""
    key, equals, value = part.partition("=")
    return f"{key.replace('/', '.')}{equals}{value}"
