"""Column files: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from lushan.data import arrow, files
from lushan.data.labelled import remember
from lushan.data.source import FileSource
from lushan.data.tagged import Tagged
from lushan.errors import UserError

DOCUMENT = "-DOCSTART-"


@dataclasses.dataclass(kw_only=True)
class Conll(Tagged, FileSource):
    """CoNLL-style columns.

    Lines that start with `-DOCSTART-`, and blank ones (stray blanks and tabs too), end a sentence.

    Args:
        token_column: Which column holds tokens; from 0, or from the end with -1.
        tag_column: Which one holds tags.
        separator: What stands between columns; `auto` is a tab where the first line has one, and
            any run of blanks otherwise.
        strip_digit: A digit rides on each token (`科0 技1`, the place in the word): leave it off.
        comment: Lines that start so are left out.
    """

    line_per_token: ClassVar[bool] = True

    token_column: int = 0
    tag_column: int = -1
    separator: Literal["auto", "tab", "space"] = "auto"
    strip_digit: bool = False
    comment: str | None = None

    def load(self, split: str, name: str, notes: list[str]) -> pa.Table:
        """Read one file."""
        del notes
        path = self.path_of(split, name)
        text = files.read_text(path, longest=self.longest_line)
        return self.table(text, path)

    def table(self, text: str, path: str | Path, *, tagged: bool = True) -> pa.Table:
        """Column text as a table; without the column tags if it is not `tagged`.

        Raises:
            UserError: A line has not the columns that the first one has, or no sentence is there.
        """
        tokens: list[list[str]] = []
        tags: list[list[str]] = []
        numbers: list[int] = []
        for first, rows in self._sentences(text, path):
            tokens.append([row[0] for row in rows])
            tags.append([row[1] for row in rows])
            numbers.append(first)
        if not tokens:
            raise files.empty(path, "the file holds no sentence")
        stem = Path(path).name
        columns = {
            "id": arrow.texts([f"{stem}:{n}" for n in numbers]),
            "tokens": arrow.text_lists(tokens),
            "tags": arrow.text_lists(tags),
            "line": arrow.numbers(numbers, pa.int64()),
            "file": arrow.texts([str(path)] * len(numbers)),
        }
        if not tagged:
            del columns["tags"]
        return pa.table(columns)

    def _sentences(
        self, text: str, path: str | Path
    ) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """(line of its first token, its tokens and tags) of each sentence."""
        lines = files.lines_of(text)
        tab = self._by_tab(lines)
        width = first = 0
        rows: list[tuple[str, str]] = []
        token_at = tag_at = 0
        for number, line in enumerate(lines, start=1):
            blank = not line.strip(" \t")
            if blank or line.startswith(DOCUMENT):
                if rows:
                    yield first, rows
                    rows = []
                continue
            if self.comment and line.startswith(self.comment):
                continue
            fields = line.split("\t") if tab else _by_blanks(line)
            if len(fields) != width:
                if width:
                    raise self._ragged(path, number, fields, width, tab)
                width = len(fields)
                token_at, tag_at = self._columns(fields, path, number, tab)
            token, tag = fields[token_at], fields[tag_at].strip()
            if self.strip_digit:
                token = self._stripped(token, path, number)
            if not tag:
                raise UserError("the tag is missing", file=path, line=number, value=line)
            if not rows:
                first = number
            rows.append((token, tag))
        if rows:
            yield first, rows

    def _by_tab(self, lines: Sequence[str]) -> bool:
        if self.separator != "auto":
            return self.separator == "tab"
        for line in lines:
            skipped = line.startswith(DOCUMENT) or (self.comment and line.startswith(self.comment))
            if line.strip(" \t") and not skipped:
                return "\t" in line
        return False

    def _columns(
        self, fields: Sequence[str], path: str | Path, line: int, tab: bool
    ) -> tuple[int, int]:
        """The places of token and tag, counted from the start."""
        width = len(fields)
        if width < 2 and self.token_column != self.tag_column:
            raise UserError(
                "this line has one column, and a token and its tag are two",
                file=path,
                line=line,
                value=fields[0],
                hint="Columns are separated by "
                + ("a tab; data.separator=space reads blanks." if tab else "blanks or a tab."),
            )
        for key, column in (("token_column", self.token_column), ("tag_column", self.tag_column)):
            if not -width <= column < width:
                raise UserError(
                    f"there is no column {column}: line {line} has {width}",
                    key=f"data.{key}",
                    value=column,
                    file=path,
                    hint=f"Columns are 0 to {width - 1}, or -1 for the last; the line is: "
                    + " | ".join(fields),
                )
        remember(self, width=width)
        return self.token_column % width, self.tag_column % width

    @staticmethod
    def _ragged(
        path: str | Path, line: int, fields: Sequence[str], width: int, tab: bool
    ) -> UserError:
        separator = "tabs" if tab else "blanks"
        return UserError(
            f"{len(fields)} columns (separated by {separator}), and {width} in the lines before",
            file=path,
            line=line,
            value="\t".join(fields),
            hint="Each token needs its tag. If the columns are separated otherwise, write "
            f"data.separator={'space' if tab else 'tab'}; lines to leave out, data.comment='#'.",
        )

    @staticmethod
    def _stripped(token: str, path: str | Path, line: int) -> str:
        if not token[-1:].isdigit():
            raise UserError(
                "no digit rides on this token",
                key="data.strip_digit",
                file=path,
                line=line,
                value=token,
                hint="Write data.strip_digit=false.",
            )
        return token[:-1]


def _by_blanks(line: str) -> list[str]:
    # Not str.split(): it also splits at the wide blanks that may be part of a token.
    return [field for field in line.replace("\t", " ").split(" ") if field]
