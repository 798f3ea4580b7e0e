"""Tags of any scheme into IOB2, refused or repaired where their scheme forbids them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from lushan.data import arrow
from lushan.errors import UserError
from lushan.text import tags as tagging

Scheme = Literal["auto", "iob1", "iob2", "bio", "iobes", "bioes", "bilou", "bmes"]


@dataclasses.dataclass(kw_only=True)
class Tagged:
    """Options of a source that reads tags.

    Args:
        scheme: The tag scheme of the files; `auto` tells it from the training split.
        repair: Read tags that the scheme forbids as conlleval does, and count them, instead of
            refusing them.
    """

    line_per_token: ClassVar[bool] = False
    scheme: Scheme = "auto"
    repair: bool = False

    def to_iob2(self, tables: dict[str, pa.Table], notes: list[str]) -> str:
        """Bring the tags of all splits into IOB2, in place; return the scheme they were in."""
        columns = {s: t.column("tags").to_pylist() for s, t in tables.items()}
        scheme = self._scheme(columns, tables)
        for split, sentences in columns.items():
            reader = _Reader(scheme, self.repair)
            converted = []
            for number, tags in enumerate(sentences):
                try:
                    converted.append(reader.read(tags))
                except _Forbidden as error:
                    raise self._refused(error, tables[split], number, scheme) from None
            if reader.repaired:
                notes.append(f"{split}: {reader.repaired} tags that {scheme} forbids were repaired")
            if scheme != "iob2" or reader.repaired:
                place = tables[split].column_names.index("tags")
                column = arrow.text_lists(converted)
                tables[split] = tables[split].set_column(place, "tags", column)
        return scheme

    def asks_train_for_scheme(self) -> bool:
        """Whether the training split tells how the tags of another are to be read."""
        return self.scheme == "auto"

    def _scheme(
        self, columns: Mapping[str, list[list[str]]], tables: Mapping[str, pa.Table]
    ) -> str:
        if self.scheme != "auto":
            return tagging.scheme_name(self.scheme)
        split = next(iter(columns))  # train, where there is one
        try:
            return tagging.detect(columns[split])
        except UserError as error:
            strange, line = error.value, None
            file = tables[split].column("file")[0].as_py()
            for number, tags in enumerate(columns[split]):
                if strange in tags:
                    line = self._line(tables[split], number, tags.index(strange))
                    break
            raise UserError(
                error.problem, value=strange, file=file, line=line, hint=error.hint
            ) from None

    def _line(self, table: pa.Table, number: int, word: int) -> int:
        line: int = table.column("line")[number].as_py()
        return line + word if self.line_per_token else line

    def _refused(self, error: _Forbidden, table: pa.Table, number: int, scheme: str) -> UserError:
        bad = error.violation
        token = table.column("tokens")[number].as_py()[bad.position]
        if bad.repaired is None:
            hint = "Check the column and the scheme: data.tag_column, data.scheme."
        else:
            hint = (
                f"Write {bad.repaired!r} there, name another scheme (data.scheme=...), or have all "
                "such tags read as conlleval reads them: data.repair=true."
            )
        where = "" if self.line_per_token else f" (word {bad.position + 1}, {token!r})"
        return UserError(
            f"{bad.problem}{where}: {scheme} forbids it"
            if bad.repaired is not None
            else f"{bad.problem}{where}",
            file=table.column("file")[number].as_py(),
            line=self._line(table, number, bad.position),
            hint=hint,
        )


class _Forbidden(Exception):
    def __init__(self, violation: tagging.Violation) -> None:
        self.violation = violation
        super().__init__(violation.problem)


class _Reader:
    """Converts sentence by sentence; the same tags are looked at once."""

    def __init__(self, scheme: str, repair: bool) -> None:
        self.scheme, self.repair, self.repaired = scheme, repair, 0
        self._known: dict[tuple[str, ...], tuple[list[str], int]] = {}

    def read(self, tags: Sequence[str]) -> list[str]:
        key = tuple(tags)
        if key not in self._known:
            bad = tagging.violations(tags, self.scheme)
            if bad and (not self.repair or bad[0].repaired is None):
                raise _Forbidden(bad[0])
            read = tagging.convert(tags, self.scheme, "iob2", lenient=True)
            self._known[key] = read, len(bad)
        read, count = self._known[key]
        self.repaired += count
        return read
