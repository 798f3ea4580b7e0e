"""Times and other numbers of interactions, and what to do where there are no times."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

from lushan.data import files
from lushan.data.formats.table import PARQUET
from lushan.data.json_shapes import SUFFIXES
from lushan.data.label_numbers import decimal_comma
from lushan.data.raw_columns import Columns
from lushan.data.unpacking import with_names


def number_at(columns: Columns, name: str, row: int) -> float:
    """Return the finite number in a row.

    Raises:
        UserError: It is none.
    """
    value = columns.values[name][row]
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        hint = decimal_comma(value)
        raise columns.fail(f"the {name} is not a number", row, value=value, hint=hint)
    return found


def time_at(columns: Columns, name: str, row: int) -> float:
    """Return the time in a row, in seconds or whatever unit the numbers have.

    Raises:
        UserError: It is none.
    """
    value = columns.values[name][row]
    if isinstance(value, str) and not value.strip().lstrip("-").replace(".", "", 1).isdigit():
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            hint = "Write numbers, or dates such as 2024-05-31T12:00:00."
            raise columns.fail(f"the {name} is not a time", row, value=value, hint=hint) from None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if isinstance(value, datetime.datetime):  # without a zone it is UTC, wherever it is read
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp()
    return number_at(columns, name, row)


def without_times(columns: Columns) -> str:
    """Return what to do where rows have no times, after a blank."""
    path = Path(columns.file)
    is_headed = len(columns.values) > 1 and columns.lines[0] > 1
    if files.bare_suffix(path) in (*PARQUET, *SUFFIXES) or not is_headed:
        return " If the rows are in order of time, add a field with their numbers as time."
    header = next(line for _, text in files.blocks(path) for line in text.split("\n") if line)
    name, other, *_ = columns.values
    between = header.partition(name)[2].partition(other)[0].strip('"')
    sign = between.replace("\t", "\\t")
    command = (
        'awk \'{sub(/\\r$/, "")} NR == 1 {print $0 "%time"; next} {print $0 "%" NR}\' IN > OUT'
    )
    numbered = with_names(command.replace("%", sign), path)
    return f" If the rows are in order of time, number them: {numbered}"
