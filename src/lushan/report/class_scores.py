"""Scores by class with their intervals, and confusion matrices, from stored predictions.

The field of the gold values defines the classes of an example, and which belong together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.data.fields import Field
from lushan.data.record_schema import RecordSchema
from lushan.data.stored import Tally
from lushan.metrics import prf
from lushan.metrics.stats import bootstrap
from lushan.study.example_statistics import MOST_COUNTS
from lushan.study.records import Records

RESAMPLES = 1000


class TooMany(Exception):
    """Too many classes and examples for scores by class with intervals."""

    def __init__(self, classes: int, examples: int) -> None:
        super().__init__(
            f"{classes:,} classes in {examples:,} examples are too many for scores by class"
        )


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """A run's predictions by class.

    Attributes:
        classes: That occur, in gold or predicted, sorted.
        counts: (N, 3, C), right, predicted and gold of each example.
        confusion: (gold, predicted) to number; empty where no pairs belong together.
        caption: What a cell counts, for people.
        unpaired: Whether one side of a cell may be `NONE`.
    """

    classes: list[str]
    counts: NDArray[np.float64]
    confusion: Mapping[tuple[str, str], int]
    caption: str
    unpaired: bool


@dataclasses.dataclass(frozen=True)
class Score:
    """A class in a group of runs: means over the runs.

    Attributes:
        label: Its name.
        precision: Share of what was predicted that is right.
        recall: Share of what is there that was found.
        f1: Of both.
        low: Lower end of the F1's 95 % interval over examples; None where the runs
            were evaluated on different examples.
        high: Upper end.
        runs: The F1 of each run.
        support: How many there are.
        predicted: How many were predicted, mean over the runs.
    """

    label: str
    precision: float
    recall: float
    f1: float
    low: float | None
    high: float | None
    runs: list[float]
    support: int
    predicted: float


def class_counts(records: Records, schema: RecordSchema) -> ClassCounts | None:
    """Count a run's predictions by class; None where they have no classes.

    Raises:
        TooMany: There are too many of them.
    """
    if schema.gold is None:
        return None
    field = schema.gold[1]
    tallies = [field.tally(gold, predicted) for _, gold, predicted in schema.pairs(records)]
    found = [tally for tally in tallies if tally is not None]
    if not found or len(found) < len(tallies):
        return None
    cells = (pair for tally in found for pair in tally.pairs) if field.confusion else ()
    return _class_counts(found, _counted(cells), field)


def _counted(cells: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for cell in cells:
        found[cell] = found.get(cell, 0) + 1
    return found


def _class_counts(
    tallies: Sequence[Tally], confusion: Mapping[tuple[str, str], int], field: Field
) -> ClassCounts:
    classes = sorted({label for one in tallies for label in (*one.gold, *one.predicted)})
    if 3 * len(classes) * len(tallies) > MOST_COUNTS:
        raise TooMany(len(classes), len(tallies))
    place = {label: i for i, label in enumerate(classes)}
    counts = np.zeros((len(tallies), 3, len(classes)))
    for row, one in zip(counts, tallies, strict=True):
        for column, labels in zip(row, (one.right, one.predicted, one.gold), strict=True):
            for label in labels:
                column[place[label]] += 1
    return ClassCounts(classes, counts, confusion, field.confusion, field.unpaired)


def scores(runs: Sequence[ClassCounts], *, alike: bool) -> list[Score]:
    """Return the scores of each class over some runs that differ in nothing but the seed.

    Args:
        runs: At least one.
        alike: Whether they were evaluated on the same examples, in the same order: only then do
            their examples have an interval together.
    """
    classes = sorted({label for run in runs for label in run.classes})
    found = []
    for label in classes:
        counts = [_of_class(run, label) for run in runs]  # (N, 3) each
        sums = np.array([one.sum(0) for one in counts])
        precision, recall, f1 = prf.prf(*sums.T)
        interval = _interval(counts) if alike else None
        low, high = interval or (None, None)
        found.append(
            Score(
                label,
                float(precision.mean()),
                float(recall.mean()),
                float(f1.mean()),
                low,
                high,
                f1.tolist(),
                int(sums[0, 2]),
                float(sums[:, 1].mean()),
            )
        )
    return found


def _of_class(run: ClassCounts, label: str) -> NDArray[np.float64]:
    if label not in run.classes:
        return np.zeros((len(run.counts), 3))
    return run.counts[:, :, run.classes.index(label)]


def _interval(counts: Sequence[NDArray[np.float64]]) -> bootstrap.Interval | None:
    """Return the interval of the runs' mean F1; a resample has the same examples of all runs."""
    rows, sizes = bootstrap.grouped(np.concatenate(counts, axis=1))  # (K, 3 * runs)

    def f1(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        summed = (weights @ rows).reshape(len(weights), len(counts), 3)
        of_runs: NDArray[np.float64] = prf.prf(*np.moveaxis(summed, -1, 0))[2]
        return of_runs.mean(1)

    return bootstrap.interval(f1, sizes, resamples=RESAMPLES)
