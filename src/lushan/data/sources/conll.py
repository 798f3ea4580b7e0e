"""Column files: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa

from lushan.data import arrow, files
from lushan.data.source import FileSource
from lushan.data.tagged import TOKEN_LINES, Tagged
from lushan.errors import UserError
from lushan.text.tags import is_tag

DOCUMENT = "-DOCSTART-"
COMMENT = "#"
"""What comments start with in CoNLL-U."""
_RANGE = re.compile(r"\d+-\d+")
_EMPTY_NODE = re.compile(r"\d+\.\d+")


class _Row(NamedTuple):
    """A line that is not blank."""

    number: int
    line: str
    fields: list[str]


class _Word(NamedTuple):
    line: int
    token: str
    tag: str


class _Layout(NamedTuple):
    """How the columns of a file stand.

    Attributes:
        tab: Whether a tab separates them, or blanks do.
        width: How many most lines have.
        token_at: The tokens' column.
        tag_at: The tags' one; None if tags are not read.
        ids: Whether the first column counts the words of each sentence, as CoNLL-U's does.
        comment: What a line starts with that is a comment unless it has the columns of a token.
    """

    tab: bool
    width: int
    token_at: int
    tag_at: int | None
    ids: bool
    comment: str | None

    def is_comment(self, row: _Row) -> bool:
        """Whether a line is a comment: `#love O` is a token and its tag."""
        if self.comment is None or not row.line.startswith(self.comment):
            return False
        if len(row.fields) != self.width:
            return True
        return self.tag_at is not None and not is_tag(row.fields[self.tag_at].strip())


@dataclasses.dataclass(kw_only=True)
class Conll(Tagged, FileSource):
    """CoNLL-style columns.

    Lines that start with `-DOCSTART-`, and blank ones (stray blanks and tabs too), end a sentence.
    Where the first column counts the words of each sentence, as CoNLL-U's does, multiword tokens
    (`1-2`) and empty nodes (`1.1`) are left out and counted: their words have lines of their own.

    Args:
        token_column: Which column holds tokens; from 0, or from the end with -1.
        tag_column: Which one holds tags.
        separator: What stands between columns; `auto` is a tab where most lines have one, and any
            run of blanks otherwise.
        strip_digit: A digit rides on each token (`科0 技1`, the place in the word): leave it off.
        comment: Lines that start so are left out and counted, unless they have the columns of a
            token; null is `#` where the first column counts words, and otherwise no line.
    """

    line_per_token: ClassVar[bool] = True

    token_column: int = 0
    tag_column: int = -1
    separator: Literal["auto", "tab", "space"] = "auto"
    strip_digit: bool = False
    comment: str | None = None

    def load(self, split: str, name: str, notes: list[str]) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        text = files.read_text(path, longest=self.longest_line)
        found: list[str] = []
        table = self.table(text, path, notes=found)
        notes += [f"{split}: {note}" for note in found]
        return table

    def table(
        self,
        text: str,
        path: str | Path,
        *,
        tagged: bool = True,
        notes: list[str] | None = None,
    ) -> pa.Table:
        """Column text as a table.

        Args:
            text: Of the file.
            path: The file.
            tagged: Whether it has a column of tags; without them the table has none.
            notes: Where to add what was left out.

        Raises:
            UserError: A line does not have the columns that most have, or no sentence is there.
        """
        notes = [] if notes is None else notes
        sentences = list(self._sentences(text, path, tagged, notes))
        if not sentences:
            raise files.empty(path, "the file holds no sentence")
        stem = Path(path).name
        first = [words[0].line for words in sentences]
        columns = {
            "id": arrow.texts([f"{stem}:{n}" for n in first]),
            "tokens": arrow.text_lists([[word.token for word in words] for words in sentences]),
            "tags": arrow.text_lists([[word.tag for word in words] for words in sentences]),
            "line": arrow.numbers(first, pa.int64()),
            "file": arrow.texts([str(path)] * len(first)),
        }
        if not tagged:
            del columns["tags"]
        elif any(words[-1].line - words[0].line >= len(words) for words in sentences):
            lines = [[word.line for word in words] for words in sentences]
            columns[TOKEN_LINES] = pa.array(lines, pa.list_(pa.int64()))
        return pa.table(columns)

    def _sentences(
        self, text: str, path: str | Path, tagged: bool, notes: list[str]
    ) -> Iterator[list[_Word]]:
        """The words of each sentence."""
        rows, tab = self._rows(text, path, notes)
        layout = self._layout(rows, tab, path, tagged)
        counts: Counter[str] = Counter()
        words: list[_Word] = []
        for row in [*rows, None]:
            if row is None:
                if words:
                    yield words
                    words = []
            elif layout.is_comment(row):
                counts["comments"] += 1
            elif len(row.fields) != layout.width:
                raise self._ragged(row, layout, path)
            elif kind := _no_word(row, layout):
                counts[kind] += 1
            else:
                words.append(self._word_of(row, layout, path))
        notes += _said(counts, layout)

    def _rows(
        self, text: str, path: str | Path, notes: list[str]
    ) -> tuple[list[_Row | None], bool]:
        """The lines in columns, None where a sentence ends; and whether tabs separate them."""
        lines = files.lines_of(text)
        if "\r" in text:
            _require_line_ends(lines, path)
        marked = [n for n, line in enumerate(lines, 1) if line.startswith(files.MARK)]
        if marked:
            notes.append(
                f"{len(marked):,} byte order marks at the start of a line, as joined files have "
                f"them, were removed; the first in {path}:{marked[0]}"
            )
            lines = [line.removeprefix(files.MARK) for line in lines]
        found = [
            None if not line.strip(" \t") or line.startswith(DOCUMENT) else line for line in lines
        ]
        tab = self._by_tab([line for line in found if line is not None])
        return [
            None if line is None else _Row(n, line, line.split("\t") if tab else _by_blanks(line))
            for n, line in enumerate(found, start=1)
        ], tab

    def _by_tab(self, lines: Sequence[str]) -> bool:
        if self.separator != "auto":
            return self.separator == "tab"
        lines = [line for line in lines if not line.startswith(self._comments())] or lines
        return 2 * sum("\t" in line for line in lines) >= len(lines)

    def _comments(self) -> tuple[str, ...]:
        """What lines may start with that say nothing of the columns."""
        return (COMMENT, self.comment) if self.comment else (COMMENT,)

    def _layout(
        self, rows: Sequence[_Row | None], tab: bool, path: str | Path, tagged: bool
    ) -> _Layout:
        """The columns that most lines have: one odd line does not decide for all others."""
        every = [row for row in rows if row is not None]
        if not every:
            raise files.empty(path, "the file holds no sentence")
        plain = [row for row in every if not row.line.startswith(self._comments())] or every
        width = Counter(len(row.fields) for row in plain).most_common(1)[0][0]
        example = next(row for row in plain if len(row.fields) == width)
        token_at, tag_at = self._columns(example.fields, path, example.number, tab, tagged)
        ids = width > 2 and _counts_words(rows, width)
        if ids and token_at == 0:
            raise UserError(
                "this column counts the words of each sentence",
                key="data.token_column",
                value=self.token_column,
                file=path,
                line=example.number,
                hint="In CoNLL-U and its kin the words stand in the second column: "
                "data.token_column=1.",
            )
        comment = self.comment or (COMMENT if ids else None)
        return _Layout(tab, width, token_at, tag_at if tagged else None, ids, comment)

    def _word_of(self, row: _Row, layout: _Layout, path: str | Path) -> _Word:
        token = row.fields[layout.token_at]
        if self.strip_digit:
            token = self._stripped(token, path, row.number)
        if not token:
            raise UserError("the token is missing", file=path, line=row.number, value=row.line)
        if layout.tag_at is None:
            return _Word(row.number, token, "")
        tag = row.fields[layout.tag_at].strip()
        if not tag:
            raise UserError("the tag is missing", file=path, line=row.number, value=row.line)
        return _Word(row.number, token, tag)

    def _columns(
        self, fields: Sequence[str], path: str | Path, line: int, tab: bool, tagged: bool
    ) -> tuple[int, int]:
        """The places of token and tag, counted from the start."""
        width = len(fields)
        if tagged and width < 2 and self.token_column != self.tag_column:
            raise UserError(
                "this line has one column, and a token and its tag are two",
                file=path,
                line=line,
                value=fields[0],
                hint="Columns are separated by "
                + ("a tab; data.separator=space reads blanks." if tab else "blanks or a tab."),
            )
        wanted = {"token_column": self.token_column}
        if tagged:
            wanted["tag_column"] = self.tag_column
        for key, column in wanted.items():
            if not -width <= column < width:
                raise UserError(
                    f"there is no column {column}: line {line} has {width}",
                    key=f"data.{key}",
                    value=column,
                    file=path,
                    hint=f"Columns are 0 to {width - 1}, or -1 for the last; the line is: "
                    + " | ".join(fields),
                )
        return self.token_column % width, self.tag_column % width

    @staticmethod
    def _ragged(row: _Row, layout: _Layout, path: str | Path) -> UserError:
        separator = "tabs" if layout.tab else "blanks"
        return UserError(
            f"{len(row.fields)} columns (separated by {separator}), and most lines have "
            f"{layout.width}",
            file=path,
            line=row.number,
            value=row.line,
            hint="Each token needs its tag. If the columns are separated otherwise, write "
            f"data.separator={'space' if layout.tab else 'tab'}; comments are left out by "
            "data.comment='#'.",
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


def _require_line_ends(lines: Sequence[str], path: str | Path) -> None:
    """Refuse a carriage return that no line feed follows: it may be meant as a line's end."""
    for number, line in enumerate(lines, start=1):
        if (place := line.find("\r")) >= 0:
            raise UserError(
                "a carriage return stands inside this line",
                file=path,
                line=number,
                column=place + 1,
                hint="Where lines end with it alone, convert the file: "
                r"tr '\r' '\n' < IN > OUT; otherwise remove it.",
            )


