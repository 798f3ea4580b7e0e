"""Content of a table, before it is written."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from lushan.common.units import Measure, head, number
from lushan.study.collect import Member

if TYPE_CHECKING:
    from lushan.study.against import Against


@dataclasses.dataclass(frozen=True)
class Cell:
    """Runs of one row in one column, by one metric.

    Attributes:
        numbers: Of the complete runs.
        runs: How many there are, complete or not.
        members: The runs themselves.
    """

    numbers: tuple[float, ...]
    runs: int
    members: tuple[Member, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean of the runs; None where no run is complete."""
        return statistics.fmean(self.numbers) if self.numbers else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the sample; None for fewer than two runs."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None

    @property
    def n(self) -> str:
        """`3`, or `2 of 3` where one is not complete."""
        count = len(self.numbers)
        return str(count) if count == self.runs else f"{count} of {self.runs}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Content of a table, before it is written.

    Attributes:
        keys: What the rows differ in.
        column_keys: What the columns differ in.
        over: What is averaged over.
        rows: Values of `keys`, one tuple a row.
        columns: Values of `column_keys`, one tuple a column.
        metrics: Shown for each column.
        cells: By row, column, metric.
        notes: What the reader must know.
        measures: Unit and direction of each metric.
        against: What the rows are compared with.
        apart: Column and metric, where the metric does not compare between the rows.
    """

    keys: Sequence[str]
    column_keys: Sequence[str]
    over: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    columns: Sequence[tuple[str, ...]]
    metrics: Sequence[str]
    cells: dict[tuple[tuple[str, ...], tuple[str, ...], str], Cell]
    notes: Sequence[str]
    measures: Mapping[str, Measure]
    against: Against | None = None
    apart: Collection[tuple[tuple[str, ...], str]] = ()

    def best(self, column: tuple[str, ...], metric: str) -> set[tuple[str, ...]]:
        """Return the best rows of a column, and those equal to them at the digits shown."""
        return self._ranked(column, metric, 0)

    def second(self, column: tuple[str, ...], metric: str) -> set[tuple[str, ...]]:
        """The second best; of two rows the other one is no news, and none is."""
        return self._ranked(column, metric, 1) if len(self.rows) > 2 else set()

    def _ranked(self, column: tuple[str, ...], metric: str, place: int) -> set[tuple[str, ...]]:
        means = {row: self.cells[row, column, metric].mean for row in self.rows}
        known = {row: mean for row, mean in means.items() if mean is not None}
        measure = self.measures[metric]
        if (column, metric) in self.apart:
            return set()
        if len(known) < 2 or measure.higher_is_better is None:
            return set()
        order = sorted(known.values(), reverse=measure.higher_is_better)
        shown = list(dict.fromkeys(number(mean, measure) for mean in order))[place : place + 1]
        return {row for row, mean in known.items() if number(mean, measure) in shown}

    def head(self, metric: str) -> str:
        """Return a metric's name with its unit."""
        return head(metric, self.measures[metric])
