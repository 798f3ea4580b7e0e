"""Column files: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from lushan.common.arrays import pa
from lushan.common.override_text import typed
from lushan.common.wording import plural
from lushan.configurable import configurable
from lushan.data import files
from lushan.data.encode import arrow
from lushan.data.fields import WORDS, Fields
from lushan.data.label_names import WithLabelNames
from lushan.data.labelled import remember
from lushan.data.separators import separator_named
from lushan.data.source import Format, WholeFiles
from lushan.data.tagged import TOKEN_LINES, Tagged
from lushan.errors import UserError
from lushan.text.tags import is_tag

DOCUMENT = ("-DOCSTART-", "#begin document", "#end document")
COMMENT = "#"
"""Start of comments in CoNLL-U."""
_RANGE = re.compile(r"\d+-\d+")
_EMPTY_NODE = re.compile(r"\d+\.\d+")


SAMPLE = 2000
"""Lines that show how the columns stand."""

# Plain tuples: a corpus has a million of them.
_Row = tuple[int, str, list[str]]
"""(number, text, fields) of a line that is not blank."""
_Word = tuple[int, str, str]
"""(line, token, tag)."""


class _Layout(NamedTuple):
    """Layout of the columns of a file.

    Attributes:
        split: Parts a line into its fields.
        width: How many most lines have.
        token_at: The tokens' column.
        tag_at: The tags' one; None if tags are not read.
        ids: Whether the first column counts the words of each sentence, as CoNLL-U's does.
        comment: What a line starts with that is a comment unless it has the columns of a token.
    """

    split: Callable[[str], list[str]]
    width: int
    token_at: int
    tag_at: int | None
    ids: bool
    comment: str | None

    def is_comment(self, row: _Row) -> bool:
        """Return whether a line is a comment: `#love O` is a token and its tag."""
        _, line, fields = row
        if self.comment is None or not line.startswith(self.comment):
            return False
        if len(fields) != self.width:
            return True
        return self.tag_at is not None and not is_tag(fields[self.tag_at].strip())

    def left_out(self, row: _Row) -> str:
        """Return what a line holds that is not a word; '' for a word."""
        if self.is_comment(row):
            return "comments"
        return _of_words(row[2][0]) if self.ids else ""


@configurable
@dataclasses.dataclass(kw_only=True)
class Conll(Tagged, WithLabelNames, WholeFiles):
    """CoNLL-style columns.

    Lines that start with `-DOCSTART-` (CoNLL-2012: `#begin document` and `#end document`), and
    blank ones (stray blanks and tabs too), end a sentence.
    Where the first column counts the words of each sentence, as CoNLL-U's does, multiword tokens
    (`1-2`) and empty nodes (`1.1`) are left out and counted: their words have lines of their own.

    Args:
        token_column: Column of the tokens; from 0, or from the end with -1.
        tag_column: Column of the tags.
        separator: Separator of columns: `tab`, `space` (any number of spaces and tabs), or
            characters such as `,` or `|`. `auto` is a tab if most lines have one, else spaces.
        strip_digit: Remove the last digit of each token, for files with the position in the word
            (`科0 技1`).
        comment: Prefix of comment lines, which are skipped and counted unless they have the columns
            of a token. null is `#` if the first column has word numbers, else none.
    """

    input_format: ClassVar[Format | None] = "conll"
    gives: ClassVar[Fields | None] = WORDS

    line_per_token: ClassVar[bool] = True

    token_column: int = 0
    tag_column: int = -1
    separator: str = "auto"
    strip_digit: bool = False
    comment: str | None = None

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        text = files.read_text(path, longest=self.longest_line, largest=self.largest_file)
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
            raise files.empty(path, "the file has no sentence")
        stem = Path(path).name
        first = [words[0][0] for words in sentences]
        columns = {
            "id": arrow.texts([f"{stem}:{n}" for n in first]),
            "tokens": arrow.text_lists([[token for _, token, _ in words] for words in sentences]),
            "tags": arrow.text_lists([[tag for *_, tag in words] for words in sentences]),
            "line": arrow.numbers(first, pa.int64()),
            "file": arrow.texts([str(path)] * len(first)),
        }
        if not tagged:
            del columns["tags"]
        elif any(words[-1][0] - words[0][0] >= len(words) for words in sentences):
            lines = [[line for line, *_ in words] for words in sentences]
            columns[TOKEN_LINES] = pa.array(lines, pa.list_(pa.int64()))
        return pa.table(columns)

    def _sentences(
        self, text: str, path: str | Path, tagged: bool, notes: list[str]
    ) -> Iterator[list[_Word]]:
        """The words of each sentence."""
        lines = _lines(text, path, notes)
        layout = self._layout(lines, path, tagged)
        some_left_out = layout.comment is not None or layout.ids
        counts: Counter[str] = Counter()
        words: list[_Word] = []
        for number, line in enumerate(lines, start=1):
            if _ends_sentence(line):
                if words:
                    yield words
                    words = []
                continue
            row = number, line, layout.split(line)
            if some_left_out and (kind := layout.left_out(row)):
                counts[kind] += 1
            else:
                words.append(self._word_of(row, layout, path))
        if words:
            yield words
        notes += _said(counts, layout)

    def width(self, text: str, path: str | Path) -> int:
        """Return how many columns most lines of a text have.

        Raises:
            UserError: It holds no sentence.
        """
        return self._shape(_sample(_lines(text, path, [])), path)[2]

    def _shape(
        self, sample: Sequence[str], path: str | Path
    ) -> tuple[list[str], Callable[[str], list[str]], int]:
        """The lines that are no comments, how they are split, and into how many columns."""
        marks = (COMMENT, self.comment) if self.comment else (COMMENT,)
        plain = [line for line in sample if not _ends_sentence(line)]
        if not plain:
            raise files.empty(path, "the file has no sentence")
        plain = [line for line in plain if not line.startswith(marks)] or plain
        mark = self.separator
        if mark == "auto":
            tabs = 2 * sum("\t" in line for line in plain) >= len(plain)
            mark = "tab" if tabs else "space"
        split = _by_blanks if mark == "space" else _by(separator_named(mark))
        width = Counter(len(split(line)) for line in plain).most_common(1)[0][0]
        if width == 1 and mark not in ("tab", "space"):  # words alone, the mark among them
            split = _whole
        return plain, split, width

    def _layout(self, lines: Sequence[str], path: str | Path, tagged: bool) -> _Layout:
        """The columns that most lines have: one odd line does not decide for all others."""
        sample = _sample(lines)
        plain, split, width = self._shape(sample, path)
        example = next(line for line in plain if len(split(line)) == width)
        number = lines.index(example) + 1
        token_at, tag_at = self._columns(split(example), path, number, tagged)
        ids = width > 2 and _counts_words(sample, split, width)
        if ids and token_at == 0:
            raise UserError(
                "this column has word numbers, not words",
                key="data.token_column",
                value=self.token_column,
                file=path,
                line=number,
                hint="In CoNLL-U and similar formats, words are in the second column: "
                "data.token_column=1.",
            )
        comment = self.comment or (COMMENT if ids else None)
        return _Layout(split, width, token_at, tag_at if tagged else None, ids, comment)

    def _word_of(self, row: _Row, layout: _Layout, path: str | Path) -> _Word:
        number, line, fields = row
        if len(fields) != layout.width:
            raise self._ragged(row, layout, path)
        token = fields[layout.token_at]
        if self.strip_digit:
            token = self._stripped(token, path, number)
        if not token:
            raise UserError("the token is missing", file=path, line=number, value=line)
        if layout.tag_at is None:
            return number, token, ""
        tag = fields[layout.tag_at].strip()
        if not tag:
            raise UserError("the tag is missing", file=path, line=number, value=line)
        return number, token, tag

    def _columns(
        self, fields: Sequence[str], path: str | Path, line: int, tagged: bool
    ) -> tuple[int, int]:
        """The places of token and tag, counted from the start."""
        width = len(fields)
        if tagged and width < 2 and self.token_column != self.tag_column:
            raise UserError(
                "this line has one column, but a token and its tag need two",
                file=path,
                line=line,
                value=fields[0],
                hint="The default separators are spaces and tabs. For another one: "
                f"{typed('data.separator', ',')}.",
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
        remember(self, width=width)
        return self.token_column % width, self.tag_column % width

    @staticmethod
    def _ragged(row: _Row, layout: _Layout, path: str | Path) -> UserError:
        number, line, fields = row
        blanks = layout.split is _by_blanks
        return UserError(
            f"{plural(len(fields), 'column')}{' (separated by blanks)' if blanks else ''}, but "
            f"most lines have {layout.width}",
            file=path,
            line=number,
            value=line,
            hint=f"Each token needs its tag. For another separator, write "
            f"data.separator={'tab' if blanks else 'space'}; to skip comments, write "
            f"{typed('data.comment', COMMENT)}.",
        )

    @staticmethod
    def _stripped(token: str, path: str | Path, line: int) -> str:
        if not token[-1:].isdigit():
            raise UserError(
                "this token does not end with a digit",
                key="data.strip_digit",
                file=path,
                line=line,
                value=token,
                hint="Write data.strip_digit=false.",
            )
        return token[:-1]


def _whole(line: str) -> list[str]:
    return [line]


def _by(mark: str) -> Callable[[str], list[str]]:
    def split(line: str) -> list[str]:
        if line.startswith(2 * mark):  # the mark itself is the token: `,,O`
            return [mark, *line.removeprefix(2 * mark).split(mark)]
        return line.split(mark)

    return split


def _by_blanks(line: str) -> list[str]:
    # Not str.split(): it also splits at the wide blanks that may be part of a token.
    return [field for field in line.replace("\t", " ").split(" ") if field]


def _lines(text: str, path: str | Path, notes: list[str]) -> list[str]:
    """The lines of a file, without the byte order marks that joining files leaves in it."""
    return files.without_marks(files.lines_of(text, path), path, notes)


def _ends_sentence(line: str) -> bool:
    return not line.strip(" \t") or line.startswith(DOCUMENT)


def _sample(lines: Sequence[str]) -> list[str]:
    """The first lines, as many as hold `SAMPLE` tokens or comments."""
    found: list[str] = []
    count = 0
    for line in lines:
        found.append(line)
        count += not _ends_sentence(line)
        if count == SAMPLE:
            break
    return found


def _counts_words(lines: Sequence[str], split: Callable[[str], list[str]], width: int) -> bool:
    """Return whether the first column holds 1, 2, 3, ... in most sentences of several words."""
    counting = others = 0
    ids: list[str] = []
    for line in [*lines, ""]:
        if _ends_sentence(line):
            right = ids == [str(n) for n in range(1, len(ids) + 1)]
            counting += right and len(ids) > 1
            others += not right
            ids = []
        elif len(fields := split(line)) == width and not _of_words(fields[0]):
            ids.append(fields[0])
    return counting > others


def _of_words(identifier: str) -> str:
    """Return what an id of CoNLL-U names where it is not one word: '' for a word."""
    if _RANGE.fullmatch(identifier):
        return "multiword tokens"
    return "empty nodes" if _EMPTY_NODE.fullmatch(identifier) else ""


def _said(counts: Counter[str], layout: _Layout) -> Iterator[str]:
    """Yield a note on each kind of line that was left out."""
    if comments := counts["comments"]:
        yield plural(
            comments,
            f"comment (a line that starts with {layout.comment!r}) was skipped",
            f"comments (lines that start with {layout.comment!r}) were skipped",
        )
    if ranges := counts["multiword tokens"]:
        yield plural(
            ranges,
            "multiword token (an id such as 1-2) was skipped: its words have their own lines",
            "multiword tokens (ids such as 1-2) were skipped: their words have their own lines",
        )
    if nodes := counts["empty nodes"]:
        yield plural(
            nodes,
            "empty node (an id such as 1.1) was skipped",
            "empty nodes (ids such as 1.1) were skipped",
        )
