"""Documents and queries from files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lushan.data import files
from lushan.data.encode import arrow
from lushan.data.fields import Fields, Text
from lushan.data.formats.jsonl import Jsonl
from lushan.data.formats.table import PARQUET, Table
from lushan.data.json_rows import SUFFIXES
from lushan.errors import UserError

_TABLES = (".csv", ".tsv", ".tab", *PARQUET)
DOCUMENT = ("text", "document", "passage", "context", "body", "content")
QUERY = ("query", "question", "text")


def read(
    file: Path, notes: list[str], /, **columns: tuple[str | None, tuple[str, ...]]
) -> pa.Table:
    """Return the texts of a file: JSON, CSV, TSV or Parquet by their columns; else one a line.

    Args:
        file: The file.
        notes: Takes what the reader must know.
        columns: What is read, to the column that holds it (None finds it) and its usual names.

    Returns:
        A table of `id` and what is read.

    Raises:
        UserError: It cannot be read; names file and line.
    """
    if not file.is_file():
        raise UserError("there is no such file", file=file)
    fields: Fields = {name: Text(names=names) for name, (_, names) in columns.items()}
    chosen = {name: column for name, (column, _) in columns.items() if column is not None}
    suffix = files.bare_suffix(file)
    if suffix in SUFFIXES:
        return Jsonl(train=str(file), fields=chosen).load("train", str(file), notes, fields)
    if suffix in _TABLES:
        return Table(train=str(file), fields=chosen).load("train", str(file), notes, fields)
    if len(columns) > 1:
        raise UserError(
            f"a file with {' and '.join(columns)} is JSON, CSV, TSV or Parquet",
            file=file,
            hint="Name it so that it ends in .jsonl, .csv, .tsv or .parquet.",
        )
    lines = files.lines_of(files.read_text(file), file)
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise files.empty(file)
    numbers, texts = zip(*kept, strict=True)
    columns_of = {"id": [str(n) for n in numbers], next(iter(columns)): texts}
    return pa.table({name: arrow.texts(values) for name, values in columns_of.items()})


def documents(file: Path, column: str | None, notes: list[str]) -> tuple[list[str], list[str]]:
    """Return the ids and texts of the different documents of a file."""
    table = read(file, notes, document=(column, DOCUMENT))
    found: dict[str, str] = {}
    texts = table.column("document").to_pylist()
    blank = 0
    for name, text in zip(table.column("id").to_pylist(), texts, strict=True):
        if not text.strip():
            blank += 1
        else:
            found.setdefault(text, str(name))
    if copies := len(texts) - blank - len(found):
        notes.append(f"{copies:,} of {len(texts):,} rows hold the text of an earlier one")
    if blank:
        notes.append(f"{blank:,} rows are blank, and no documents")
    if not found:
        raise UserError("no row holds a text", file=file)
    return list(found.values()), list(found)
