"""Differences of a table's rows to a baseline, as the table shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from lushan.common.units import Measure, p_text, signed
from lushan.study.differences import Contrast
from lushan.study.named_tests import LEVEL, OVER_RUNS, TESTS

Place = tuple[tuple[str, ...], tuple[str, ...], str]
"""Row, column, metric."""


@dataclasses.dataclass(frozen=True)
class Against:
    """Baseline of a table's rows, and the differences to it.

    Attributes:
        row: The baseline's.
        name: As it is written in heads: its value, or `key=value` of each key.
        test: One of `named_tests.TESTS`.
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
        """Return a comparison in full, for programs."""
        c = self.contrasts.get(place)
        if c is None:
            return [self.name, self.test, *[None] * 6]
        return [self.name, self.test, c.effect, c.low, c.high, c.p, c.corrected, c.why or ""]

    @property
    def caption(self) -> str:
        """Caption of the differences, in a sentence."""
        decided = sum(c.p is not None for c in self.contrasts.values())
        if not decided:
            return f"Differences to {self.name}, without tests: {TESTS[self.test]} is not possible."
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
