"""Tables: CSV, TSV, Parquet and JSON."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.common.override_text import typed
from lushan.common.wording import plural
from lushan.configurable import configurable
from lushan.data import files, unpacking
from lushan.data.classes import Classes, class_names
from lushan.data.fields import Fields
from lushan.data.json_rows import columns_of
from lushan.data.json_shapes import SUFFIXES
from lushan.data.nested_rows import explained
from lushan.data.raw_columns import Columns, require_short
from lushan.data.rows import Rows
from lushan.data.separators import (
    SAMPLE,
    is_divided,
    likely_separator,
    separator_named,
    stated_separator,
)
from lushan.data.source import Format, WholeFiles
from lushan.data.table_headers import left_out, unnamed_columns, why_header
from lushan.data.table_rows import ragged, repeated, rows_of
from lushan.data.which import of_one_column
from lushan.errors import UserError

PARQUET = (".parquet", ".pq")
_ROWS = 1024
"""Rows of a Parquet file that are read at a time."""
QUOTE = '"'


@configurable
@dataclasses.dataclass(kw_only=True)
class Table(Rows, WholeFiles):
    """Texts and labels, or sources and targets, in columns.

    Parquet and JSON may also hold lists: words with their tags, sentences of a source, several
    targets.

    A first line such as `sep=;`, which Excel reads, states the separator and is no row.

    Args:
        columns: Column names for a file without a header. If the first row has exactly these names,
            it is the header.
        header: Whether the first row is a header, whose names `columns` replaces. null is true
            without `columns`; with these, a first row that looks like a header is refused.
        separator: Field separator, one or more characters. null is a tab for .tsv; else the one of
            comma, tab, semicolon, `|` and `::` that gives most rows the same number of fields. In a
            .txt the tab has precedence.
        quote: Quote character. null is `"`, or none if the separator is a tab or several
            characters. '' is none.
    """

    input_format: ClassVar[Format | None] = "table"
    columns_key: ClassVar[str] = "data.columns"
    """The config key of `columns`."""
    header_key: ClassVar[str] = "data.header"
    """The config key of `header`."""

    columns: list[str] | None = None
    header: bool | None = None
    separator: str | None = None
    quote: str | None = None

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        columns = self.raw_columns(path, split, notes)
        suffix = files.bare_suffix(path)
        about: contextlib.AbstractContextManager[None] = of_one_column(columns.values)
        if suffix in SUFFIXES:
            about = explained(columns)
        elif suffix in PARQUET:
            about = contextlib.nullcontext()
        with about:
            return self.table_of(columns, split, notes, fields)

    def raw_columns(self, path: Path, split: str, notes: list[str]) -> Columns:
        """Return the columns of a file, by its ending."""
        if files.bare_suffix(path) in PARQUET:
            columns = read_parquet(path, self.largest_file)
            require_short(columns, self.longest_line)
            return columns
        if files.bare_suffix(path) in SUFFIXES:
            pieces = unpacking.bounded(path, self.largest_file)
            return columns_of(pieces, path, longest=self.longest_line)
        return self.read_text(path, split, notes)

    def read_text(self, path: Path, split: str, notes: list[str]) -> Columns:
        """The columns of a CSV or TSV file.

        Raises:
            UserError: It has no rows, or rows of different length.
        """
        text = files.read_text(path, longest=self.longest_line, largest=self.largest_file)
        return self.parse(text, path, split, notes)

    def parse(self, text: str, path: Path, split: str, notes: list[str]) -> Columns:
        """The columns of the text of a CSV or TSV file; see `read_text`."""
        found: list[str] = []
        lines = files.without_marks(files.fields_of(text), path, found)
        notes += [f"{split}: {note}" for note in found]
        separator = self.separator_of(path, lines)
        if stated_separator(lines[0]) is not None:
            lines[0] = ""  # blank lines are counted
        quote = self._quote(separator, lines, split, notes)
        rows = rows_of(lines, separator, quote, path)
        number, first = next(rows, (0, []))
        if not number:
            raise files.empty(path, "the file has no rows")
        names, is_header = self.named_by(first, path, number)
        kept, numbers = ([], []) if is_header else ([first], [number])
        for line, row in rows:
            if len(row) != len(names):
                raise ragged(path, line, row, names, separator)
            if is_header and row == first:
                raise repeated(path, line)
            kept.append(row)
            numbers.append(line)
        if not kept:
            raise files.empty(path, "the file has a header but no rows")
        if not is_header:
            self._require_data(kept, path, number)
        own = self._named(names, kept, numbers, path, number)
        notes += left_out(split, len(names) - own)
        values = zip(names[:own], zip(*kept, strict=True), strict=False)
        return Columns(dict(values), numbers, path)

    def _named(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        numbers: Sequence[int],
        path: Path,
        line: int,
    ) -> int:
        """Return how many columns there are without the last ones, where these hold nothing.

        Raises:
            UserError: They have values, and no names.
        """
        own = len(names) - unnamed_columns(names)
        texts = ("".join(row[own:]).strip() for row in rows)
        filled = None
        if own < len(names):
            filled = next((place for place, text in enumerate(texts) if text), None)
        if filled is None:
            return own
        if self.columns is not None:
            raise self._other_width(rows[filled], path, numbers[filled])
        if names.count("") > 1:
            raise self._twice("", names, path, line)
        return len(names)

    def _require_data(self, rows: Sequence[Sequence[str]], path: Path, line: int) -> None:
        """Refuse a first row that looks like a header, unless the config says that it is none."""
        if self.header is not None:
            return
        if why := why_header(rows[0], rows[1 : SAMPLE + 1]):
            raise UserError(
                f"this row looks like a header: {why}",
                key=self.header_key,
                value=" | ".join(rows[0]),
                file=path,
                line=line,
                hint=f"If it is one, write {self.header_key}=true: {self.columns_key} then "
                f"replaces its names. If it is data, write {self.header_key}=false.",
            )

    def separator_of(self, path: Path, lines: Sequence[str], *, sure: bool = True) -> str:
        """Return what stands between fields; `lines` are the first ones at least.

        Raises:
            UserError: Nothing tells which of several marks does, and it is to be `sure`.
        """
        if self.separator is not None:
            return separator_named(self.separator)
        if lines and (stated := stated_separator(lines[0])) is not None:
            return stated
        suffix = files.bare_suffix(path)
        if suffix in (".tsv", ".tab") or (suffix == ".txt" and is_divided(lines, "\t")):
            return "\t"
        return likely_separator(lines, path, sure=sure)

    def _quote(
        self, separator: str, lines: Sequence[str], split: str, notes: list[str]
    ) -> str | None:
        if len(separator) > 1:
            if self.quote:
                raise UserError(
                    f"quoting is not supported with the separator {separator!r}",
                    key="data.quote",
                    value=self.quote,
                    hint="Write data.quote=null.",
                )
            return None
        if self.quote is not None:
            return self.quote or None
        if separator != "\t":
            return QUOTE
        # Published TSV files mostly do not quote, and their texts are full of single marks.
        quoted = sum(line.startswith(QUOTE) or f"\t{QUOTE}" in line for line in lines)
        if quoted:
            notes.append(
                f"{split}: in {quoted} lines a field starts with a quotation mark, which is kept "
                f"as text; {typed('data.quote', QUOTE)} reads quoted fields"
            )
        return None

    def settled(self, path: Path) -> Table:
        """Return this reader with the separator, quote and header that it finds in a text file.

        Raises:
            UserError: These are unclear.
        """
        _, text = next(files.blocks(path, longest=self.longest_line), (1, ""))
        lines = files.fields_of(text)[:SAMPLE]
        separator = self.separator_of(path, lines or [""])
        quote = self._quote(separator, lines, "", [])
        header = self.header
        if header is None and self.columns is not None:
            header = self._settled_header(lines, separator, quote, path)
        return dataclasses.replace(self, separator=separator, quote=quote or "", header=header)

    def _settled_header(
        self, lines: list[str], separator: str, quote: str | None, path: Path
    ) -> bool | None:
        """Return whether the first of some lines are a header's; None where there are no rows."""
        if lines and stated_separator(lines[0]) is not None:
            lines = ["", *lines[1:]]
        rows: list[list[str]] = []
        line = 1
        with contextlib.suppress(UserError):  # the last row may go on behind these lines
            for number, row in rows_of(lines, separator, quote, path):
                line = line if rows else number
                rows.append(row)
        if not rows:
            return None
        is_header = self.named_by(rows[0], path, line)[1]
        if not is_header:
            self._require_data([row for row in rows if len(row) == len(rows[0])], path, line)
        return is_header

    def named_by(
        self, first: Sequence[str], path: Path, line: int = 1
    ) -> tuple[Sequence[str], bool]:
        """Return the names of the columns, and whether the first row gives them.

        Args:
            first: The first row.
            path: The file.
            line: The line that the row starts in.

        Raises:
            UserError: They are not known, or others than the file has.
        """
        stripped = [field.strip() for field in first]
        if self.columns is None:
            if self.header is False:
                raise UserError(
                    "without a header, the columns need names",
                    key=self.columns_key,
                    hint=f"Write {self.columns_key}=[...], {len(first)} names.",
                )
            named = stripped[: len(stripped) - unnamed_columns(stripped)]
            double = next((n for n in named if named.count(n) > 1), None)
            if double is not None:
                raise self._twice(double, first, path, line)
            return stripped, True
        own = len(self.columns)
        if len(first) < own or any(stripped[own:]):
            raise self._other_width(first, path, line)
        if self.header is None:
            same = [n.lower() for n in stripped[:own]] == [n.strip().lower() for n in self.columns]
        else:
            same = self.header
        return [*self.columns, *stripped[own:]], same

    def _twice(self, name: str, first: Sequence[str], path: Path, line: int) -> UserError:
        """The error for a header that names two columns alike."""
        return UserError(
            f"the header names {name!r} twice",
            file=path,
            line=line,
            hint=f"Name its {plural(len(first), 'column')}: {self.columns_key}=[...], with "
            f"{self.header_key}=true if line {line} is a header, {self.header_key}=false if it is "
            "data.",
        )

    def _other_width(self, row: Sequence[str], path: Path, line: int) -> UserError:
        """The error for a row of another number of fields than there are names."""
        return UserError(
            f"the file has {plural(len(row), 'column')}",
            key=self.columns_key,
            value=self.columns,
            file=path,
            line=line,
            hint=f"Name all of them, in their order; line {line} is: " + " | ".join(row),
        )


