"""Rows of a text file that is a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lushan.common.wording import plural
from lushan.data import files
from lushan.data.separators import lift_field_limit
from lushan.data.which import listed
from lushan.errors import UserError


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
    lift_field_limit()
    style: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": separator, "strict": True, **style}


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


def repeated(path: Path, line: int) -> UserError:
    """The error for a row that is the header again."""
    return UserError(
        "the header is repeated here",
        file=path,
        line=line,
        hint="The file looks concatenated; remove this line.",
    )
