"""Text to predict on, read as `lushan predict` reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lushan.data.fields import Fields
from lushan.data.raw_input import STDIN, standard_input
from lushan.data.source import Format, Source
from lushan.data.unlabelled import Reading, format_for, reader_class


def read_unlabelled(
    path: str | Path,
    fields: Fields,
    *,
    source: Source | None = None,
    format: Format | None = None,
    notes: list[str] | None = None,
) -> pa.Table:
    """Read a file, or `-` for the standard input."""
    name = STDIN if str(path) == "-" else str(path)
    data = standard_input() if name == STDIN else None
    chosen = format or format_for(fields, name, data=data)
    given = reader_class(chosen, fields)() if source is None else source
    collected = [] if notes is None else notes
    return Reading(name, chosen, given, notes=collected, data=data, fields=fields).read()
