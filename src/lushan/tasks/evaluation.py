"""Evaluation of a split by a task."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lushan.data.record_schema import Entry
from lushan.data.which import listed
from lushan.metrics.confusion import Confusion
from lushan.metrics.evaluation import Measured

Records = list[dict[str, Any]]
"""One row a feature, or an example."""
MOST_BYTES = 64 << 20
"""Of all files that are kept beside the predictions of a split."""
_MISSED_SHARE = 0.05
"""Share of the examples from which on labels that are never predicted are noted."""


@dataclasses.dataclass
class Evaluation(Measured):
    """Evaluation of one split: its metrics, without the split's name, and what belongs to them.

    Attributes:
        report: Level to class to precision, recall, f1, support.
        records: One row an example: `id`, and what `Task.record_fields` states.
        record_fields: Entries of the records that follow from the metrics.
        files: Files that records refer to, such as images: name to content; see `add_file`.
        notes: What the reader of the numbers must know, such as words that were cut off.
        confusion: Gold against predicted classes, where the task has such a thing.
        not_comparable: Metric to the reason why it must not be compared between runs.
    """

    report: dict[str, Any] = dataclasses.field(default_factory=dict)
    records: Records = dataclasses.field(default_factory=list)
    record_fields: dict[str, Entry] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    confusion: Confusion | None = None
    not_comparable: dict[str, str] = dataclasses.field(default_factory=dict)

    def add_file(self, content: bytes, ending: str) -> dict[str, str]:
        """Keep a file beside the records, such as an image that was predicted.

        Args:
            content: Of the file; the same content is kept once.
            ending: Of its name, such as `png`.

        Returns:
            What a record has of it: its path in the run's folder.
        """
        if sum(map(len, self.files.values())) + len(content) > MOST_BYTES:
            note = "images beyond the first 64 MiB are not saved with the predictions"
            self.notes += [note] if note not in self.notes else []
            return {"path": ""}
        name = f"files/{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
        self.files[name] = content
        return {"path": f"predictions/{name}"}


def undistinguished(predicted: Sequence[Any], gold: Sequence[Any]) -> list[str]:
    """Return notes where all examples got one prediction, or labels are never predicted."""
    if len(set(map(str, predicted))) != 1 or len(predicted) < 2:
        return _never_predicted(predicted, gold)
    if len(set(map(str, gold))) < 2:
        return [
            f"all {len(gold):,} examples have the same label, {gold[0]}: it is unknown whether "
            "the model can distinguish labels"
        ]
    return [
        f"all {len(predicted):,} examples have the same prediction, {predicted[0]}: the model does "
        "not distinguish them"
    ]


def _never_predicted(predicted: Sequence[Any], gold: Sequence[Any]) -> list[str]:
    """Return a note where labels of a share of the examples are never predicted."""
    if not all(isinstance(label, str) for label in gold):  # numbers, or several labels each
        return []
    counts, given = Counter(gold), set(predicted)
    missed = [label for label in counts if label not in given]
    share = sum(counts[label] for label in missed) / max(1, len(gold))
    if share < _MISSED_SHARE:
        return []
    names = listed(sorted(missed, key=lambda label: -counts[label]))
    return [
        f"{len(missed)} of {len(counts)} labels are never predicted, though {share:.0%} of the "
        f"examples have them: {names}. More epochs or a higher optimizer.lr may be needed"
    ]
