"""A file of examples in pieces, each of which can be read alone, by a process of its own.

A piece is whole lines, whole rows of a table with its header, whole sentences of column files, or
row groups of Parquet. Where a piece lies is found by reading the file once; it is then read from
its place, so that no process holds the file.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lushan.data import files, json_rows, unpacking
from lushan.data.formats.table import PARQUET, Table
from lushan.data.separators import stated_separator
from lushan.data.source import Format
from lushan.data.table_rows import fields_read
from lushan.errors import UserError
from lushan.run.hashes import unreadable


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a file.

    Attributes:
        number: From 0.
        start: Its first byte; its first row group, of Parquet.
        stop: What comes after it.
        before: Lines of the file before the piece's own; rows, of Parquet.
        head: Bytes that precede it: the header of a table.
    """

    number: int
    start: int
    stop: int
    before: int
    head: bytes = b""

    def content(self, path: Path) -> bytes:
        """Read the piece, as a file of the same format.

        Raises:
            UserError: It cannot be read.
        """
        try:
            if files.bare_suffix(path) in PARQUET:
                return _row_groups(path, self.start, self.stop)
            with path.open("rb") as file:
                file.seek(self.start)
                return self.head + file.read(self.stop - self.start)
        except OSError as error:
            raise unreadable(path, error) from error

    @property
    def lines_before(self) -> int:
        """Difference of a line's number in the file and in the piece."""
        return self.before - self.head.count(b"\n")


def pieces_of(path: Path, format: Format, table: Table | None, examples: int) -> Iterator[Piece]:
    """Yield the pieces of a file, in their order.

    Args:
        path: The file, not packed.
        format: Of the file: `txt`, `jsonl`, `conll` or `table`.
        table: How it is read, if it is a table: `settled`.
        examples: That a piece has, at least, but the last one. Row groups are not divided.

    Raises:
        UserError: It is packed, or cannot be read.
    """
    try:
        if format == "table" and files.bare_suffix(path) in PARQUET:
            yield from _of_groups(path, examples)
            return
        with path.open("rb") as file:
            if unpacking.is_packed(path):
                raise UserError(
                    "a compressed file cannot be read in parts",
                    file=path,
                    hint="Decompress it first, for example with gunzip -k FILE.",
                )
            if format == "table":
                yield from _of_rows(file, path, table or Table(), examples)
            elif format == "jsonl" and json_rows.is_array(path):
                yield Piece(0, 0, path.stat().st_size, 0)
            else:
                yield from _of_lines(file, examples, by_blanks=format == "conll")
    except OSError as error:
        raise unreadable(path, error) from error


def _of_lines(file: IO[bytes], examples: int, *, by_blanks: bool) -> Iterator[Piece]:
    """Yield pieces of so many lines, or sentences, which blank lines end.

    A piece begins with a line that is not blank: blank ones alone would be an empty file.
    """
    number = start = place = before = seen = 0
    was_blank = True
    for lines, line in enumerate(file):
        is_blank = not line.strip()
        if not is_blank and (was_blank or not by_blanks):  # an example begins
            if seen == examples:
                yield Piece(number, start, place, before)
                number, start, before, seen = number + 1, place, lines, 0
            seen += 1
        was_blank = is_blank
        place += len(line)
    if place > start:
        yield Piece(number, start, place, before)


def _of_rows(file: IO[bytes], path: Path, table: Table, examples: int) -> Iterator[Piece]:
    """Yield pieces of so many rows, found by the reader that reads them afterwards."""
    counted = _Counted(file)
    reader = fields_read(counted, table.separator or ",", table.quote)
    first = next(reader, None)
    if first is not None and stated_separator((table.separator or ",").join(first)) is not None:
        first = next(reader, None)
    if first is None:
        return
    is_header = table.named_by(first, path)[1]
    start, before = (counted.bytes, counted.lines) if is_header else (0, 0)
    head = _read(path, 0, start)
    number, seen = 0, int(not is_header)
    place, lines = counted.bytes, counted.lines
    with contextlib.suppress(csv.Error):  # in the last piece, whose reader gives the place
        for row in reader:
            seen += bool(row)
            if seen > examples:
                yield Piece(number, start, place, before, head)
                number, start, before, seen = number + 1, place, lines, 1
            place, lines = counted.bytes, counted.lines
    end = path.stat().st_size
    if end > start:
        yield Piece(number, start, end, before, head)


def _of_groups(path: Path, examples: int) -> Iterator[Piece]:
    """Yield pieces of row groups."""
    import pyarrow.parquet as pq

    facts = pq.read_metadata(path)
    number = start = before = rows = 0
    for group in range(facts.num_row_groups):
        rows += facts.row_group(group).num_rows
        if rows >= examples or group == facts.num_row_groups - 1:
            yield Piece(number, start, group + 1, before)
            number, start, before, rows = number + 1, group + 1, before + rows, 0


def _row_groups(path: Path, start: int, stop: int) -> bytes:
    """Return row groups as a file of Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(path).read_row_groups(list(range(start, stop)))
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _read(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


class _Counted(Iterator[str]):
    """Lines of a file for `csv.reader`, and how many were taken.

    Bytes that are no UTF-8 are kept, so that they count as they lie in the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = iter(file)
        self.bytes = self.lines = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.bytes += len(line)
        self.lines += 1
        text = line.decode("utf-8", "surrogateescape")
        return text.removeprefix(files.MARK) if self.lines == 1 else text
