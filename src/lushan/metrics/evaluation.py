"""The metrics of a split, from its predictions: values, intervals, and what each example adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import Measure
from lushan.metrics.statistics import Statistics
from lushan.metrics.stats.bootstrap import Interval

if TYPE_CHECKING:
    from lushan.metrics.metric import Metric


Array = NDArray[np.float64]


@dataclasses.dataclass
class Measured:
    """Values of some metrics on a split.

    Attributes:
        metrics: Name to value.
        measures: Name to what is to be known of the metric.
        intervals: Name to its 95 % interval, where the examples give one.
        statistics: What each example adds, by the names that the measures have for it.
        each: Name to the value of each example by itself, (N,), where it was asked for.
    """

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    measures: dict[str, Measure] = dataclasses.field(default_factory=dict)
    intervals: dict[str, Interval] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistics] = dataclasses.field(default_factory=dict)
    each: dict[str, Array] = dataclasses.field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Add the values of other metrics."""
        self.metrics |= other.metrics
        self.measures |= other.measures
        self.intervals |= other.intervals
        self.statistics |= other.statistics
        self.each |= other.each

    def renamed(self, names: Mapping[str, str]) -> Measured:
        """Return some of the metrics under other names, with statistics of their own."""
        found = Measured()
        for name, new in names.items():
            measure = self.measures[name]
            if measure.statistics is not None:
                found.statistics[new] = self.statistics[measure.statistics]
                measure = dataclasses.replace(measure, statistics=new)
            found.measures[new] = measure
            for parts in ("metrics", "intervals", "each"):
                if name in (known := getattr(self, parts)):
                    getattr(found, parts)[new] = known[name]
        return found


def measured(
    metrics: Mapping[str, Metric],
    predictions: Sequence[Any],
    targets: Sequence[Any],
    *,
    full: bool,
    examples: Sequence[int] | None = None,
    each: bool = False,
) -> Measured:
    """Compute metrics of a split.

    Args:
        metrics: By name.
        predictions: One an example, as the metrics take them.
        targets: Likewise.
        full: Also the intervals and the statistics of examples, not only the values.
        examples: Places of the examples in the split, where these are not all.
        each: Also the value of each example by itself.
    """
    found = Measured()
    known: dict[str, Statistics] = {}
    for name, metric in metrics.items():
        measure = found.measures[name] = metric.measure(name)
        basis, rows = measure.statistics, None
        if basis is not None:
            if basis not in known:
                counted = metric.statistics(predictions, targets)
                known[basis] = Statistics(counted, metric.classes, examples)
            rows = known[basis].rows
            if each:
                found.each[name] = metric.of_examples(np.asarray(rows, float))
        found.metrics[name] = metric.of_rows(predictions, targets, rows)
        if full and metric.has_interval and len(predictions) >= metric.fewest:
            interval = metric.interval(predictions, targets, rows)
            if interval is not None:
                found.intervals[name] = interval
    if full:
        found.statistics = known
    return found
