"""Whether the first row of a table that is said to have no header is one all the same."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from lushan.common.wording import plural
from lushan.data.label_numbers import means_none
from lushan.data.labelled import IDS, LABELS, PAIRS, TEXTS
from lushan.data.paired import SOURCES, TARGETS
from lushan.data.rows import SPANS, TAGS, TOKENS

LONGEST = 32
"""Bytes of a name in a header."""
WORDS = 3
"""Words of a name in a header."""
FEW, SOME, MANY = 3, 10, 20
"""Other rows that must speak for a header: with numbers, with labels, by their form alone."""
USUAL = frozenset(
    (*TEXTS, *LABELS, *IDS, *SOURCES, *TARGETS, *TOKENS, *TAGS, *SPANS, *itertools.chain(*PAIRS))
)
"""Names that columns usually have."""
_NAME = re.compile(r"[^\W\d][\w .:/()#%+-]*")
_FIGURES = re.compile(r"(?=.{0,40}$)[\s.,:/%+\-eETZ]*\d[\d\s.,:/%+\-eETZ]*")
"""A number, a date or a time."""


def why_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> str | None:
    """Return why a first row looks like a header; None where it may be data.

    A row that has a number, or a value that occurs again in its column, is data. Another one is a
    header if a name of it stands above numbers; if all its cells could be names, and are usual
    ones or one stands above a few labels that all repeat; or if no other row could be names, or
    names of one word each.

    Args:
        first: The cells of the first row.
        others: Those of the rows after it, as many cells each.
    """
    first = [cell.strip() for cell in first]
    filled = [place for place, cell in enumerate(first) if cell]
    columns = list(zip(*others, strict=True)) or [()] * len(first)
    values = {p: [cell.strip() for cell in columns[p]] for p in filled}
    if any(_FIGURES.fullmatch(first[p]) or first[p] in values[p] for p in filled):
        return None
    for place in filled:
        if _is_name(first[place]) and _are_figures(values[place]):
            return f"{first[place]!r} stands above numbers"
    if not _are_names(first):
        return None
    if sum(first[p].lower() in USUAL for p in filled) >= min(2, len(filled)):
        return "its cells are usual names of columns"
    for place in filled:
        if _are_labels(values[place]):
            return f"{first[place]!r} stands above labels that all repeat, and does not"
    for could_be in (_are_names, _are_words):
        if len(others) >= MANY and could_be(first) and not any(map(could_be, others)):
            return f"its cells could be names, such as {first[filled[0]]!r}, and no other row's"
    return None


def unnamed_columns(names: Sequence[str]) -> int:
    """Return how many columns at the end have no name, as spreadsheets write them.

    Returns:
        0 where none has a name.
    """
    named = next((place for place in range(len(names), 0, -1) if names[place - 1]), len(names))
    return len(names) - named


def left_out(split: str, unnamed: int) -> list[str]:
    """Return a note on columns at the end that have no names; none where there are none."""
    if not unnamed:
        return []
    what = plural(unnamed, "column at the end has", "columns at the end have")
    left = "was" if unnamed == 1 else "were"
    return [f"{split}: {what} no name and no value, and {left} left out"]


def _is_name(cell: str) -> bool:
    """Return whether a cell could be the name of a column."""
    short = len(cell.encode()) <= LONGEST and len(cell.split()) <= WORDS
    is_value = means_none(cell) or cell.lower() in ("inf", "infinity") or cell[-1] == "."
    return short and not is_value and bool(_NAME.fullmatch(cell))


def _are_names(row: Sequence[str]) -> bool:
    cells = [cell.strip().lower() for cell in row if cell.strip()]
    return len(set(cells)) == len(cells) > 0 and all(map(_is_name, cells))


def _are_words(row: Sequence[str]) -> bool:
    """Return whether cells could be names of one word each."""
    return _are_names(row) and not any(" " in cell.strip() for cell in row)


def _are_figures(values: Sequence[str]) -> bool:
    given = [value for value in values if value and not means_none(value)]
    return len(given) >= FEW and all(map(_FIGURES.fullmatch, given))


def _are_labels(values: Sequence[str]) -> bool:
    """Return whether values are few different ones, each of which occurs twice at least."""
    counts = Counter(values)
    del counts[""]
    repeat = bool(counts) and min(counts.values()) > 1
    return repeat and len(values) >= SOME and 4 * len(counts) <= len(values)
