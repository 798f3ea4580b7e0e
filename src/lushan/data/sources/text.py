"""Plain text: one example a line, no labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from lushan.data import arrow, files
from lushan.data.labelled import Columns, strings, with_places
from lushan.data.source import FileSource


@dataclasses.dataclass(kw_only=True)
class Text(FileSource):
    """Texts without labels; an empty line is an empty text."""

    def load(self, split: str, name: str, notes: list[str]) -> pa.Table:
        """Read one file."""
        del notes
        path = self.path_of(split, name)
        return table_of_lines(files.read_text(path, longest=self.longest_line), path)


def table_of_lines(text: str, path: str | Path) -> pa.Table:
    """Each line as a row with the columns id, text, line, file."""
    lines = files.lines_of(text)
    columns = Columns({"text": lines}, range(1, len(lines) + 1), path)
    ids = arrow.texts([f"{Path(path).name}:{n}" for n in columns.lines])
    return with_places({"id": ids, "text": strings(columns, "text")}, columns)
