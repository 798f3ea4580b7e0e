"""Tables: CSV, TSV, Parquet and JSON."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lushan.common.arrays import pa
from lushan.common.override_text import typed
from lushan.common.wording import plural
from lushan.configurable import configurable
from lushan.data import files, unpacking
from lushan.data.classes import Classes, class_names
from lushan.data.fields import Fields
from lushan.data.json_rows import SUFFIXES, columns_of
from lushan.data.raw_columns import Columns, require_short
from lushan.data.rows import Rows
from lushan.data.source import Format, WholeFiles
from lushan.data.which import listed
from lushan.errors import UserError

PARQUET = (".parquet", ".pq")
_ROWS = 1024
"""Rows of a Parquet file that are read at a time."""
SAMPLE = 1000
"""Lines that show what separates fields."""
_TABS = (".tsv", ".tab", ".txt")
QUOTE = '"'
MARKS = (",", "\t", ";", "|", "::")
"""What may separate fields, where nothing is said."""
_STATED = re.compile(r'"?sep=([^"\w\s]|\t)"?', re.IGNORECASE)


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
        header: Whether the first row is a header; null detects it, see `columns`.
        separator: Field separator, one or more characters. null is a tab for .tsv; else the one of
            comma, tab, semicolon, `|` and `::` that gives most rows the same number of fields.
        quote: Quote character. null is `"`, or none if the separator is a tab or several
            characters. '' is none.
    """

    input_format: ClassVar[Format | None] = "table"
    columns_key: ClassVar[str] = "data.columns"
    """The config key of `columns`."""

    columns: list[str] | None = None
    header: bool | None = None
    separator: str | None = None
    quote: str | None = None

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one file."""
        columns = self.raw_columns(self.path_of(split, name), split, notes)
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
        kept: list[Sequence[str]] = [] if is_header else [first]
        numbers = [] if is_header else [number]
        width = len(names)
        for number, row in rows:
            if len(row) != width:
                raise ragged(path, number, row, names, separator)
            if is_header and row == first:
                raise UserError(
                    "the header is repeated here",
                    file=path,
                    line=number,
                    hint="The file looks concatenated; remove this line.",
                )
            kept.append(row)
            numbers.append(number)
        if not kept:
            raise files.empty(path, "the file has a header but no rows")
        return Columns(dict(zip(names, zip(*kept, strict=True), strict=True)), numbers, path)

    def separator_of(self, path: Path, lines: Sequence[str]) -> str:
        """Return what stands between fields; `lines` are the first ones at least."""
        if self.separator is not None:
            return separator_named(self.separator)
        if lines and (stated := stated_separator(lines[0])) is not None:
            return stated
        if files.bare_suffix(path) in _TABS:
            return "\t"
        return likely_separator(lines)

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
        """Return this reader with the separator and the quote that it finds in a text file."""
        _, first = next(files.blocks(path, longest=self.longest_line), (1, ""))
        lines = files.fields_of(first)[:SAMPLE]
        separator = self.separator_of(path, lines or [""])
        quote = self._quote(separator, lines, "", [])
        return dataclasses.replace(self, separator=separator, quote=quote or "")

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
            double = next((n for n in stripped if stripped.count(n) > 1), None)
            if double is not None:
                raise UserError(
                    f"the header names {double!r} twice",
                    file=path,
                    line=line,
                    hint="If the file has no header, name its "
                    f"{plural(len(first), 'column')}: {self.columns_key}=[...].",
                )
            return stripped, True
        if len(self.columns) != len(first):
            raise UserError(
                f"the file has {plural(len(first), 'column')}",
                key=self.columns_key,
                value=self.columns,
                file=path,
                line=line,
                hint=f"Name all of them, in their order; line {line} is: " + " | ".join(first),
            )
        if self.header is None:
            same = [n.lower() for n in stripped] == [n.strip().lower() for n in self.columns]
            return self.columns, same
        return self.columns, self.header


def separator_named(name: str) -> str:
    """Return what a config's separator stands for: `tab` is a tab.

    Raises:
        UserError: It is none.
    """
    known = {"tab": "\t", "\\t": "\t", "space": " "}.get(name, name)
    if not known or "\n" in known:
        raise UserError(
            "the separator must have one or more characters",
            key="data.separator",
            value=name,
            hint="Write ',', ';', '|', '::' or tab.",
        )
    return known


def stated_separator(line: str) -> str | None:
    """Return the separator that a first line for Excel states, such as `sep=;`; None of another."""
    found = _STATED.fullmatch(line.removeprefix(files.MARK).rstrip("\r\n"))
    return None if found is None else found[1]


def likely_separator(lines: Sequence[str]) -> str:
    """Return the mark that gives most rows as many fields: one of `MARKS`."""
    _lift_field_limit()
    best, count = ",", 0
    for mark in MARKS:
        widths = _widths(lines[:SAMPLE], mark)
        total = widths.total()
        del widths[1]  # no such mark in the row
        alike = max(widths.values(), default=0)
        if alike > count and (mark in lines[0] or 2 * alike >= total):
            best, count = mark, alike
    return best


def _widths(lines: Sequence[str], mark: str) -> Counter[int]:
    """Count the rows of each width, as far as the mark can be what separates fields."""
    widths: Counter[int] = Counter()
    if len(mark) > 1:
        widths.update(len(line.split(mark)) for line in lines if line)
        return widths
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=mark)
    # A carriage return in a field that is quoted with another mark only; `rows_of` gives the place
    # of one that is wrong.
    with contextlib.suppress(csv.Error):
        widths.update(len(row) for row in reader if row)
    return widths


def rows_of(
    lines: Iterable[str], separator: str, quote: str | None, path: Path
) -> Iterator[tuple[int, list[str]]]:
    """(the line it starts in, its fields) of each row that is not blank."""
    if len(separator) > 1:
        yield from ((n, line.split(separator)) for n, line in enumerate(lines, 1) if line)
        return
    reader = csv.reader((f"{line}\n" for line in lines), **style_of(separator, quote))
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        problem = str(error)
        if "new-line character" in problem:  # all line ends were taken off before
            raise files.lone_return(path, reader.line_num) from error
        if "unexpected end of data" in problem:
            problem = "a quotation mark is opened here but never closed"
        raise UserError(
            problem,
            file=path,
            line=start,
            hint="If the file has no quoted fields, write data.quote=''.",
        ) from error


def fields_read(lines: Iterable[str], separator: str, quote: str | None) -> Iterator[Sequence[str]]:
    """Yield the fields of each row, blank ones too, taking no more lines than they stand in."""
    if len(separator) == 1:
        yield from csv.reader(lines, **style_of(separator, quote))
        return
    for line in lines:
        yield line.rstrip("\r\n").split(separator) if line.strip() else []


def style_of(separator: str, quote: str | None) -> dict[str, Any]:
    """Return the settings of `csv.reader` for rows of a table."""
    _lift_field_limit()
    style: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": separator, "strict": True, **style}


def _lift_field_limit() -> None:
    # The longest line was bounded; a quoted field may hold many.
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))


def ragged(
    path: Path, line: int, row: Sequence[str], names: Sequence[str], separator: str
) -> UserError:
    """The error for a row that has not as many fields as there are columns."""
    shown = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(separator, repr(separator))
    return UserError(
        f"{plural(len(row), 'field')} (separated by {shown}), but the columns are {len(names)}: "
        + listed(names),
        file=path,
        line=line,
        value=separator.join(row),
        hint="A field that contains the separator must be quoted; see data.separator and "
        "data.quote.",
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
