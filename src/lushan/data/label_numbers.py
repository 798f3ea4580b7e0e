"""Labels that are numbers; and texts that stand for no label, or for none that was read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lushan.common.override_text import typed
from lushan.data.raw_columns import Columns
from lushan.errors import UserError, shorten

NONE = frozenset(("nan", "na", "n/a", "<na>", "#n/a", "null", "none", "nil", r"\n"))
"""Texts that programs write where there is no value, in small letters."""
MOST_NAMED = 3
"""Columns that are named in a hint."""
_ID = re.compile(r"(^|[^a-z])(id|idx|index)$|Id$|^$")
"""A name of a column that counts rows."""
_DECIMAL = re.compile(r"\s*[+-]?\d+,\d+\s*")


def means_none(value: object) -> bool:
    """Return whether a value is a text that programs write where there is none."""
    return isinstance(value, str) and value.strip().lower() in NONE


def numbers_of(columns: Columns, name: str, names: Sequence[str] | None) -> list[float]:
    """Return the numbers of a column.

    Args:
        columns: Of the file.
        name: Of the column.
        names: `data.label_names`, which numbers have none of.

    Raises:
        UserError: A value is no number; says what may be meant.
    """
    if names is not None:
        raise UserError(
            "regression predicts numbers, so data.label_names has no effect",
            key="data.label_names",
            value=list(names),
            hint="Write data.label_names=null, or task.kind=single.",
        )
    values = columns.values[name]
    found = [number_in(value) for value in values]
    bad = next((row for row, number in enumerate(found) if number is None), None)
    if bad is not None:
        value = values[bad]
        if value is None or (isinstance(value, str) and not value.strip()):
            raise columns.fail("the number is missing", bad)
        raise columns.fail(
            "regression needs numbers, but this is not one",
            bad,
            value=value,
            hint=decimal_comma(value) or _advice(columns, name, value, found),
        )
    return [number for number in found if number is not None]


def number_in(value: object) -> float | None:
    """Return the finite number that a value is or is written as; None of another value."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decimal_comma(value: object) -> str | None:
    """Return what to write in place of a number with a decimal comma; None of another value."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        return None
    point = value.strip().replace(",", ".")
    return f"A decimal comma is not read: write {point}, with a point, here and in all rows."


def _advice(columns: Columns, name: str, value: object, found: Sequence[float | None]) -> str:
    """Return what to do about a value that is no number."""
    if 2 * found.count(None) < len(found):  # the others are numbers, and so no classes
        leave = typed("data.no_label", [str(value).strip()])
        return f"Correct it, or leave out rows with this value: data.unlabelled=drop {leave}."
    others = [
        typed("data.label", other)
        for other, values in columns.values.items()
        if other != name and not _ID.search(other) and all(number_in(v) is not None for v in values)
    ]
    hint = "For labels, use task.kind=single."
    shown = " or ".join(others[:MOST_NAMED])
    return f"Another column holds numbers alone: {shown}. {hint}" if others else hint


def remark(values: Sequence[Any], known: Sequence[str]) -> str | None:
    """Return a remark on labels that may stand for none; None where there are none.

    Args:
        values: The labels as they were read.
        known: Those that the config or the file names.
    """
    counts = Counter(v.strip() for v in values if means_none(v) and v.strip() not in known)
    if not counts:
        return None
    shown = " and ".join(f"{shorten(label)} ({count:,})" for label, count in counts.items())
    return (
        f"{shown} of {len(values):,} labels may mean that there is none; to leave these rows out: "
        f"data.unlabelled=drop {typed('data.no_label', list(counts))}"
    )
