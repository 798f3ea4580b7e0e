"""Columns of any format as a corpus's rows of texts: which column is what, and what labels say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lushan.data import arrow, files
from lushan.errors import UserError, did_you_mean

LabelKind = Literal["single", "multilabel", "regression"]

TEXTS = ("text", "sentence", "content", "review", "tweet", "document", "headline", "title")
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
)
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "score")
IDS = ("id", "idx", "guid", "uid")


@dataclasses.dataclass
class Columns:
    """Raw columns of one file.

    Attributes:
        values: Name to values, all of one length.
        lines: The line each row starts in, from 1.
        file: The file, as the user named it.
    """

    values: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    file: str | Path

    def fail(
        self, problem: str, row: int, *, hint: str | None = None, value: Any = None
    ) -> UserError:
        """The error about a row."""
        return UserError(problem, file=self.file, line=self.lines[row], hint=hint, value=value)


@dataclasses.dataclass(kw_only=True)
class Labelled:
    """Options of a source that reads labelled texts.

    Args:
        text: The column of the texts, or two for pairs; null finds it by its name.
        label: The column of the labels; null finds it by its name.
        id: The column of the examples' names; null numbers them by their lines.
        label_kind: What a label is: one class, several, or a number.
        label_separator: What stands between several labels in one field: `,`.
        label_names: Names of labels that are written as numbers from 0.
    """

    text: str | list[str] | None = None
    label: str | None = None
    id: str | None = "id"
    label_kind: LabelKind = "single"
    label_separator: str | None = None
    label_names: list[str] | None = None

    def texts_table(self, columns: Columns, *, labelled: bool = True) -> pa.Table:
        """Rows of texts in a corpus's columns.

        Raises:
            UserError: A column is not there, a label or text is missing or no such thing.
        """
        names = list(columns.values)
        label = self._label_column(names, columns.file) if labelled else self._known_label(names)
        texts = self._text_columns(names, label, columns.file)
        table = {"id": self.ids(columns)}
        for target, name in zip(("text", "text_pair"), texts, strict=False):
            table[target] = strings(columns, name)
        if labelled and label is not None:
            table["label"] = self._labels(columns, label)
        return with_places(table, columns)

    def _text_columns(
        self, names: Sequence[str], label: str | None, file: str | Path
    ) -> Sequence[str]:
        """The column of the texts, or two: named, or those of the file before, or by their names.

        Raises:
            UserError: They are not there, or cannot be told apart.
        """
        before = remembered(self).get("text")
        if self.text is None and before and set(before) <= set(names):
            return list(before)
        texts = self._named_texts(names, label, file)
        if before and len(before) != len(texts):
            raise UserError(
                f"{' and '.join(before)} were read before, and this file has not both of them"
                if len(before) > 1
                else f"{before[0]} was read before, and here it would be {' and '.join(texts)}",
                key="data.text",
                file=file,
                hint=f"Write data.text=NAME; the columns are: {', '.join(names)}.",
            )
        remember(self, text=list(texts))
        return texts

    def _named_texts(
        self, names: Sequence[str], label: str | None, file: str | Path
    ) -> Sequence[str]:
        if self.text is not None:
            wanted = [self.text] if isinstance(self.text, str) else self.text
            if not 1 <= len(wanted) <= 2:
                raise UserError("one column, or two for pairs", key="data.text", value=self.text)
            for name in wanted:
                require_column(name, names, "data.text", file)
            return wanted
        free = [name for name in names if name != label and name.lower() not in IDS]
        by_lower = {name.lower(): name for name in free}
        for pair in PAIRS:
            if all(part in by_lower for part in pair):
                return [by_lower[part] for part in pair]
        for known in TEXTS:
            if known in by_lower:
                return [by_lower[known]]
        if len(free) == 1:
            return free
        raise UserError(
            "which column holds the texts?",
            key="data.text",
            file=file,
            hint=f"Write data.text=NAME; the columns are: {', '.join(names)}.",
        )

    def _known_label(self, names: Sequence[str]) -> str | None:
        """The column of the labels, where there is one besides others."""
        if self.label is not None:
            return self.label if self.label in names else None
        by_lower = {name.lower(): name for name in names}
        return next((by_lower[known] for known in LABELS if known in by_lower), None)

    def _label_column(self, names: Sequence[str], file: str | Path) -> str:
        if self.label is not None:
            require_column(self.label, names, "data.label", file)
        if (found := self._known_label(names)) is not None:
            return found
        raise UserError(
            "which column holds the labels?",
            key="data.label",
            file=file,
            hint=f"Write data.label=NAME; the columns are: {', '.join(names)}.",
        )

    def ids(self, columns: Columns) -> pa.Array:
        """The examples' names: their column, or file and line."""
        if self.id is None or self.id not in columns.values:
            if self.id not in (None, "id"):
                require_column(self.id, list(columns.values), "data.id", columns.file)
            stem = Path(columns.file).name
            return arrow.texts([f"{stem}:{line}" for line in columns.lines])
        values = columns.values[self.id]
        seen: dict[str, int] = {}
        for row, value in enumerate(values):
            name = "" if value is None else str(value)
            if not name:
                raise columns.fail(f"the {self.id} is missing", row, hint="Or write data.id=null.")
            if name in seen:
                raise columns.fail(
                    f"the {self.id} {name!r} stands already in line {columns.lines[seen[name]]}",
                    row,
                    hint="Each example needs its own; data.id=null numbers them by line.",
                )
            seen[name] = row
        return arrow.texts(list(seen))

    # Labels

    def _labels(self, columns: Columns, name: str) -> pa.Array:
        values = columns.values[name]
        if self.label_kind == "regression":
            numbers = [self._number(columns, row, v) for row, v in enumerate(values)]
            return arrow.numbers(numbers, pa.float64())
        if self.label_kind == "multilabel":
            several = [self._several(columns, row, v) for row, v in enumerate(values)]
            return arrow.text_lists(several)
        known: dict[Any, str] = {}
        labels = []
        for row, value in enumerate(values):
            if type(value) is not str or value not in known:
                text = self._one(columns, row, value)
                if type(value) is str:
                    known[value] = text
            else:
                text = known[value]
            labels.append(text)
        return arrow.texts(labels)

    def _one(self, columns: Columns, row: int, value: Any) -> str:
        if isinstance(value, list | dict):
            raise columns.fail(
                "one label is expected, and this is a list or mapping",
                row,
                value=value,
                hint="Several labels are learned by task.kind=multilabel.",
            )
        text = label_text(value)
        if not text:
            raise columns.fail(
                "the label is missing",
                row,
                hint="Give it one, or leave the example out; a test split without any: "
                "data.test=null.",
            )
        return self._named(columns, row, text)

    def _named(self, columns: Columns, row: int, text: str) -> str:
        if self.label_names is None or text in self.label_names:
            return text
        if text.isdecimal() and int(text) < len(self.label_names):
            return self.label_names[int(text)]
        raise columns.fail(
            f"data.label_names has no name for the label {text!r}",
            row,
            hint=f"It names 0 to {len(self.label_names) - 1}: {', '.join(self.label_names)}.",
        )

    def _several(self, columns: Columns, row: int, value: Any) -> list[str]:
        if isinstance(value, str) and self.label_separator is None:
            raise columns.fail(
                "several labels are expected, and this is one text",
                row,
                value=value,
                hint="Write what stands between labels: 'data.label_separator=\";\"'.",
            )
        if isinstance(value, str):
            value = [part for part in value.split(self.label_separator) if part.strip()]
        if not isinstance(value, list | tuple):
            if value is None:
                raise columns.fail(
                    "the labels are missing", row, hint="An example without labels has []."
                )
            raise columns.fail("a list of labels is expected", row, value=value)
        found = [self._one(columns, row, item) for item in value]
        return list(dict.fromkeys(found))

    def _number(self, columns: Columns, row: int, value: Any) -> float:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise columns.fail("the number is missing", row)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise columns.fail(
                "regression learns numbers, and this is none",
                row,
                value=value,
                hint="Names are learned by task.kind=single.",
            )
        return number


