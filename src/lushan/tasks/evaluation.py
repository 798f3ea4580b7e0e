"""Evaluation of a split by a task."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from lushan.common.units import Measure
from lushan.data.record_schema import Entry
from lushan.metrics.confusion import Confusion
from lushan.metrics.evaluation import Measured
from lushan.metrics.statistics import Statistics

Records = list[dict[str, Any]]
"""One row a feature, or an example."""
MOST_BYTES = 64 << 20
"""Of all files that are kept beside the predictions of a split."""


@dataclasses.dataclass
class Evaluation:
    """Evaluation of one split.

    Attributes:
        metrics: Name to value, without the split's name.
        intervals: 95 % bootstrap interval over examples of the main numbers: name to (low, high).
        report: Level to class to precision, recall, f1, support.
        records: One row an example: `id`, and what `Task.record_fields` states.
        record_fields: Entries of the records that follow from the metrics.
        files: Files that records refer to, such as images: name to content; see `add_file`.
        notes: What the reader of the numbers must know, such as words that were cut off.
        confusion: Gold against predicted classes, where the task has such a thing.
        not_comparable: Metric to the reason why it must not be compared between runs.
        measures: Metric to what is to be known of it: direction, unit, score.
        statistics: What each example adds to the metrics, by the names that measures have for it.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    report: dict[str, Any] = dataclasses.field(default_factory=dict)
    records: Records = dataclasses.field(default_factory=list)
    record_fields: dict[str, Entry] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    confusion: Confusion | None = None
    not_comparable: dict[str, str] = dataclasses.field(default_factory=dict)
    measures: dict[str, Measure] = dataclasses.field(default_factory=dict)
    statistics: dict[str, Statistics] = dataclasses.field(default_factory=dict)

    def add_file(self, content: bytes, ending: str) -> dict[str, str]:
        """Keep a file beside the records, such as an image that was predicted.

        Args:
            content: Of the file; the same content is kept once.
            ending: Of its name, such as `png`.

        Returns:
            What a record has of it: its path in the run's folder.
        """
        if sum(map(len, self.files.values())) + len(content) > MOST_BYTES:
            note = "images beyond the first 64 MiB are not kept beside the predictions"
            self.notes += [note] if note not in self.notes else []
            return {"path": ""}
        name = f"files/{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
        self.files[name] = content
        return {"path": f"predictions/{name}"}

    def add(self, found: Measured) -> None:
        """Add the values of some metrics."""
        self.metrics |= found.values
        self.intervals |= found.intervals
        self.measures |= found.measures
        self.statistics |= found.statistics
