"""Names of the files that commands write."""

from __future__ import annotations

from pathlib import Path

from lushan.errors import UserError


def require_lines(output: str) -> None:
    """Refuse the name of a table for what is written as lines of JSON."""
    place = Path(output)
    if place.suffix.lower() in (".csv", ".tsv", ".parquet", ".xlsx"):
        raise UserError(
            "a line of JSON for each example is written, and this is the name of a table",
            key="--output",
            value=output,
            hint=f"Write --output {place.with_suffix('.jsonl')}; "
            "pandas.read_json(FILE, lines=True) reads it.",
        )
