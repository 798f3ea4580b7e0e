"""The texts of a table's rows, and the form in which two of them count as the same.

The normal form is Unicode's NFC with each run of white space as one blank, and none at the ends.
Upper and lower case, punctuation and all else count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Iterator

import pyarrow as pa

from lushan.data.field_roles import inputs
from lushan.data.field_tables import present
from lushan.data.fields import Fields

FORM = "NFC, each run of white space as one blank"
SNIPPET = 80
"""Characters of a text that are shown."""
_ROWS = 1000
BETWEEN = "\x1f"
"""Stands between a row's parts; white space of its own, so that no normal form holds it."""

Parts = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Place:
    """A row, so that a person finds it.

    Attributes:
        split: Its split.
        row: Its number in the split, from 0.
        id: Its name.
        line: Its line in the file, from 1.
        text: Its beginning.
    """

    split: str
    row: int
    id: str
    line: int
    text: str


def size(table: pa.Table, fields: Fields) -> int:
    """Return the bytes of the columns that hold what a model is given."""
    return int(table.select(list(present(inputs(fields), table))).nbytes)


def parts_of(table: pa.Table, fields: Fields) -> Iterator[Parts]:
    """Yield the texts of each row: one, or two of a pair, or each message of a dialogue.

    Words stand with a blank between them; a hash stands for an image. Few rows are held at a time.
    """
    there = present(inputs(fields), table)
    for batch in table.select(list(there)).to_batches(max_chunksize=_ROWS):
        columns = [
            [(*field.texts(value), *field.media_keys(value)) for value in column.to_pylist()]
            for field, column in zip(there.values(), batch.columns, strict=True)
        ]
        yield from (tuple(p for parts in row for p in parts) for row in zip(*columns, strict=True))


def normal(text: str) -> str:
    """A text's normal form."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def key_of(parts: Parts) -> str:
    """The normal form of a row; '' where all of it is blank."""
    key = BETWEEN.join(map(normal, parts))
    return key if key.strip() else ""


def digest(key: str) -> bytes:
    """64 bits that stand for a normal form; among a million, two agree once in 37 million times."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def place(split: str, row: int, table: pa.Table, fields: Fields) -> Place:
    """Return where a row stands, and how it begins."""
    there = present(inputs(fields), table).items()
    text = " | ".join(normal(f.preview(v)) for n, f in there if (v := table.column(n)[row].as_py()))
    short = text if len(text) <= SNIPPET else text[: SNIPPET - 1] + "…"
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)
    name, line = table.column("id")[row].as_py(), table.column("line")[row].as_py()
    return Place(split, row, str(name), int(line), shown)
