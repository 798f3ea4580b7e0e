"""Scores of a run on entities that train has, and on those that it never has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lushan.audit.entities import Entity, entities_of, entity_of
from lushan.data.field_roles import tagged
from lushan.data.fields import Fields
from lushan.errors import UserError
from lushan.metrics.prf import Scores, report
from lushan.text.tags import Span, spans

SEEN, UNSEEN, ALL = "seen", "unseen", "all"


@dataclasses.dataclass(frozen=True)
class Apart:
    """Scores of a split's entities, by whether they stand in train with this type.

    What was predicted is seen or unseen by its own form and type, as what is gold is by its: the
    counts of both groups add up to those of all.

    Attributes:
        split: Its name.
        scores: `seen`, `unseen` and `all` to precision, recall, F1 and counts.
    """

    split: str
    scores: dict[str, Scores]


def scores_apart(
    split: str,
    table: pa.Table,
    fields: Fields,
    records: Sequence[Mapping[str, Any]],
    predicted: str,
    train: pa.Table,
) -> Apart:
    """Score a run's predictions of a split.

    Args:
        split: Its name.
        table: Its rows, with gold tags in IOB2.
        fields: What its columns hold.
        records: The run's predictions, as it wrote them.
        predicted: Their entry with predicted tags in IOB2.
        train: What the run has learned from.

    Raises:
        UserError: The predictions are not of these rows.
    """
    ids = [str(name) for name in table.column("id").to_pylist()]
    if ids != [str(record.get("id")) for record in records]:
        raise UserError(f"the run's predictions do not match the rows of {split}", key="--run")
    learned = set(entities_of(train, fields))
    counts = np.zeros((3, 2), np.int64)  # correct, predicted, gold of seen and unseen
    found_tags = tagged(fields)
    assert found_tags is not None
    columns = [table.column(name).to_pylist() for name in (found_tags[1].words, found_tags[0])]
    for words, tags, record in zip(*columns, records, strict=True):
        gold, found = set(spans(tags, "iob2")), set(spans(record[predicted], "iob2"))
        for row, some in enumerate((gold & found, found, gold)):
            for span in some:
                counts[row, _group(words, span, learned)] += 1
    made = report([SEEN, UNSEEN], *counts)
    return Apart(split, {**made.by_class, ALL: made.micro})


def _group(words: list[str], span: Span, learned: set[Entity]) -> int:
    return int(entity_of(words, span) not in learned)
