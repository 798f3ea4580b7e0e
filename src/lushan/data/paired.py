"""A source text and what is to be made of it: a summary, a translation, an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lushan.common.arrays import pa
from lushan.data import files
from lushan.data.encode import arrow
from lushan.data.labelled import Labelled, most, remember, remembered, require_column
from lushan.data.raw_columns import Columns, halves, with_places
from lushan.data.which import first_usual, which
from lushan.errors import UserError, did_you_mean
from lushan.text.words import join_words

SOURCES = ("source", "document", "article", "text", "src", "input")
TARGETS = ("target", "targets", "summary", "highlights", "references", "reference", "tgt", "output")


@dataclasses.dataclass(kw_only=True)
class Paired(Labelled):
    """Options of a source that reads texts with what is to be made of them.

    Args:
        source: Column of the source texts; a list of texts, such as sentences, is joined. For a
            column of mappings, `translation.de` selects the key `de`.
        target: Column of the target texts. A list, or several columns, contains several references;
            some of the columns can be empty in a row.
    """

    source: str | None = None
    target: str | list[str] | None = None

    @property
    def names_pairs(self) -> bool:
        """Return whether the config says that rows are pairs."""
        return self.source is not None or self.target is not None

    def pairs_table(
        self, columns: Columns, *, longest: int = files.LONGEST_LINE, targets: bool = True
    ) -> pa.Table:
        """Rows as a corpus of pairs has them.

        Its columns are id, source, targets, line, file; and `lead`, the first of the texts that a
        source was joined from, where it was a list.

        Args:
            columns: As they were read.
            longest: Characters of the longest source or target.
            targets: Whether there are any.

        Raises:
            UserError: A column is not there, or a row has no source or no target.
        """
        self._require_no_label()
        named = self.target if isinstance(self.target, list) else [self.target]
        columns = _flattened(columns, [self.source, *named])
        source = self._source_column(columns)
        parts = [_parts(columns, row, source, v) for row, v in enumerate(columns.values[source])]
        sources = [join_words(several)[0] for several in parts]
        table: dict[str, pa.Array] = {"id": self.ids(columns)}
        table["source"] = _texts(columns, [[text] for text in sources], longest).flatten()
        if targets:
            table["targets"] = _texts(columns, self._references(columns, source), longest)
        if most(columns.values[source], lambda value: isinstance(value, list | tuple)):
            table["lead"] = arrow.texts([several[0] if several else "" for several in parts])
        return with_places(table, columns)

    def _source_column(self, columns: Columns) -> str:
        """The column of the sources: named, or that of the file before, or by its name."""
        before = remembered(self).get("source")
        known = before if self.source is None and before in columns.values else self.source
        source = _column(columns, "source", SOURCES, known)
        remember(self, source=source)
        return source

    def _require_no_label(self) -> None:
        for option in ("text", "label"):
            if (given := getattr(self, option)) is not None:
                raise UserError(
                    "expected a pair of source and target",
                    key=f"data.{option}",
                    value=given,
                    hint=f"Write data.{option}=null.",
                )

    def _references(self, columns: Columns, source: str) -> list[list[str]]:
        names = self._target_columns(columns, source)
        rows = zip(*(columns.values[name] for name in names), strict=True)
        return [_references(columns, row, names, values) for row, values in enumerate(rows)]

    def _target_columns(self, columns: Columns, source: str) -> list[str]:
        if not isinstance(self.target, list):
            known = [name for name in TARGETS if name != source]
            return [_column(columns, "target", known, self.target)]
        if not self.target:
            raise UserError("at least one column is required", key="data.target", value=self.target)
        return [_column(columns, "target", (), name) for name in self.target]


def _column(columns: Columns, option: str, known: Sequence[str], chosen: str | None) -> str:
    if chosen is not None:
        require_column(chosen, list(columns.values), f"data.{option}", columns.file)
        return chosen
    names = columns.usual(among=known)
    if (found := first_usual(names, known)) is None:
        raise which(f"the {option}s", f"data.{option}", names, columns.file)
    return found


def _flattened(columns: Columns, wanted: Sequence[str | None]) -> Columns:
    """Add a column for each `name.key` that is wanted of a column of mappings.

    Sets of translations are kept so: {"translation": {"de": ..., "en": ...}}.
    """
    values = dict(columns.values)
    for name in wanted:
        outer, dot, key = (name or "").partition(".")
        rows = columns.values.get(outer, ())
        if name is None or name in values or not dot:
            continue
        if most(rows, lambda row: isinstance(row, Mapping)):
            mappings = [row if isinstance(row, Mapping) else {} for row in rows]
            keys = dict.fromkeys(key for row in mappings for key in row)
            if key not in keys:
                raise UserError(
                    f"{outer} has no {key!r}",
                    value=name,
                    file=columns.file,
                    line=columns.lines[0],
                    hint=did_you_mean(key, keys, prefix=f"{outer}.")
                    or f"It has: {', '.join(keys)}.",
                )
            values[name] = [row.get(key) for row in mappings]
    return dataclasses.replace(columns, values=values)


def _texts(columns: Columns, rows: list[list[str]], longest: int) -> pa.Array:
    """A column of lists of texts, none of them too long."""
    for row, texts in enumerate(rows):
        if (length := max(map(len, texts))) > longest:
            raise files.too_long(columns.file, columns.lines[row], length, longest)
    try:
        return arrow.text_lists(rows)
    except UnicodeEncodeError as error:
        raise halves(columns, rows) from error


def _parts(columns: Columns, row: int, name: str, value: Any) -> list[str]:
    """The texts that a source is joined from, empty ones left out."""
    texts = value if isinstance(value, list | tuple) else [value]
    for text in texts:
        _require_text(columns, row, name, text)
    if isinstance(value, str):
        return [value]
    return [text.strip() for text in texts if text.strip()]


def _references(
    columns: Columns, row: int, names: Sequence[str], values: Sequence[Any]
) -> list[str]:
    found: list[str] = []
    for name, value in zip(names, values, strict=True):
        if len(names) > 1 and value in (None, "", []):  # another column has one
            continue
        if value == []:
            raise columns.fail(
                f"the list of {name} is empty", row, hint="Each source needs a target."
            )
        for text in value if isinstance(value, list | tuple) else [value]:
            _require_text(columns, row, name, text)
            if not text.strip():
                raise columns.fail(
                    f"the {name} is empty", row, hint="Add it, or remove the example."
                )
            found.append(text)
    if not found:
        raise columns.fail(
            f"none of {', '.join(names)} has a text", row, hint="Each source needs a target."
        )
    return found


def _require_text(columns: Columns, row: int, name: str, value: object) -> None:
    if type(value) is str:
        return
    if value is None:
        raise columns.fail(f"the {name} is missing", row)
    raise columns.fail(f"the {name} must be a text or a list of texts", row, value=value)
