"""Queries, the passages that they are to find, and others that they are not."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from lushan.data.encode import arrow
from lushan.data.fields import Field, Fields, Text
from lushan.data.raw_columns import Columns, halves


@dataclasses.dataclass(frozen=True, kw_only=True)
class Negatives(Field):
    """Texts that are wrong; in a file a list, one text, or null."""

    target: bool = True
    optional: bool = True
    names: Sequence[str] = ("negatives", "negative", "hard_negatives")
    what: ClassVar[str] = "list of texts"

    def texts(self, value: Sequence[str] | None) -> Sequence[str]:
        """Return the texts, of which there may be none."""
        return tuple(value or ())

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return lists of texts."""
        rows = [_texts(columns, row, value) for row, value in enumerate(columns.values[name])]
        try:
            return arrow.lists(rows, arrow.texts([text for row in rows for text in row]))
        except UnicodeEncodeError as error:
            raise halves(columns, rows) from error


def _texts(columns: Columns, row: int, value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(text, str) for text in found):
        raise columns.fail("negatives are a list of texts", row, value=value)
    return [text for text in found if text.strip()]


SEARCHED: Fields = {
    "query": Text(names=("question", "anchor", "source", "sentence1")),
    "positive": Text(target=True, names=("passage", "context", "answer", "target", "sentence2")),
    "negatives": Negatives(),
}
"""Queries, the passage that each is to find, and others that it is not."""


def key_of(text: str) -> int:
    """Return a number that texts which are the same share."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def passages_of(table: pa.Table) -> tuple[list[str], list[list[int]]]:
    """Return the different passages of a split, and the numbers of each query's right ones.

    Args:
        table: With `query` and `positive`; passages that stand under `negatives` are among them.
    """
    queries, positives = (table.column(n).to_pylist() for n in ("query", "positive"))
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(text, len(numbers)) for text in positives]
    if "negatives" in table.column_names:
        for several in table.column("negatives").to_pylist():
            for text in several or ():
                numbers.setdefault(text, len(numbers))
    of_query: dict[str, dict[int, None]] = {}
    for query, number in zip(queries, own, strict=True):
        of_query.setdefault(query, {})[number] = None
    right = [
        [number, *(n for n in of_query[query] if n != number)]
        for query, number in zip(queries, own, strict=True)
    ]
    return list(numbers), right
