"""Texts that a query is not to find: hard negatives, none or several a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from lushan.data.encode import arrow
from lushan.data.fields import Field
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
