"""Documents and queries from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from lushan.data import files
from lushan.data.encode import arrow
from lushan.data.fields import Fields, Text
from lushan.data.formats.jsonl import Jsonl
from lushan.data.formats.table import PARQUET, Table
from lushan.data.json_shapes import SUFFIXES
from lushan.errors import UserError

_TABLES = (".csv", ".tsv", ".tab", *PARQUET)
DOCUMENT = ("text", "document", "passage", "context", "body", "content")
QUERY = ("query", "question", "text")


OPTIONS = {"document": "--text", "query": "--query", "relevant": "--relevant", "id": "--id"}
"""Of the command line, by what they name the column of."""
NUMBERED = "null"
"""Name of the column of ids where rows are named by their lines."""


def read(
    file: Path,
    notes: list[str],
    named: str | None = None,
    /,
    **columns: tuple[str | None, tuple[str, ...]],
) -> pa.Table:
    """Return the texts of a file: JSON, CSV, TSV or Parquet by their columns; else one a line.

    Args:
        file: The file.
        notes: Takes what the reader must know.
        named: The column of the ids; None is `id`, and rows are named by their lines where there
            is none, or where it is `null`.
        columns: What is read, to the column that holds it (None finds it) and its usual names.

    Returns:
        A table of `id` and what is read.

    Raises:
        UserError: It cannot be read; names file and line.
    """
    if not file.is_file():
        raise UserError("the file does not exist", file=file)
    fields: Fields = {name: Text(names=names) for name, (_, names) in columns.items()}
    chosen = {name: column for name, (column, _) in columns.items() if column is not None}
    suffix = files.bare_suffix(file)
    if suffix in SUFFIXES or suffix in _TABLES:
        ids = None if named == NUMBERED else named or "id"
        kind = Jsonl if suffix in SUFFIXES else Table
        try:
            source = kind(train=str(file), fields=chosen, id=ids)
            return source.load("train", str(file), notes, fields)
        except UserError as error:
            raise _by_options(error) from error
    if len(columns) > 1:
        raise UserError(
            f"a file with {' and '.join(columns)} must be JSON, CSV, TSV or Parquet",
            file=file,
            hint="Use a file name that ends in .jsonl, .csv, .tsv or .parquet.",
        )
    lines = files.lines_of(files.read_text(file), file)
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise files.empty(file)
    numbers, texts = zip(*kept, strict=True)
    columns_of = {"id": [str(n) for n in numbers], next(iter(columns)): texts}
    return pa.table({name: arrow.texts(values) for name, values in columns_of.items()})


def _by_options(error: UserError) -> UserError:
    """Return an error that names options of the command line instead of keys of a config."""
    key, hint = error.key, error.hint
    for name, option in OPTIONS.items():
        for known in (f"data.fields.{name}", f"data.{name}"):
            key = option if key == known else key
            for way in (f"+{known}=", f"{known}="):
                hint = hint and hint.replace(way, f"{option} ")
    found = UserError(error.problem, key=key, value=error.value, line=error.line, hint=hint)
    return found if error.file is None else found.located(error.file)


@dataclasses.dataclass(frozen=True)
class Documents:
    """Different texts of a corpus.

    Attributes:
        ids: Of each text, that of the first row that has it.
        texts: The texts.
        copies: Of each text, the ids of further rows that have it.
    """

    ids: list[str]
    texts: list[str]
    copies: list[list[str]]


def documents(
    file: Path, column: str | None, notes: list[str], named: str | None = None
) -> Documents:
    """Return the different documents of a file; see `read`."""
    table = read(file, notes, named, document=(column, DOCUMENT))
    found: dict[str, list[str]] = {}
    texts = table.column("document").to_pylist()
    blank = 0
    for name, text in zip(table.column("id").to_pylist(), texts, strict=True):
        if not text.strip():
            blank += 1
        else:
            found.setdefault(text, []).append(str(name))
    if copies := len(texts) - blank - len(found):
        notes.append(f"{copies:,} of {len(texts):,} rows repeat an earlier text")
    if blank:
        notes.append(f"{blank:,} rows are blank and were skipped")
    if not found:
        raise UserError("no row has a text", file=file)
    ids = list(found.values())
    return Documents([own[0] for own in ids], list(found), [own[1:] for own in ids])
