"""Documents of raw text, read from files in a stream: plain text, JSONL, CSV and Parquet.

A row of JSONL, CSV or Parquet is a document. Plain text has no such marks, so the config
says what one is: a file, a paragraph or a line. Only a block of a file and a part of a text are in
memory.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.data import files, unpacking
from lushan.data.json_rows import rows_of
from lushan.data.labelled import SHORT, TEXTS, require_column
from lushan.data.which import first_usual, which
from lushan.errors import UserError

Unit = Literal["file", "paragraph", "line"]
Format = Literal["txt", "jsonl", "csv", "parquet"]

LONGEST_PART = 1 << 16
_ROWS = 1000
"""Rows of a Parquet file that are read at a time."""
_FIRST = 200
"""Rows of JSON that the field of the texts is found by."""

_FORMATS: dict[str, Format] = {
    **dict.fromkeys((".txt", ".text", ".md", ".raw", ".tokens", ""), "txt"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv", ".tab"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
_BLANK_LINES = "blank lines"


class Part(NamedTuple):
    """A document, or a part of a long one.

    Attributes:
        line: The line that it begins in; the number of its row in a Parquet file.
        text: Not blank, where it is plain text.
        number: Of the part in its document, from 0.
        of_row: Whether all parts of the document begin in one line.
        element: The document's number in a JSON array, where it is an element of one.
    """

    line: int
    text: str
    number: int = 0
    of_row: bool = False
    element: int | None = None

    @property
    def place(self) -> str:
        """Name that distinguishes it from all others of its file."""
        row = self.line if self.element is None else self.element
        return f"{row}/{self.number + 1}" if self.of_row and self.number else str(row)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """Settings by which files are read as documents.

    Attributes:
        unit: What a document of plain text is.
        format: Of the files; None goes by their endings.
        text: The field of rows that holds the text; None finds it by its name.
        longest_part: Characters from which on a text is cut at line ends.
        longest_line: Bytes of the longest line, or characters of a text that has no lines.
    """

    unit: Unit = "file"
    format: Format | None = None
    text: str | None = None
    longest_part: int = LONGEST_PART
    longest_line: int = files.LONGEST_LINE


def read(path: Path, reading: Reading, counts: collections.Counter[str]) -> Iterator[Part]:
    """The documents of a file.

    Args:
        path: The file, gzip or not.
        reading: How.
        counts: What is counted on the way, under the words that `notes` uses.

    Raises:
        UserError: The file cannot be read; names it and, where it can, the line.
    """
    readers: dict[Format, Callable[..., Iterator[Part]]] = {
        "txt": _plain,
        "jsonl": _jsonl,
        "csv": _csv,
        "parquet": _parquet,
    }
    found = 0
    for part in readers[reading.format or format_of(path)](path, reading, counts):
        found += 1
        _count(part, counts)
        yield part
    counts["files"] += 1
    counts["files without text"] += not found


def _count(part: Part, counts: collections.Counter[str]) -> None:
    counts["texts"] += part.number == 0
    counts["parts"] += part.number > 0
    counts["texts cut"] += part.number == 1
    counts["empty texts"] += not part.text or part.text.isspace()
    counts["NUL characters"] += part.text.count("\0")


def notes(counts: collections.Counter[str]) -> list[str]:
    """Return notes on the documents that were read."""
    remarks = []
    if cut := counts["texts cut"]:
        parts = counts["parts"] + cut
        remarks.append(f"long texts were split at line ends: {cut:,} into {parts:,} parts")
    if empty := counts["empty texts"]:
        remarks.append(f"{empty:,} of {counts['texts']:,} texts are empty")
    if blank := counts[_BLANK_LINES]:
        remarks.append(
            plural(
                blank,
                "blank line was skipped: it is not a document",
                "blank lines were skipped: they are not documents",
            )
        )
    if bare := counts["files without text"]:
        remarks.append(f"{bare:,} of {counts['files']:,} files have no text")
    if nul := counts["NUL characters"]:
        remarks.append(
            plural(
                nul,
                "NUL character was found in the texts and kept",
                "NUL characters were found in the texts and kept",
            )
        )
    return remarks


def format_of(path: Path) -> Format:
    """Return the format by a file's ending.

    Raises:
        UserError: There is no format with this ending.
    """
    suffix = files.bare_suffix(path)
    if suffix not in _FORMATS:
        raise UserError(
            "unknown file extension",
            file=path,
            hint="Set the format: data.format=txt, jsonl, csv or parquet.",
        )
    return _FORMATS[suffix]


# Plain text


def _plain(path: Path, reading: Reading, counts: collections.Counter[str]) -> Iterator[Part]:
    blocks = files.blocks(path, longest=reading.longest_line)
    if reading.unit == "file":
        return _cut(blocks, reading.longest_part)
    lines = (
        (number, line)
        for first, text in blocks
        for number, line in enumerate(files.lines_of(text, path, first), first)
    )
    if reading.unit == "paragraph":
        return _paragraphs(lines, reading.longest_part)
    return _lines(lines, counts)


def _cut(blocks: Iterable[tuple[int, str]], longest: int) -> Iterator[Part]:
    """One text in parts that end at line ends; together they are all of it that is not blank."""
    line, number, held = 1, 0, ""
    for _, text in blocks:
        held += text
        start = 0
        while len(held) - start > longest:
            stop = start + longest
            end = held.rfind("\n", start, stop) + 1 or held.find("\n", stop) + 1
            if not end:
                break
            if not (part := held[start:end]).isspace():
                yield Part(line, part, number)
                number += 1
            line += held.count("\n", start, end)
            start = end
        held = held[start:]
    if held and not held.isspace():
        yield Part(line, held, number)


def _paragraphs(lines: Iterable[tuple[int, str]], longest: int) -> Iterator[Part]:
    """Yield the paragraphs between blank lines, long ones in parts."""
    held: list[str] = []
    begun = number = size = 0
    for line, text in lines:
        blank = not text or text.isspace()
        if held and (blank or size + len(text) > longest):
            # The line feed between two parts is the end of the first one.
            yield Part(begun, "\n".join(held) + ("" if blank else "\n"), number)
            held, size, number = [], 0, number + 1
        if blank:
            number = 0
            continue
        if not held:
            begun = line
        held.append(text)
        size += len(text) + 1
    if held:
        yield Part(begun, "\n".join(held), number)


def _lines(lines: Iterable[tuple[int, str]], counts: collections.Counter[str]) -> Iterator[Part]:
    for line, text in lines:
        if not text or text.isspace():
            counts[_BLANK_LINES] += 1
        else:
            yield Part(line, text)


# Rows


def of_row(line: int, text: str, longest: int) -> Iterator[Part]:
    """A row's text, in parts if it is long."""
    if len(text) <= longest:
        yield Part(line, text)
        return
    for part in _cut([(line, text)], longest):
        yield part._replace(line=line, of_row=True)


