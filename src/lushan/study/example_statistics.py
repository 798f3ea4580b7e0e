"""Statistics that each example adds to a metric of some runs, from their stored predictions.

A metric says under which name its statistics are stored and which function scores their sums; the
kind of the task does not matter. That the sums give the number that a run has reported is
checked, not assumed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import Measure
from lushan.config.allow_list import locate
from lushan.config.rules import SCORE
from lushan.metrics.statistics import Sparse, Stored
from lushan.study import comparable
from lushan.study.collect import Member
from lushan.study.records import Read, split_of
from lushan.study.undecided import Undecided

Array = NDArray[np.float64]
MOST_COUNTS = 60_000_000
"""Numbers of examples times classes that are held at once: half a GB, and copies of it."""


@dataclasses.dataclass(frozen=True)
class Counted:
    """A metric of some runs, as sums over examples.

    Attributes:
        counts: (K, N, D), of each run and example.
        score: From summed counts (..., D) to the metric (...,); nan where undefined.
        examples: Places (N,) of the examples among all of the split.
        alone: `score` of an example by itself.
    """

    counts: Array
    score: Callable[[Array], Array]
    examples: Sequence[int]
    alone: Callable[[Array], Array]

    def scores(self) -> Array:
        """Return the metric of each run, (K,)."""
        return self.score(self.counts.sum(1))

    def of_examples(self) -> Array:
        """Return the metric of each example by itself, (K, N)."""
        return self.alone(self.counts)

    def right(self) -> NDArray[np.bool_] | None:
        """Return whether each example is right, (K, N), where the metric is the share of these."""
        values = self.of_examples()
        if not np.isin(values, (0, 1)).all():
            return None
        pairs = zip(values.mean(1).tolist(), self.scores().tolist(), strict=True)
        found: NDArray[np.bool_] = values > 0
        return found if all(math.isclose(mean, value) for mean, value in pairs) else None


def counted(
    metric: str, runs: Sequence[Member], places: Sequence[Sequence[int]], read: Read
) -> Counted:
    """Return the counts of a metric.

    Args:
        metric: With its split.
        runs: Complete.
        places: Of each run the place of each example in what it has stored.
        read: From `contrast.reader`.

    Raises:
        Undecided: The metric does not follow from sums over what is stored.
        UserError: What is stored is damaged, or names a function that may not be called.
    """
    name = metric.partition("/")[2]
    measure = _measure(metric, runs)
    stored = [read.statistics(run.folder, split_of(metric)) for run in runs]
    if any(measure.statistics not in one for one in stored):
        raise Undecided(f"the statistics of {name} are not stored")
    found = [one[str(measure.statistics)] for one in stored]
    rows, examples = _side_by_side(found, places)
    counts = _dense(name, rows, [one.classes for one in found], merges=measure.merges)
    if measure.same is not None:
        column = counts[..., measure.same]
        if (column != column[0]).any():
            raise Undecided(comparable.otherwise(runs, metric))
    return Counted(counts, score_of(measure), examples, score_of(measure, **measure.alone))


def score_of(measure: Measure, **more: Any) -> Callable[[Array], Array]:
    """Return the function from summed statistics to a metric.

    Raises:
        UserError: It is not one that may be called.
    """
    return functools.partial(locate(str(measure.score), SCORE), **{**measure.options, **more})


def _measure(metric: str, runs: Sequence[Member]) -> Measure:
    """Return the measure of a metric, on which all runs must agree."""
    measures = [run.measure(metric) for run in runs]
    first, name = measures[0], metric.partition("/")[2]
    if any(one.statistics is None or one.score is None for one in measures):
        raise Undecided(f"{name} cannot be computed from the stored statistics of examples")
    for one in measures[1:]:
        if (one.score, one.options, one.same) != (first.score, first.options, first.same):
            raise Undecided(f"{name} was not computed in the same way by all runs")
    return first


def _side_by_side(
    found: Sequence[Stored], places: Sequence[Sequence[int]]
) -> tuple[list[Sparse], list[int]]:
    """Return the rows of each run, an example at the same place in all, and which examples."""
    examples: list[int] = []
    rows = []
    for number, (one, here) in enumerate(zip(found, places, strict=True)):
        measured = range(one.rows.shape[0]) if one.examples is None else one.examples
        at = {place: row for row, place in enumerate(measured)}
        known = [i for i, place in enumerate(here) if place in at]
        if number and known != examples:
            raise Undecided("the runs measured different examples of the split")
        examples = known
        rows.append(one.rows.take([at[here[i]] for i in known]))
    return rows, examples


def _dense(
    name: str, rows: Sequence[Sparse], classes: Sequence[Sequence[str]], *, merges: bool
) -> Array:
    """Return the statistics of some runs as (K, N, D), those of a class in the same columns.

    Of too many classes they are summed over the classes, where the metric allows that.
    """
    if not any(classes):
        if len({one.shape[1] for one in rows}) > 1:
            raise Undecided(f"{name} was not computed in the same way by all runs")
        return np.stack([one.toarray() for one in rows])
    names = sorted({label for own in classes for label in own})
    parts = {one.shape[1] // max(1, len(own)) for one, own in zip(rows, classes, strict=True)}
    (width,) = parts or {0}
    if width * len(names) * len(rows) * rows[0].shape[0] > MOST_COUNTS:
        if not merges:
            raise Undecided(
                f"{name} needs counts of each of {len(names):,} classes in each of "
                f"{rows[0].shape[0]:,} examples, which is too much to resample; accuracy and "
                f"micro averages can be resampled"
            )
        return _summed_over_classes(rows, classes, width)
    place = {label: i for i, label in enumerate(names)}
    counts = np.zeros((len(rows), rows[0].shape[0], width * len(names)))
    for here, one, own in zip(counts, rows, classes, strict=True):
        columns = [p * len(names) + place[label] for p in range(width) for label in own]
        here[:, columns] = one.toarray()
    return counts


def _summed_over_classes(
    rows: Sequence[Sparse], classes: Sequence[Sequence[str]], width: int
) -> Array:
    """Return what a micro average follows from, (K, N, parts): all classes as one."""
    pairs = zip(rows, classes, strict=True)
    return np.stack([one.summed(width, one.indices // len(own)) for one, own in pairs])
