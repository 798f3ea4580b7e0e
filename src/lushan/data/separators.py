"""What stands between the fields of a table."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lushan.common.override_text import typed
from lushan.data import files
from lushan.data.label_numbers import decimal_comma
from lushan.errors import UserError

SAMPLE = 1000
"""Lines that show what separates fields."""
MARKS = (",", "\t", ";", "|", "::")
"""What may separate fields, where nothing is said."""
_STATED = re.compile(r'"?sep=([^"\w\s]|\t)"?', re.IGNORECASE)


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


def is_divided(lines: Sequence[str], mark: str) -> bool:
    """Return whether a mark gives most rows the same number of fields, two or more."""
    widths = _widths(lines[:SAMPLE], mark)
    total = widths.total()
    del widths[1]
    return 2 * max(widths.values(), default=0) > total


def likely_separator(lines: Sequence[str], path: Path, *, sure: bool = True) -> str:
    """Return the mark that gives most rows as many fields: one of `MARKS`.

    Args:
        lines: The first ones at least.
        path: The file.
        sure: Whether to refuse what is unclear; the first such mark otherwise.

    Raises:
        UserError: Several marks do, and nothing tells which of them separates.
    """
    lines = lines[:SAMPLE]
    alike = dict(_alike(lines))
    most = max(alike.values(), default=0)
    if not most:
        return ","
    near = [mark for mark, count in alike.items() if 10 * count >= 9 * most]
    if "," in near and (others := [m for m in near if m != "," and _has_decimals(lines, m)]):
        return others[0]
    best = [mark for mark in near if alike[mark] == most]
    for keep in (_in_first, _not_in_sentences, _fewest_left):
        best = keep(lines, best) or best
    if len(best) > 1 and sure:
        ways = " or ".join(typed("data.separator", "tab" if m == "\t" else m) for m in best)
        raise UserError(
            "it is unclear what separates the fields: "
            f"{' and '.join(map(repr, best))} divide the rows equally well",
            key="data.separator",
            file=path,
            hint=f"Write {ways}.",
        )
    return best[0]


def _alike(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield marks that may separate, each with the number of rows of its usual width."""
    for mark in MARKS:
        widths = _widths(lines, mark)
        total = widths.total()
        del widths[1]  # no such mark in the row
        count = max(widths.values(), default=0)
        if count and (mark in lines[0] or 2 * count >= total):
            yield mark, count


def _in_first(lines: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Return the marks that divide the header, where there is one."""
    return [mark for mark in marks if mark in lines[0]]


def _not_in_sentences(lines: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Return the marks that a blank does not always follow, as it follows those in a sentence."""
    return [m for m in marks if any(line.count(m) != line.count(f"{m} ") for line in lines)]


def _fewest_left(lines: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Return the marks that leave the fewest others within fields."""
    counts: Mapping[str, int] = {m: sum(line.count(m) for line in lines) for m in marks}
    most = max(counts.values(), default=0)
    return [mark for mark in marks if counts[mark] == most]


def _has_decimals(lines: Sequence[str], mark: str) -> bool:
    """Return whether a mark leaves a column of numbers with decimal commas."""
    rows = [row for row in _rows(lines, mark) if len(row) > 1]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    alike = [row for row in rows if len(row) == width]
    return any(
        2 * sum(decimal_comma(field) is not None for field in column) > len(column)
        for column in zip(*alike, strict=True)
    )


def _widths(lines: Sequence[str], mark: str) -> Counter[int]:
    """Count the rows of each width, as far as the mark can be what separates fields."""
    return Counter(map(len, _rows(lines, mark)))


def _rows(lines: Sequence[str], mark: str) -> Iterator[list[str]]:
    """Yield the rows that are not blank, as far as the mark can be what separates fields."""
    if len(mark) > 1:
        yield from (line.split(mark) for line in lines if line)
        return
    lift_field_limit()
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=mark)
    # A carriage return in a field that is quoted with another mark only; the reader of all rows
    # gives the place of one that is wrong.
    with contextlib.suppress(csv.Error):
        yield from (row for row in reader if row)


def lift_field_limit() -> None:
    """Let a quoted field be as long as lines may be: the longest line is bounded elsewhere."""
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))