def _jsonl(path: Path, reading: Reading, _: object) -> Iterator[Part]:
    rows = rows_of(unpacking.unpacked(path), path, longest=reading.longest_line)
    first = list(itertools.islice(rows, _FIRST))
    field = usual_field([row.value for row in first], reading.text, path)
    for row in itertools.chain(first, rows):
        text = require_text(row.value.get(field), field, row.line, path)
        for part in of_row(row.line, text, reading.longest_part):
            yield part._replace(element=row.element)


def _csv(path: Path, reading: Reading, _: object) -> Iterator[Part]:
    from lushan.data.formats.table import QUOTE, Table
    from lushan.data.separators import SAMPLE, stated_separator
    from lushan.data.table_rows import ragged, rows_of

    blocks = files.blocks(path, longest=reading.longest_line)
    lines = (line for _, text in blocks for line in files.fields_of(text))
    # What separates fields shows in the header, which may stand below blank lines.
    blank, first = 0, next(lines, None)
    while first is not None and not first.strip():
        blank, first = blank + 1, next(lines, None)
    stated = None if first is None else stated_separator(first)
    if stated is not None:
        blank, first = blank + 1, next(lines, None)
    if first is None:
        return
    head = [first, *itertools.islice(lines, SAMPLE - 1)]
    separator = stated or Table().separator_of(path, head, sure=False)
    quote = None if separator == "\t" else QUOTE
    whole = itertools.chain(itertools.repeat("", blank), head, lines)
    rows = rows_of(whole, separator, quote, path)
    _, header = next(rows)
    names = [name.strip() for name in header]
    place = names.index(text_field(names, reading.text, path))
    for number, row in rows:
        if len(row) != len(names):
            raise ragged(path, number, row, names, separator)
        yield from of_row(number, row[place], reading.longest_part)


def _parquet(path: Path, reading: Reading, _: object) -> Iterator[Part]:
    import pyarrow.parquet as pq

    with _plain_file(path) as plain:
        try:
            file = pq.ParquetFile(plain, pre_buffer=False)
            field = text_field(file.schema_arrow.names, reading.text, path)
            row = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=[field]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    text = require_text(value, field, row, path)
                    if len(text) > reading.longest_line:
                        raise files.too_long(path, row, len(text), reading.longest_line)
                    yield from of_row(row, text, reading.longest_part)
        except pa.ArrowException as error:
            raise UserError(
                f"this Parquet file is incomplete or damaged: {error}", file=path
            ) from error


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """The file itself, or what it holds where it is gzip: Parquet is read here and there."""
    source = unpacking.unpacked(path)
    if not unpacking.is_packed(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as temporary:
        for block in source:
            temporary.write(block)
        temporary.flush()
        yield Path(temporary.name)


def text_field(names: Sequence[str], wanted: str | None, file: str | Path) -> str:
    """The field of rows that holds their text.

    Raises:
        UserError: There is no such field, or it cannot be determined which it is.
    """
    if wanted is not None:
        require_column(wanted, names, "data.text", file)
        return wanted
    found = first_usual(names, (known for known in TEXTS if known not in SHORT))
    if found is None and len(names) == 1:
        found = names[0]
    if found is None:
        header = "data=table data.columns=[...]"
        raise which("the texts", "data.text", names, file, kind="field", header=header)
    return found


def usual_field(rows: Sequence[Mapping[str, Any]], wanted: str | None, file: str | Path) -> str:
    """Return the field of the texts, found among those that most of the rows have.

    Raises:
        UserError: See `text_field`.
    """
    if not rows:
        return ""
    counts = collections.Counter(name for row in rows for name in row)
    names = [name for name, count in counts.items() if 2 * count >= len(rows) or name == wanted]
    return text_field(names, wanted, file)


def require_text(value: object, field: str, line: int, file: str | Path) -> str:
    """Refuse what is no text; an empty one is."""
    if type(value) is not str:
        raise UserError(
            f"the {field} is missing" if value is None else f"the {field} is not text",
            file=file,
            line=line,
            value=value,
        )
    return value
