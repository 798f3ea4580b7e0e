"""Fields of recommendation: what a user has had, and candidates with features of theirs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.common.arrays import pa
from lushan.common.parsing import parse_json
from lushan.data.encode import arrow
from lushan.data.fields import Field, Fields, Text, Texts

if TYPE_CHECKING:
    from lushan.data.raw_columns import Columns


def name_of(value: object) -> str | None:
    """Return an item's or user's name as files write it: `7`, `7.0` and `"7"` are the same one.

    Returns:
        None where it is no name: nothing, a list, a fraction.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class User(Text):
    """A user by its id."""

    is_name: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items(Texts):
    """Items by their ids, in order, the latest last."""

    target: bool = False
    is_name: ClassVar[bool] = True
    what: ClassVar[str] = "list of items"
    sources: ClassVar[str] = "data=interactions."

    def read(self, columns: Columns, name: str) -> pa.Array:
        from lushan.data.raw_columns import word_lists

        rows = []
        for row, value in enumerate(columns.values[name]):
            if not isinstance(value, list | tuple):
                raise columns.fail(f"{name} must be a list of items", row, value=value)
            names = []
            for item in value:
                if (one := name_of(item)) is None:
                    raise columns.fail(
                        f"{name} contains a value that is not an item id", row, value=item
                    )
                names.append(one)
            rows.append(names)
        return word_lists(columns, rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features(Field):
    """Numbers of each candidate, by the names of features: kept as JSON text."""

    candidates: str = "candidates"
    what: ClassVar[str] = "numbers by feature"
    sources: ClassVar[str] = "data=jsonl with the output of `lushan recommend RUN --split`."

    def preview(self, value: str) -> str:
        return value

    def read(self, columns: Columns, name: str) -> pa.Array:
        beside = columns.values.get(self.candidates)
        found: list[str] = []
        first: list[str] | None = None
        for row, value in enumerate(map(_unpacked, columns.values[name])):
            count = len(beside[row]) if beside and isinstance(beside[row], list | tuple) else None
            if (problem := _problem(value, count)) is not None:
                raise columns.fail(f"{name} {problem}", row)
            names = sorted(value)
            if first is not None and names != first:
                raise columns.fail(
                    f"{name} are {', '.join(names)}, but above they are {', '.join(first)}", row
                )
            first = names
            found.append(json.dumps(value, sort_keys=True))
        return arrow.texts(found)


def _unpacked(value: Any) -> Any:
    """Return what a value holds, which a table keeps as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return None


def _problem(value: Any, count: int | None) -> str | None:
    """Return what is wrong with the features of one row; None where nothing is."""
    if not isinstance(value, Mapping) or not value:
        return "must map the name of each feature to a list of numbers"
    for name, numbers in value.items():
        if not isinstance(numbers, list) or (count is not None and len(numbers) != count):
            return f"does not have a number for each candidate under {name!r}"
        if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            return f"has a value that is not a number under {name!r}"
    return None


def features_of(values: Sequence[str]) -> list[dict[str, list[float]]]:
    """Read what a column of `Features` keeps."""
    return [parse_json(value) for value in values]


HISTORIES: Fields = {"user": User(optional=True), "history": Items(), "target": Items(target=True)}
"""What a user has had, and what came next."""
CANDIDATES: Fields = {
    "user": User(optional=True),
    "candidates": Items(),
    "features": Features(),
    "target": Items(target=True),
}
"""Items that a user may be shown, with features of each, and those that were right."""
