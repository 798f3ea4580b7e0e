"""Rows of JSON: an object a line, or one array of them, read piece by piece.

An array may stand alone, `[{...}, ...]`, or as `data` in one object, `{"data": [{...}, ...]}`; its
elements may be spread over lines, or all stand in one. What is held is a piece of the file and the
element at hand. A row may itself be a list, as `row_of` reads it.
"""

from __future__ import annotations

import array
import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lushan.common.parsing import parse_json, parse_json_at
from lushan.data import files, unpacking
from lushan.data.json_mistakes import PYTHON, no_object, python_list, too_long
from lushan.data.json_shapes import ROWS_ARE, require_row, row_of
from lushan.data.raw_columns import Columns
from lushan.errors import UserError

DATA = "data"
"""The key of an object that holds the rows of a file."""

_BLANK = re.compile(r"[ \t\n\r]*")
_TEXT = r'"(?:[^"\\]|\\.)*"'
_WRAPPER = re.compile(
    rf'\{{\s*(?:{_TEXT}\s*:\s*(?:{_TEXT}|[-+.\w]+)\s*,\s*)*"{DATA}"\s*:\s*\[\s*[{{\]]'
)
MOST_CELLS = 20_000_000
"""Rows times different keys, beyond which most cells must hold something."""
SPARSEST = 50
"""Cells of the table for each that holds something, at most."""
_PYTHON = ("'", "T", "F", "N")
"""How values of Python begin that JSON has not: a text, True, False, None."""
_NEAR = 16
"""Characters from the end of what was read in which an error may be one of cutting."""


class Row(NamedTuple):
    """An object.

    Attributes:
        line: The line that it begins in, from 1.
        value: Its keys and values.
        element: Its number in the array, from 1; None where each line is an object.
    """

    line: int
    value: dict[str, Any]
    element: int | None = None


def columns_of(
    source: Iterable[bytes],
    name: str | Path,
    *,
    longest: int = files.LONGEST_LINE,
    each: str | None = None,
) -> Columns:
    """The fields of a file's rows; one that a row lacks is None there.

    Args:
        source: The file's bytes, unpacked, in pieces of any size.
        name: Of the file, for errors.
        longest: Bytes of the longest line, or characters of the longest element.
        each: Keys of lists inside of a row, from the outermost, whose innermost elements are the
            rows, each with the other values of what it lies in: `paragraphs.qas`.

    Raises:
        UserError: It is no such JSON, or there is none; names file and line.
    """
    found: dict[str, list[Any]] = {}
    lines = array.array("q")
    is_array, held = False, 0
    rows = rows_of(source, name, longest=longest)
    for row in rows if each is None else unnested(rows, each.split("."), name):
        for key, value in row.value.items():
            column = found.setdefault(key, [])
            column.extend(itertools.repeat(None, len(lines) - len(column)))
            column.append(value)
        held += len(row.value)
        lines.append(row.line)
        is_array = row.element is not None
        if len(found) * len(lines) > max(MOST_CELLS, SPARSEST * held):
            raise UserError(
                f"the rows up to here have {len(found):,} different keys, and each row has only a "
                f"few of them",
                file=name,
                line=row.line,
                hint="Keys are column names. Put what differs between rows into values.",
            )
    if not lines:
        raise files.empty(name)
    if len(lines) == 1 and not is_array and each is None:
        require_row(found, name)
    for column in found.values():
        column.extend(itertools.repeat(None, len(lines) - len(column)))
    return Columns(found, lines, name, elements=range(1, len(lines) + 1) if is_array else None)


def rows_of(source: Iterable[bytes], name: str | Path, *, longest: int) -> Iterator[Row]:
    """The rows of a file, one after the other; see `columns_of`."""
    source = iter(source)
    head = next(source, b"")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    whole = itertools.chain([head], source)
    if start[:1] == b"[":
        yield from _Scanner(whole, name, longest).array()
    elif start[:1] == b"{" and _is_wrapper(start.decode(errors="ignore")):
        yield from _Scanner(whole, name, longest).wrapper()
    else:
        yield from _lines(whole, name, longest, start.decode(errors="ignore"))


