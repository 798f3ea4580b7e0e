"""Entities of the other splits that stand in train, and those that never do.

An entity is its surface form (its words as text, NFC, case as it is) and its type.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import pyarrow as pa

from lushan.data.field_roles import tagged
from lushan.data.fields import Fields
from lushan.text.tags import Span, spans
from lushan.text.words import join_words

Entity = tuple[str, str]
"""(surface form, type)"""
SHOWN = 10
"""Entities of a split that are listed."""


@dataclasses.dataclass(frozen=True)
class Unseen:
    """Entities of a split that train does not have.

    Attributes:
        split: Its name.
        mentions: Entities, each as often as it stands there.
        unseen: Those whose form and type never stand in train together.
        other_type: Those of `unseen` whose form stands in train, but as another type alone.
        by_type: Type to (mentions, unseen).
        distinct: Different entities.
        distinct_unseen: Different ones that are unseen.
        examples: The most frequent of them: form, type, mentions.
    """

    split: str
    mentions: int
    unseen: int
    other_type: int
    by_type: dict[str, tuple[int, int]]
    distinct: int
    distinct_unseen: int
    examples: list[tuple[str, str, int]]


def unseen_of(splits: Mapping[str, pa.Table], fields: Fields) -> list[Unseen]:
    """The entities of each other split against those of train; none without tags or train."""
    if "train" not in splits or tagged(fields) is None:
        return []
    train = set(entities_of(splits["train"], fields))
    others = {split: table for split, table in splits.items() if split != "train"}
    return [
        _unseen(split, Counter(entities_of(table, fields)), train)
        for split, table in others.items()
    ]


def _unseen(split: str, counts: Counter[Entity], train: set[Entity]) -> Unseen:
    new = {entity: n for entity, n in counts.items() if entity not in train}
    forms = {form for form, _ in train}
    types: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entity, n in counts.items():
        types[entity[1]][0] += n
        types[entity[1]][1] += n * (entity in new)
    ordered = sorted(new.items(), key=lambda item: (-item[1], item[0]))
    return Unseen(
        split=split,
        mentions=counts.total(),
        unseen=sum(new.values()),
        other_type=sum(n for (form, _), n in new.items() if form in forms),
        by_type={name: (both[0], both[1]) for name, both in sorted(types.items())},
        distinct=len(counts),
        distinct_unseen=len(new),
        examples=[(form, kind, n) for (form, kind), n in ordered[:SHOWN]],
    )


def entities_of(table: pa.Table, fields: Fields) -> Iterator[Entity]:
    """Yield the entities of a table with tags in IOB2, in their order; none without tags."""
    if (found := tagged(fields)) is None:
        return
    name, field = found
    columns = (table.column(field.words).to_pylist(), table.column(name).to_pylist())
    for words, tags in zip(*columns, strict=True):
        for span in spans(tags, "iob2"):
            yield entity_of(words, span)


def entity_of(words: list[str], span: Span) -> Entity:
    """Return the entity that a span marks."""
    return unicodedata.normalize("NFC", join_words(words[span.start : span.end])[0]), span.label
