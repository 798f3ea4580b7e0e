"""The texts of a table's rows, and the form in which two of them count as the same.

The normal form is Unicode's NFC with each run of white space as one blank, and none at the ends.
Upper and lower case, punctuation and all else count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from lushan.data.messages import said
from lushan.text.words import join_words

FORM = "NFC, each run of white space as one blank"
COLUMNS = ("tokens", "messages", "text", "text_pair", "source")
"""Columns with what is read; targets and labels are what is learned of it."""
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


def read(table: pa.Table) -> pa.Table:
    """The columns that hold what is read."""
    return table.select([name for name in COLUMNS if name in table.column_names])


def parts_of(table: pa.Table) -> Iterator[Parts]:
    """The texts of each row: one, or two of a pair, or each message of a dialogue.

    Words stand with a blank between them. Few rows are held at a time.
    """
    table = read(table)
    for batch in table.to_batches(max_chunksize=_ROWS):
        columns = [
            _texts(name, column.to_pylist())
            for name, column in zip(table.column_names, batch.columns, strict=True)
        ]
        yield from (tuple(p for parts in row for p in parts) for row in zip(*columns, strict=True))


def _texts(name: str, values: list[Any]) -> list[Sequence[str]]:
    if name == "tokens":
        return [(" ".join(tokens),) for tokens in values]
    if name == "messages":
        return [[t for message in messages for t in said(message)] for messages in values]
    return [(value,) for value in values]


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


def place(split: str, row: int, table: pa.Table) -> Place:
    """Return the place of a row and its beginning."""
    parts = next(parts_of(table.slice(row, 1)))
    if "tokens" in table.column_names:
        parts = (join_words(table.column("tokens")[row].as_py())[0],)
    text = " | ".join(map(normal, parts))
    short = text if len(text) <= SNIPPET else text[: SNIPPET - 1] + "…"
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)
    name, line = table.column("id")[row].as_py(), table.column("line")[row].as_py()
    return Place(split, row, str(name), int(line), shown)