def unnested(rows: Iterable[Row], keys: Sequence[str], name: str | Path) -> Iterator[Row]:
    """Yield the elements of lists inside of rows as rows; see `columns_of`.

    Raises:
        UserError: A row has no such list, or an element is not an object.
    """
    for row in rows:
        try:
            values = list(_elements(row.value, keys))
        except (KeyError, TypeError):
            raise UserError(
                f"there is no list of objects at {'.'.join(keys)}",
                file=name,
                line=row.line,
                hint="data.each=KEY.KEY gives nested lists from the outermost. data.each=null "
                "reads each row as it is.",
            ) from None
        yield from (Row(row.line, value, 0) for value in values)


def _elements(value: dict[str, Any], keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not keys:
        yield value
        return
    around = {key: other for key, other in value.items() if key != keys[0]}
    for element in value[keys[0]]:
        yield from _elements({**around, **element}, keys[1:])


def is_array(path: Path) -> bool:
    """Return whether a file is an array of rows, alone or as `data`, and not JSON lines."""
    return _start(path)[:1] == "[" or is_wrapper(path)


def is_wrapper(path: Path) -> bool:
    """Return whether a file is one object with its rows as `data`."""
    return _is_wrapper(_start(path))


def _start(path: Path) -> str:
    head = next(unpacking.unpacked(path), b"").removeprefix(codecs.BOM_UTF8)
    return head.lstrip(b" \t\r\n").decode(errors="ignore")


def _is_wrapper(head: str) -> bool:
    """Return whether a file begins as `{"data": [{`, and is not JSON lines."""
    found = _WRAPPER.match(head)
    if found is None:
        return False
    first, _, rest = head.partition("\n")
    if found.end() > len(first) or rest.isspace() or not rest:
        return True
    try:
        parse_json(first)
    except ValueError:
        return True
    return False  # a whole object in the first line, and more below it


# A row a line


def _lines(source: Iterable[bytes], name: str | Path, longest: int, head: str) -> Iterator[Row]:
    try:
        for first, block in files.blocks_of(source, name, longest=longest):
            for line, content in enumerate(files.lines_of(block, name, first), first):
                if content and not content.isspace():
                    yield Row(line, parse_line(content, line, name, head))
    except files.TooLong as error:
        raise too_long(error, head, name) if error.line == 1 else error from None


def parse_line(line: str, number: int, path: str | Path, head: str) -> dict[str, Any]:
    """The object that stands in a line.

    Args:
        line: The line.
        number: Its number, from 1.
        path: Its file.
        head: The beginning of the file, which tells what it is where the line is no object.

    Raises:
        UserError: It is none.
    """
    try:
        row = parse_json(line, bounded=False)
    except json.JSONDecodeError as error:
        raise no_object(line, number, path, error, head) from None
    except ValueError as error:
        raise UserError(f"this JSON cannot be read: {error}", file=path, line=number) from None
    if not isinstance(row, dict):
        raise UserError("expected a JSON object in each line", file=path, line=number, value=row)
    return row


# An array


class _Scanner:
    """JSON text that is read as it is needed.

    Args:
        source: The file's bytes in pieces.
        name: Of the file.
        longest: Characters of the longest element.
    """

    def __init__(self, source: Iterable[bytes], name: str | Path, longest: int) -> None:
        self.pieces, self.name, self.longest = _decoded(source, name), name, longest
        self.text = ""
        self.at = 0  # what comes before it has been read
        self.line = 1  # that `at` stands in
        self.begun = 0  # place of that line's first character; negative where it was dropped

    def array(self) -> Iterator[Row]:
        """The elements of an array that is all of the file."""
        yield from self._elements()
        if self._next():
            raise self._bad(
                "there is more text after the end of the array",
                hint="A file is one array, or has an object in each line. To convert lines that "
                "are lists of messages: jq -c '{messages: .}' IN > OUT.",
            )

    def wrapper(self) -> Iterator[Row]:
        """The elements of the array that is `data` in the object that is all of the file."""
        self._expect("{", "an object")
        mark = ","
        while mark == ",":
            key = self._value()
            self._expect(":", "a colon behind the key")
            if key == DATA:
                yield from self._elements()
            elif self._is_rows(self._value()):
                raise self._bad(
                    f"both {DATA!r} and {key!r} could be the rows",
                    hint=f"Extract the rows that you want: jq -c '.{DATA}[]' IN > OUT.",
                )
            mark = self._expect(",}", "a comma or the end of the object")
        if self._next():
            raise self._bad(
                "there is more text after the end of the object",
                hint="A file is one array, or has an object in each line.",
            )

    @staticmethod
    def _is_rows(value: object) -> bool:
        return isinstance(value, list) and any(isinstance(item, dict) for item in value)

    def _elements(self) -> Iterator[Row]:
        self._expect("[", "an array")
        number = 0
        if self._next() == "]":
            self._expect("]", "")
            return
        mark, texts = ",", False
        while mark == ",":
            number += 1
            self._next()
            line = self.line
            value = self._value(number)
            texts = texts or (number == 1 and isinstance(value, str))
            row = {"text": value} if texts and isinstance(value, str) else row_of(value)
            if row is None:
                problem = f"element {number} of the array is not an object"
                raise UserError(problem, file=self.name, line=line, value=value, hint=ROWS_ARE)
            yield Row(line, row, number)
            mark = self._expect(",]", f"a comma or the end of the array after element {number}")

    # Characters

    def _next(self) -> str:
        """Go to the next character that is not blank; '' at the end of the file."""
        while True:
            found = _BLANK.match(self.text, self.at)
            assert found is not None
            self._advance(found.end())
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _expect(self, marks: str, what: str) -> str:
        mark = self._next()
        if not mark or mark not in marks:
            raise self._bad(
                f"{what} is expected" if mark else f"the file ends where {what} is expected",
                hint="Was the file truncated?" if not mark else None,
            )
        self._advance(self.at + 1)
        return mark

    def _advance(self, place: int) -> None:
        if lines := self.text.count("\n", self.at, place):
            self.line += lines
            self.begun = self.text.rfind("\n", self.at, place) + 1
        self.at = place

    def _more(self) -> bool:
        """Read on, at least as much as is held: a long element is tried few times."""
        wanted = len(self.text) - self.at
        found = []
        for piece in self.pieces:
            found.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        self.text = "".join([self.text[self.at :], *found])
        self.begun -= self.at
        self.at = 0
        return bool(found)

    def _value(self, number: int | None = None) -> Any:
        """The value that comes next."""
        self._next()
        while True:
            try:
                value, end = parse_json_at(self.text, self.at)
            except json.JSONDecodeError as error:
                open_text = error.msg.startswith("Unterminated string")
                reached = len(self.text) if open_text else error.pos
                self._require_short(reached, number)
                offset = error.pos - self.at
                if reached + _NEAR < len(self.text) or not self._more():
                    self._advance(self.at + offset)
                    if self.text[self.at : self.at + 1] in _PYTHON:
                        raise self._bad(PYTHON, hint=python_list(self.name)) from None
                    what = "the file" if number is None else f"element {number}"
                    raise self._bad(
                        f"{what} is incomplete JSON: {error.msg}",
                        hint="Was the file truncated?" if open_text else None,
                    ) from None
                continue
            except ValueError as error:
                raise self._bad(f"this JSON cannot be read: {error}") from None
            self._require_short(end, number)
            # A number that ends with what was read may continue.
            if end == len(self.text) and not isinstance(value, str | list | dict) and self._more():
                continue
            self._advance(end)
            return value

    def _require_short(self, end: int, number: int | None) -> None:
        if (length := end - self.at) > self.longest:
            what = "this value" if number is None else f"element {number}"
            raise self._bad(
                f"{what} has {length:,} characters or more; the limit is {self.longest:,}",
                hint=f"Check closing quotes and brackets. If the elements are really this long, "
                f"write data.longest_line={2 * length}.",
            )

    def _bad(self, problem: str, *, hint: str | None = None) -> UserError:
        column = self.at - self.begun + 1
        return UserError(problem, file=self.name, line=self.line, column=column, hint=hint)


def _decoded(source: Iterable[bytes], name: str | Path) -> Iterator[str]:
    """Bytes as text; a character may be spread over two pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for number, data in enumerate(itertools.chain(source, [b""])):
        if number == 0:
            files.require_utf8_marks(data, name)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise files.not_utf8(error, name, line) from error
        line += text.count("\n")
        yield text.removeprefix("\ufeff") if number == 0 else text
