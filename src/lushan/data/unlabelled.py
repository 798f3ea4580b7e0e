"""Text to predict on: lines, JSONL, columns or tables, from a file or the standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lushan.data import arrow, files
from lushan.data.json_rows import SUFFIXES, columns_of
from lushan.data.labelled import Columns, Labelled, most, strings, with_places
from lushan.data.paired import Paired
from lushan.data.rows import TOKENS, word_lists
from lushan.data.source import Kind
from lushan.data.sources.conll import Conll
from lushan.data.sources.table import PARQUET, Table, read_parquet
from lushan.data.words import Offsets, join_words, locate_words, split_words
from lushan.errors import UserError

Format = Literal["txt", "jsonl", "conll", "table"]

_SUFFIXES: dict[str, Format] = {
    **dict.fromkeys((".txt", ".text", ""), "txt"),
    **dict.fromkeys(SUFFIXES, "jsonl"),
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".conllu", ".ner"), "conll"),
    **dict.fromkeys((".csv", ".tsv", *PARQUET), "table"),
}


def read_unlabelled(
    path: str | Path,
    kind: Kind,
    *,
    format: Format | None = None,
    text: str | list[str] | None = None,
    conll: Conll | None = None,
) -> pa.Table:
    """Read text to predict on; tags and labels that it may hold are not looked at.

    Args:
        path: A file (perhaps .gz), or `-` for the standard input, which is `txt` by default.
        kind: What the task reads.
        format: `txt` (a text a line), `jsonl`, `conll` or `table`; by the file's ending otherwise.
        text: The field of the texts, or two for pairs; found by its name otherwise.
        conll: How columns are read.

    Returns:
        Columns id, text, line, file; for two texts text_pair; for tokens also tokens and offsets, a
        list of [start, end] in characters of text; for pairs source instead of text.

    Raises:
        UserError: The input cannot be read; names file and line.
    """
    name = "<stdin>" if str(path) == "-" else str(path)
    chosen = format or _format_of(name)
    if chosen == "table":
        return _of_kind(_texts(_table(name), text, kind), kind)
    if chosen == "txt":
        columns = _lines(_content(path, name), name)
    elif chosen == "jsonl":
        columns = columns_of(_unpacked(path, name), name)
        field = next((t for t in TOKENS if _holds_words(columns, t)), None)
        if field is not None and kind != "pairs":
            return _words_table(columns, field, kind)
    else:
        table = (conll or Conll(tag_column=0)).table(_content(path, name), name, tagged=False)
        values = {n: table.column(n).to_pylist() for n in ("id", "tokens", "line")}
        columns = Columns({"tokens": values["tokens"]}, values["line"], name)
        return _words_table(columns, "tokens", kind)
    return _of_kind(_texts(columns, text, kind), kind)


def _format_of(name: str) -> Format:
    suffix = "" if name == "<stdin>" else files.bare_suffix(name)
    if suffix not in _SUFFIXES:
        raise UserError(
            "the ending of this file tells no format",
            file=name,
            hint="Say which it is: --format txt, jsonl or conll.",
        )
    return _SUFFIXES[suffix]


def _unpacked(path: str | Path, name: str) -> Iterable[bytes]:
    if name == "<stdin>":
        return [files.unpack(sys.stdin.buffer.read(), name)]
    return files.unpacked(files.find(str(path), None, key="--input"))


def _content(path: str | Path, name: str) -> str:
    content = files.decode(b"".join(_unpacked(path, name)), name)
    if not content.strip():
        raise files.empty(name, "there is no text")
    return content


def _lines(content: str, name: str) -> Columns:
    lines = files.lines_of(content)
    return Columns({"text": lines}, range(1, len(lines) + 1), name)


def _table(name: str) -> Columns:
    path = files.find(name, None, key="--input")
    if files.bare_suffix(path) in PARQUET:
        return read_parquet(path)
    return Table().read_text(path, "input", [])


def _texts(columns: Columns, text: str | list[str] | None, kind: str) -> pa.Table:
    if kind == "pairs":
        source = text[0] if isinstance(text, list) else text
        table = Paired(source=source, id=None).pairs_table(columns, targets=False)
    else:
        table = Labelled(text=text, id=None).texts_table(columns, labelled=False)
    return table.set_column(0, "id", _ids(columns))


def _ids(columns: Columns) -> pa.Array:
    # Names given twice are the user's business here: every example is answered, in its order.
    places = Labelled(id=None).ids(columns)
    given = columns.values.get("id")
    if given is None:
        return places
    pairs = zip(given, places.to_pylist(), strict=True)
    return arrow.texts([place if value is None else str(value) for value, place in pairs])


def _holds_words(columns: Columns, field: str) -> bool:
    return most(
        columns.values.get(field, ()),
        lambda value: isinstance(value, list) and all(isinstance(word, str) for word in value),
    )


def _words_table(columns: Columns, field: str, kind: str) -> pa.Table:
    """Rows whose words are given; their text is theirs, or written from the words."""
    texts: list[Any] = []
    offsets: list[Offsets] = []
    given = columns.values.get("text")
    for row, words in enumerate(columns.values[field]):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise columns.fail(f"{field} must be a list of words", row, value=words)
        own = given[row] if given is not None else None
        places = locate_words(words, own) if isinstance(own, str) else None
        if places is None:
            written, places = join_words(words)
            texts.append(written)
        else:
            texts.append(own)
        offsets.append(places)
    tokens = word_lists(columns, columns.values[field])
    table: dict[str, pa.Array] = {
        "id": _ids(columns),
        "text": strings(Columns({"text": texts}, columns.lines, columns.file), "text"),
    }
    if kind == "tokens":
        table |= {"tokens": tokens, "offsets": arrow.pair_lists(offsets)}
    return with_places(table, columns)


def _of_kind(table: pa.Table, kind: str) -> pa.Table:
    """Texts, split into words where the task reads words."""
    if kind == "text":
        return table
    if kind == "pairs":
        called = {"text": "source"}
        return table.rename_columns([called.get(name, name) for name in table.column_names])
    split: Callable[[str], tuple[list[str], Offsets]] = split_words
    words, offsets = zip(*map(split, table.column("text").to_pylist()), strict=True)
    names = [name for name in table.column_names if name != "text_pair"]
    return (
        table.select(names)
        .append_column("tokens", arrow.text_lists(words))
        .append_column("offsets", arrow.pair_lists(offsets))
    )
