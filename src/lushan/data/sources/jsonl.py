"""JSON lines: one mapping a line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from lushan.configurable import configurable
from lushan.data import files
from lushan.data.labelled import Columns
from lushan.data.rows import Rows
from lushan.data.source import FileSource
from lushan.errors import UserError


@configurable
@dataclasses.dataclass(kw_only=True)
class Jsonl(Rows, FileSource):
    """Words with tags, texts with entities as spans or with labels, or sources with targets."""

    def load(self, split: str, name: str, notes: list[str]) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        text = files.read_text(path, longest=self.longest_line)
        return self.table_of(parse_lines(text, path), split, notes)


def parse_lines(text: str, path: str | Path) -> Columns:
    """The fields of a JSONL file; one that a row lacks is None there.

    Raises:
        UserError: A line is no JSON object, or there is none.
    """
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    names: dict[str, None] = {}
    for number, line in enumerate(files.lines_of(text), start=1):
        if not line or line.isspace():
            continue
        row = parse_line(line, number, path)
        rows.append(row)
        numbers.append(number)
        names.update(dict.fromkeys(row))
    if not rows:
        raise files.empty(path, "the file holds no line of JSON")
    return Columns({name: [row.get(name) for row in rows] for name in names}, numbers, path)


def parse_line(line: str, number: int, path: str | Path) -> dict[str, Any]:
    """The object that stands in a line.

    Raises:
        UserError: It is none.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        whole = number == 1 and line.lstrip()[0] == "["
        raise UserError(
            f"this is no whole JSON: {error.msg}",
            file=path,
            line=number,
            column=error.colno,
            hint="One object stands in one line; this file is one list over many: "
            "jq -c '.[]' IN > OUT."
            if whole
            else "One object stands in one line; see whether the line was cut.",
        ) from None
    except RecursionError:
        raise UserError("this JSON is nested too deeply", file=path, line=number) from None
    if not isinstance(row, dict):
        raise UserError(
            "a JSON object is expected in each line",
            file=path,
            line=number,
            value=row,
            hint="Turn a list into lines: jq -c '.[]' IN > OUT.",
        )
    return row
