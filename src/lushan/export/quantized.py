"""What a quantised graph loses in the run's metric, on examples that were not learned."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from lushan.common import units
from lushan.common.units import Measure
from lushan.config.build import source_of
from lushan.data.labelled import remember
from lushan.data.source import Source
from lushan.errors import UserError
from lushan.inference.load import Loaded
from lushan.inference.prediction import Encoded, records_of
from lushan.tasks.evaluation import Evaluation

SPLITS = ("test", "validation")
"""Splits that a loss is measured on: the first one that there is."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Examples that a run has not learned, and what its model reaches on them.

    Attributes:
        split: Name of the split.
        table: The examples.
        metric: Name of the run's main metric.
        measure: What is to be known of it.
        value: What the run's own model reaches.
    """

    split: str
    table: pa.Table
    metric: str
    measure: Measure
    value: float

    def loss(self, loaded: Loaded) -> str:
        """Return what another form of the run's model reaches, in a line."""
        found = float(_evaluated(loaded, self.table).metrics[self.metric])
        now, before = (units.number(value, self.measure) for value in (found, self.value))
        return (
            f"int8 weights: {units.head(self.metric, self.measure)} of {self.table.num_rows} "
            f"{self.split} examples is {now}, before {before} "
            f"({units.signed(found - self.value, self.measure)})"
        )


def held(loaded: Loaded) -> Held:
    """Read a split of a run's data, and evaluate the run's own model on it, in float32.

    Raises:
        UserError: The data is not there, or has no such split.
    """
    source: Source = source_of(loaded.cfg)
    remember(source, **loaded.columns)
    splits = source.read(loaded.task.fields).splits
    name = next((name for name in SPLITS if name in splits), None)
    if name is None:
        raise UserError(
            "the run's data has no split to measure the loss of quality on",
            key="--quantize",
            value="int8",
        )
    metric = loaded.task.main_metric
    found = _evaluated(loaded, splits[name])
    measure = found.measures[metric]
    return Held(name, splits[name], metric, measure, float(found.metrics[metric]))


def _evaluated(loaded: Loaded, table: pa.Table) -> Evaluation:
    task = loaded.task
    task.begin(table)
    (records,) = records_of(loaded, [Encoded.of(loaded, table)])
    return task.evaluate(table, records, full=False)
