"""Names of labels that a config gives, also of those that training does not have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from lushan.common.arrays import pa
from lushan.data.field_tables import classes, classified, distinct_classes
from lushan.data.fields import Fields, Tags
from lushan.data.which import listed
from lushan.text.tags import is_tag

KEY = "data.label_names"


class Named(Protocol):
    """Examples by split, as a corpus has them (`lushan.data.source`)."""

    splits: dict[str, pa.Table]
    fields: Fields
    notes: list[str]
    named: Sequence[str]


C = TypeVar("C", bound=Named)


@dataclasses.dataclass(kw_only=True)
class WithLabelNames:
    """Option of a source whose examples have labels.

    Args:
        label_names: Names of labels that are numbers from 0 or indicators. A label that training
            never has is refused in evaluation, unless it is one of these names: then it is
            evaluated, although it cannot be learned.
    """

    label_names: list[str] | None = None


def with_named(corpus: C, source: object) -> C:
    """Let a corpus know the labels that its config names, and note those that train never has."""
    names = source.label_names if isinstance(source, WithLabelNames) else None
    corpus.named = _classes_of(names or (), corpus.fields)
    corpus.notes += _unlearned(corpus)
    return corpus


def _classes_of(names: Sequence[str], fields: Fields) -> list[str]:
    """Return what names stand for: of words the types of entities, by their tags or themselves."""
    tags = next((field for field in fields.values() if isinstance(field, Tags)), None)
    return list(names if tags is None or not all(map(is_tag, names)) else tags.classes(names))


def _unlearned(corpus: Named) -> Iterator[str]:
    train = corpus.splits.get("train")
    if not corpus.named or train is None or classified(train, corpus.fields) is None:
        return
    learned = distinct_classes(train, corpus.fields)
    for split, table in corpus.splits.items():
        strange = (distinct_classes(table, corpus.fields) - learned).intersection(corpus.named)
        if strange:
            rows = classes(table, corpus.fields) or []
            count = sum(not strange.isdisjoint(row) for row in rows)
            yield (
                f"{split}: {count:,} of {len(rows):,} examples have a label that train never has "
                f"({listed(sorted(strange))}): the model cannot learn it, but it is evaluated"
            )
