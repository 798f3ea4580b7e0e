"""Raw columns of one file, before any field has read them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common import shell
from lushan.common.arrays import pa
from lushan.data import files, unpacking
from lushan.data.classes import Classes
from lushan.data.encode import arrow
from lushan.data.json_shapes import SUFFIXES
from lushan.data.media import Beside, Media
from lushan.data.references import Reference
from lushan.errors import UserError
from lushan.vision import video
from lushan.vision.video import Sampling

LONGEST = 60
"""Characters of a text in a hint."""


@dataclasses.dataclass
class Columns:
    """Raw columns of one file.

    Attributes:
        values: Name to values, all of one length.
        lines: The line each row starts in, from 1.
        file: The file, as the user named it.
        classes: Of columns whose values were class numbers, these and their names.
        elements: The rows' numbers in a JSON array, where they are elements of one.
        media: Where images and videos lie that the rows name; None where that is not known.
        sampling: Which frames of a video are read.
    """

    values: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    file: str | Path
    classes: Mapping[str, Classes] = dataclasses.field(default_factory=dict)
    elements: Sequence[int] | None = None
    media: Media | Beside | None = None
    sampling: Sampling = dataclasses.field(default_factory=Sampling)

    def images(self, row: int, value: object, kind: str) -> list[Reference]:
        """Return the references to the images of an `image` or a `video`, which has its frames.

        Raises:
            UserError: There is none, or a video cannot be read; names file and line.
        """
        found = self.image(row, value, kind)
        if kind != "video":
            return [found]
        name = found["path"] or (value if isinstance(value, str) else "")
        try:
            frames = video.frames_of(found["bytes"], name, self.sampling)
        except UserError as error:
            raise self.fail(error.problem, row, hint=error.hint) from error
        return [{"path": "", "bytes": frame} for frame in frames]

    def image(self, row: int, value: object, kind: str = "image") -> Reference:
        """Return the reference to an image, or other medium, that a row holds or names.

        Raises:
            UserError: There is none; names file and line.
        """
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):  # as `datasets` does
            return {"path": "", "bytes": value["bytes"]}
        if isinstance(value, bytes):
            return {"path": "", "bytes": value}
        if isinstance(value, list) and value:
            if len(value) == 1:
                return self.image(row, value[0], kind)
            raise self.fail(
                f"a row must have one {kind}, but this one has {len(value)}",
                row,
                hint="For several, use dialogues: task=chat data=chat.",
            )
        if not isinstance(value, str) or not value:
            raise self.fail(f"the {kind} is missing", row, value=value)
        if self.media is None:
            raise self.fail(
                f"the {kind} is a file name, but the folder is unknown",
                row,
                value=value,
                hint="Write data.media=FOLDER, or an archive (.tar, .tar.gz, .zip).",
            )
        found: Reference | None = self.media.find(value)
        if found is None:
            hint = self.media.near(value)
            raise self.fail(
                f"there is no {kind} of this name in {self.media.place}",
                row,
                value=value,
                hint=hint,
            )
        return found

    def usual(
        self, named: str | Sequence[str] | None = None, *, among: Collection[str] = ()
    ) -> list[str]:
        """Return the columns that most rows have, so that one odd row adds none.

        Args:
            named: Columns that the config names, which count whatever rows have them.
            among: Names of which one is looked for; where no usual column is called so, all count.
        """
        wanted = [named] if isinstance(named, str) else named or ()
        found = [
            name
            for name, values in self.values.items()
            if name in wanted or 2 * sum(value is None for value in values) <= len(values)
        ]
        if among and not any(name in wanted or name.lower() in among for name in found):
            return list(self.values)
        return found

    def take(self, rows: Sequence[int]) -> Columns:
        """Return some rows, in this order."""
        classes = {
            name: Classes(known.names, [known.numbers[row] for row in rows])
            for name, known in self.classes.items()
        }
        return dataclasses.replace(
            self,
            values={name: [values[row] for row in rows] for name, values in self.values.items()},
            lines=[self.lines[row] for row in rows],
            classes=classes,
            elements=None if self.elements is None else [self.elements[row] for row in rows],
        )

    def fail(
        self, problem: str, row: int, *, hint: str | None = None, value: object = None
    ) -> UserError:
        """The error about a row."""
        if self.elements is not None:
            problem = f"{problem} (element {self.elements[row]})"
        return UserError(problem, file=self.file, line=self.lines[row], hint=hint, value=value)

    def place(self, row: int) -> str:
        """Return the place of a row in its file, in words."""
        if self.elements is not None:
            return f"element {self.elements[row]}"
        return f"line {self.lines[row]}"


def strings(columns: Columns, name: str) -> pa.Array:
    """A column that must hold text in every row; an empty one is allowed."""
    values = columns.values[name]
    for row, value in enumerate(values):
        if type(value) is not str:
            raise columns.fail(
                f"the {name} is missing" if value is None else f"the {name} is not text",
                row,
                value=value,
                hint=_as_text(columns, name, value),
            )
    return texts_of(columns, values)


def _as_text(columns: Columns, name: str, value: object) -> str | None:
    """Return how a number or a list is written as a text; None for another value."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        text, change = " ".join(value), 'join(" ")'
    elif isinstance(value, bool | int | float):
        text, change = json.dumps(value), "tostring"
    else:
        return None
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    hint = f"Write one text: {json.dumps(short, ensure_ascii=False)}."
    if columns.elements is not None or files.bare_suffix(columns.file) not in SUFFIXES:
        return hint
    program = shell.quote(f".[{json.dumps(name, ensure_ascii=False)}] |= {change}")
    command = f"Or in all rows: jq -c {program} IN > OUT"
    return f"{hint} {unpacking.with_names(command, columns.file)}"


def texts_of(columns: Columns, values: Sequence[str]) -> pa.Array:
    """Return a text for each row as an Arrow column.

    Raises:
        UserError: One holds half of a surrogate pair; names file and line.
    """
    try:
        return arrow.texts(values)
    except UnicodeEncodeError as error:
        raise halves(columns, [[value] for value in values]) from error


def word_lists(columns: Columns, values: Sequence[Sequence[str]]) -> pa.Array:
    """Lists of words as an Arrow column."""
    try:
        return arrow.text_lists(values)
    except UnicodeEncodeError as error:
        raise halves(columns, values) from error


def halves(columns: Columns, values: Sequence[Sequence[str]]) -> UserError:
    """The error for half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    for row, texts in enumerate(values):
        for text in texts:
            for place, character in enumerate(text):
                if "\ud800" <= character <= "\udfff":
                    return columns.fail(
                        f"half of a surrogate pair, \\u{ord(character):04x}, at character "
                        f"{place + 1} of the text",
                        row,
                        hint="An emoji was cut in half; remove the rest of it.",
                    )
    raise AssertionError("no surrogate in these values")


def with_places(table: Mapping[str, pa.Array], columns: Columns) -> pa.Table:
    """A table with the columns line and file."""
    places = {
        "line": arrow.numbers(columns.lines, pa.int64()),
        "file": arrow.texts([str(columns.file)] * len(columns.lines)),
    }
    return pa.table({**table, **places})


def require_short(columns: Columns, longest: int) -> None:
    """Refuse a text beyond the bound, where lines could not be measured."""
    for values in columns.values.values():
        for row, value in enumerate(values):
            if isinstance(value, str) and len(value) > longest:
                raise files.too_long(columns.file, columns.lines[row], len(value), longest)
