"""Files that commands write: their names, and that they are none which must stay."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from lushan.errors import UserError

WRITTEN = ("output", "write")
"""Options that name a file to write."""


class Command(typer.core.TyperCommand):
    """A command that replaces neither what it reads nor what a run has written."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # theirs is private
        """Carry it out, once what it would write may be replaced."""
        for option in WRITTEN:
            if ctx.params.get(option) is not None:
                _require_free(option, Path(str(ctx.params[option])), ctx.params)
        return super().invoke(ctx)


def _require_free(option: str, target: Path, given: Mapping[str, Any]) -> None:
    if not target.is_file():
        return
    others = [value for name, value in given.items() if name not in WRITTEN]
    if any(path.is_file() and path.samefile(target) for path in _paths(others)):
        problem = "this is an input file, and would be overwritten"
    else:
        from lushan.run.checksums import is_listed

        if not is_listed(target):
            return
        problem = "this file belongs to a run, and is not overwritten"
    hint = "Choose another file."
    raise UserError(problem, key=f"--{option}", value=str(target), hint=hint)


def _paths(value: object) -> Iterator[Path]:
    """Yield the files that the values of options name, patterns spelled out."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)
    elif isinstance(value, Path):
        yield value
    elif isinstance(value, str) and "\0" not in value:
        yield Path(value)
        if glob.has_magic(value):
            yield from map(Path, glob.iglob(value, recursive=True))  # noqa: PTH207 - also absolute


def require_lines(output: str) -> None:
    """Refuse the name of a table for what is written as lines of JSON."""
    place = Path(output)
    if place.suffix.lower() in (".csv", ".tsv", ".parquet", ".xlsx"):
        raise UserError(
            "the output is JSON lines, not a table",
            key="--output",
            value=output,
            hint=f"Write --output {place.with_suffix('.jsonl')}. "
            "Read it with pandas.read_json(FILE, lines=True).",
        )