def label_text(value: Any) -> str:
    """A label as text: 1, 1.0 and '1 ' are the same one; '' where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def remember(source: object, /, **columns: Any) -> None:
    """Record which columns a source has read, so that other files are read by the same ones."""
    vars(source).setdefault("found", {}).update(columns)


def remembered(source: object) -> dict[str, Any]:
    """Return what a source has read so far: option to column, or columns."""
    return dict(vars(source).get("found", {}))


def require_column(name: str, names: Collection[str], key: str, file: str | Path) -> None:
    """Refuse the name of a column that is not there."""
    if name not in names:
        near = did_you_mean(name, names)
        hint = f"Write {key}=NAME; the columns are: {', '.join(names)}."
        raise UserError(
            f"there is no column {name!r}",
            key=key,
            file=file,
            hint=f"{near} {hint}" if near else hint,
        )


def strings(columns: Columns, name: str) -> pa.Array:
    """A column that must hold text in every row; an empty one is allowed."""
    values = columns.values[name]
    for row, value in enumerate(values):
        if type(value) is not str:
            raise columns.fail(
                f"the {name} is missing" if value is None else f"the {name} is no text",
                row,
                value=value,
            )
    try:
        return arrow.texts(values)
    except UnicodeEncodeError as error:
        raise halves(columns, [[value] for value in values]) from error


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
                        hint="An emoji was cut there; remove the rest of it.",
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
