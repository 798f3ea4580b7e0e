"""An input as raw columns: which format it has, and its lines, fields or words."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from lushan.common.parsing import parse_json
from lushan.data import files, unpacking
from lushan.data.formats.conll import Conll
from lushan.data.formats.table import PARQUET, Table, read_parquet
from lushan.data.json_rows import columns_of
from lushan.data.json_shapes import SUFFIXES
from lushan.data.labelled import remembered
from lushan.data.raw_columns import Columns
from lushan.data.source import Format, Source
from lushan.errors import UserError

FORMATS: Sequence[Format] = ("txt", "jsonl", "conll", "table")
"""Those that a user names; a folder and an image are known by what they are."""
STDIN = "<stdin>"

ENDINGS: Mapping[str, Format] = {
    **dict.fromkeys((".txt", ".text", ""), "txt"),
    **dict.fromkeys(SUFFIXES, "jsonl"),
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2", ".conllu", ".ner"), "conll"),
    **dict.fromkeys((".csv", ".tsv", *PARQUET), "table"),
}
"""Formats by ending, where a run's own files have another one."""


def standard_input() -> bytes:
    """Return all of the standard input, unpacked where it is gzip.

    Raises:
        UserError: There is more than is held in memory.
    """
    data = sys.stdin.buffer.read(unpacking.LARGEST_FILE + 1)
    return b"".join(unpacking.bounded_of(io.BytesIO(data), STDIN))


def format_of(
    name: str,
    own: Format | None = None,
    endings: Collection[str] = (),
    data: bytes | None = None,
) -> Format:
    """Return the format of an input.

    Args:
        name: Of a file, or of the standard input.
        own: The format of the run's data.
        endings: Of the run's files. These, and those that are not known, are of its format.
        data: Of the standard input, all of it: lines of text, or of JSON where its first line
            is a JSON object.

    Raises:
        UserError: The ending is that of none.
    """
    if data is not None:
        return "jsonl" if looks_like_json(data) else "txt"
    suffix = files.bare_suffix(name)
    if own is not None and (suffix in endings or suffix not in ENDINGS):
        return own
    if suffix not in ENDINGS:
        raise UserError(
            "unknown file extension",
            file=name,
            hint=f"Set the format: --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
        )
    return ENDINGS[suffix]


def looks_like_json(content: bytes) -> bool:
    """Return whether this begins as JSON: an array, or a first line that is an object."""
    if content.lstrip()[:1] == b"[":
        return True
    first = next((line for line in content.splitlines() if line.strip()), b"")
    try:
        return isinstance(parse_json(first), dict)
    except ValueError:
        return False


@dataclasses.dataclass
class Input:
    """A file, or the standard input.

    Attributes:
        name: The file, or `<stdin>`.
        format: Of the input.
        source: The options that it is read by.
        is_own: Whether that is the run's own reader: the columns that it names must be there.
        stated: Options that were stated for this input: their columns must be there, too.
        notes: For the user.
        data: Of the standard input, all of it.
        what: What an example is called in errors.
        before: Lines of the file before `data`, where that is a piece of it.
    """

    name: str
    format: Format
    source: Source
    is_own: bool = False
    stated: Collection[str] = ()
    notes: list[str] = dataclasses.field(default_factory=list)
    data: bytes | None = None
    what: str = "text"
    before: int = 0

    def columns(self) -> Columns:
        """Read the input as columns: those of the file, or `text` of lines, `tokens` of words."""
        try:
            found = self._columns()
        except UserError as error:
            error.moved(self.before)
            raise
        if not self.before:
            return found
        lines = [line + self.before for line in found.lines]
        return dataclasses.replace(found, lines=lines)

    def _columns(self) -> Columns:
        if self.format == "table" and files.bare_suffix(self.name) in PARQUET:
            return read_parquet(self.path(), self.largest, self.data)
        if self.format == "jsonl":
            each: str | None = getattr(self.source, "each", None)
            return columns_of(self.pieces(), self.name, longest=self.longest, each=each)
        content = self.text()
        if self.format == "txt":
            return _lines(content, self.name)
        if self.format == "conll":
            return self._words(content)
        table = self.source if isinstance(self.source, Table) else Table()
        return table.parse(content, Path(self.name), "input", self.notes)

    def path(self) -> Path:
        """Find the file."""
        return files.find(self.name, None, key="--input")

    @property
    def longest(self) -> int:
        """Bytes of the longest line that is read."""
        return int(getattr(self.source, "longest_line", files.LONGEST_LINE))

    @property
    def largest(self) -> int | None:
        """Bytes of the largest file that is read."""
        return getattr(self.source, "largest_file", None)

    def pieces(self) -> Iterable[bytes]:
        """Return the bytes, unpacked where they are gzip, in pieces."""
        return unpacking.bounded(self.path(), self.largest) if self.data is None else [self.data]

    def content(self) -> bytes:
        """Return the bytes, unpacked where they are gzip."""
        return b"".join(self.pieces())

    def text(self) -> str:
        """Return the text."""
        content = files.decode(self.content(), self.name, longest=self.longest)
        if not content.strip():
            raise files.empty(self.name, f"there is no {self.what}")
        return content

    def _words(self, content: str) -> Columns:
        reader = self.source if isinstance(self.source, Conll) else Conll()
        column = self._token_column(reader, reader.width(content, self.name))
        plain = dataclasses.replace(reader, token_column=column, tag_column=column)
        try:
            sentences = plain.table(content, self.name, tagged=False, notes=self.notes)
        except UserError as error:
            if error.key is not None:
                raise
            raise UserError(
                error.problem,
                value=error.value,
                file=error.file,
                line=error.line,
                hint="The file is read like the run's data, with one word a line. For one text a "
                "line, write --format txt. For other columns, set data.separator and "
                "data.token_column.",
            ) from error
        values = {n: sentences.column(n).to_pylist() for n in ("tokens", "line")}
        return Columns({"tokens": values["tokens"]}, values["line"], self.name)

    def _token_column(self, reader: Conll, width: int) -> int:
        """Return the column that holds the words; refuse a file that may have them elsewhere."""
        column, before = reader.token_column, remembered(reader).get("width")
        if "token_column" in self.stated or width == before:
            return column
        if width == 1:
            return 0
        hint = f"Write data.token_column=N, from 0 to {width - 1}, or -1 for the last."
        if before is not None and (width > before or column):
            raise UserError(
                f"the file has {width} columns and the run's files have {before}, so the word "
                f"column is unknown",
                key="data.token_column",
                file=self.name,
                hint=hint,
            )
        return column


def _lines(content: str, name: str) -> Columns:
    lines = files.lines_of(content, name)
    return Columns({"text": lines}, range(1, len(lines) + 1), name)