def _counts_words(rows: Sequence[_Row | None], width: int) -> bool:
    """Whether the first column holds 1, 2, 3, ... in most sentences of several words."""
    counting = others = 0
    ids: list[str] = []
    for row in [*rows, None]:
        if row is None:
            right = ids == [str(n) for n in range(1, len(ids) + 1)]
            counting += right and len(ids) > 1
            others += not right
            ids = []
        elif len(row.fields) == width and not _of_words(row.fields[0]):
            ids.append(row.fields[0])
    return counting > others


def _of_words(identifier: str) -> str:
    """What an id of CoNLL-U names where it is not one word: '' for a word."""
    if _RANGE.fullmatch(identifier):
        return "multiword tokens"
    return "empty nodes" if _EMPTY_NODE.fullmatch(identifier) else ""


def _no_word(row: _Row, layout: _Layout) -> str:
    return _of_words(row.fields[0]) if layout.ids else ""


def _said(counts: Counter[str], layout: _Layout) -> Iterator[str]:
    """What was left out."""
    if comments := counts["comments"]:
        yield f"{comments:,} comments (lines that start with {layout.comment!r}) were left out"
    if ranges := counts["multiword tokens"]:
        yield (
            f"{ranges:,} multiword tokens (ids such as 1-2) were left out: their words have lines "
            "of their own"
        )
    if nodes := counts["empty nodes"]:
        yield f"{nodes:,} empty nodes (ids such as 1.1) were left out"