def read_parquet(path: Path, largest: int | None = None, content: bytes | None = None) -> Columns:
    """The columns of a Parquet file; a row's number stands for its line.

    Args:
        path: The file, gzip or not.
        largest: Bytes that its columns may unpack to; see `unpacking.bounded`.
        content: Of the file, where it is in hand.
    """
    try:
        held = files.read_bytes(path, largest) if content is None else content
        table = _parquet_table(held, path, largest)
    except pa.ArrowException as error:
        raise UserError(f"this is not a Parquet file: {error}", file=path) from error
    if not table.num_rows:
        raise files.empty(path, "the file has no rows")
    values = {name: table.column(name).to_pylist() for name in table.column_names}
    names = class_names(table.schema.metadata or {})
    found = {c: Classes(known, values[c]) for c, known in names.items() if c in values}
    classes = {column: coded for column, coded in found.items() if coded.fits}
    values |= {column: coded.named() for column, coded in classes.items()}
    return Columns(values, range(1, table.num_rows + 1), path, classes)


def _parquet_table(content: bytes, path: Path, largest: int | None) -> pa.Table:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    most = unpacking.most_of(len(content), largest)
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    # A row has a byte at least, whatever its columns were packed to.
    stated = max(file.metadata.num_rows, sum(group.total_byte_size for group in groups))
    unpacking.require_size(stated, most, path, packed=len(content))
    batches, size = [], 0
    for batch in file.iter_batches(batch_size=_ROWS):
        size += batch.nbytes
        unpacking.require_size(size, most, path, packed=len(content), more=True)
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=file.schema_arrow)
