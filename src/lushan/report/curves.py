"""Numbers over the steps of training: of each group of runs a mean, and the band around it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError, first_line
from lushan.run import checksums
from lushan.run.metrics_csv import read_rows
from lushan.study.collect import Member

MOST_POINTS = 400
"""Steps of a curve that are drawn: a screen has no more. Of more, every so many are."""
NO_METRICS = ("step", "epoch", "seconds")

Series = dict[int, float]
"""Step to value."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric of some runs over the steps.

    Attributes:
        steps: Those that are drawn.
        mean: Over the runs that have a number there.
        low: The lowest of these.
        high: The highest.
        sd: Their standard deviation; 0 of a single run.
        runs: How many they are.
        of: How many steps there are.
    """

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    sd: list[float]
    runs: list[int]
    of: int


def read(member: Member) -> tuple[dict[str, Series], str | None]:
    """A run's metrics over its steps; and what is wrong with the file, where something is."""
    try:
        rows = read_rows(checksums.verified(member.folder, "metrics.csv"))
        found: dict[str, Series] = {}
        for row in rows:
            for name, text in row.items():
                # csv gives what stands beyond the head under the name None.
                if text and name and name not in NO_METRICS:
                    value = float(text)
                    if math.isfinite(value):
                        found.setdefault(name, {})[int(row["step"])] = value
    except (OSError, UserError, ValueError, TypeError) as error:
        return {}, f"metrics.csv cannot be read: {first_line(error)}"
    return found, None


def together(runs: Sequence[Mapping[str, Series]]) -> dict[str, Curve]:
    """The curves of some runs that differ in nothing but the seed."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: _curve(aligned([run[name] for run in runs if name in run])) for name in names}


def aligned(series: Sequence[Series]) -> Sequence[Series]:
    """Series at common steps, where the k-th number of one clearly is the k-th of the others.

    An epoch has a batch more or less with another seed: what is measured at its end stands at steps
    264, 265 and 266 of three runs, and is one point of their curve, at the mean of these.
    """
    if len({len(one) for one in series}) != 1:
        return series
    places = list(zip(*(sorted(one) for one in series), strict=True))
    if any(max(here) >= min(after) for here, after in itertools.pairwise(places)):
        return series
    steps = [math.floor(sum(place) / len(place) + 0.5) for place in places]
    return [dict(zip(steps, (one[s] for s in sorted(one)), strict=True)) for one in series]


def _curve(series: Sequence[Series]) -> Curve:
    steps = sorted({step for one in series for step in one})
    drawn = thinned(steps)
    table = np.full((len(series), len(drawn)), math.nan)
    for row, one in zip(table, series, strict=True):
        row[:] = [one.get(step, math.nan) for step in drawn]
    known = ~np.isnan(table)
    runs = known.sum(0)
    total = np.where(known, table, 0.0)
    mean = total.sum(0) / runs
    squares = np.where(known, (table - mean) ** 2, 0.0).sum(0)
    sd = np.sqrt(squares / np.maximum(runs - 1, 1))
    low = np.where(known, table, math.inf).min(0)
    high = np.where(known, table, -math.inf).max(0)
    counts = [int(n) for n in runs]
    numbers = (_rounded(mean), _rounded(low), _rounded(high), _rounded(sd))
    return Curve(drawn, *numbers, counts, len(steps))


def thinned(steps: Sequence[int]) -> list[int]:
    """Return about `MOST_POINTS` of some steps at most, evenly, with the last among them."""
    every = -(-len(steps) // MOST_POINTS)
    return [s for i, s in enumerate(steps) if i % max(1, every) == 0 or i == len(steps) - 1]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """Six digits: more than any screen shows, in a third of the bytes."""
    return [float(f"{value:.6g}") for value in values]
