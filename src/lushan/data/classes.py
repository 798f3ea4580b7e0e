"""Classes in a label column: names, numbers of names, indicators, or lists that are kept as text.

A column is inspected as a whole before its values are read: `[0, 1]` alone may be two numbers or
two indicators. What is ambiguous is refused.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lushan.common.parsing import parse_json
from lushan.data.written_lists import BRACKETS, NUMBER, as_list
from lushan.errors import UserError, shorten

_WHOLE = re.compile(r"[+-]?\d+\.0*")
_FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+)")
_BITS: Mapping[Any, bool] = {0: False, 1: True, "0": False, "1": True}  # 0.0 and False are 0
_TRUTH = {"false": False, "true": True}
_SEVERAL = "For several labels, use task.kind=multilabel."


@dataclasses.dataclass(frozen=True)
class Classes:
    """A column of class numbers whose names the file knows.

    Attributes:
        names: Of the classes, in the order of their numbers.
        numbers: The column as it is kept: a number a row, or a list of them.
    """

    names: Sequence[str]
    numbers: Sequence[Any]

    def named(self) -> list[Any]:
        """The column with names; a negative number means that there is none."""
        return [self._name(value) for value in self.numbers]

    @property
    def fits(self) -> bool:
        """Return whether all numbers are whole and have a name: the file may have changed since."""
        flat = (v for row in self.numbers for v in (row if isinstance(row, list) else [row]))
        return all(v is None or (type(v) is int and v < len(self.names)) for v in flat)

    def _name(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._name(item) for item in value]
        known = value is not None and value >= 0
        return self.names[value] if known else None


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Column to the names of its class numbers, as `datasets` keeps them in Parquet files."""
    try:
        features = parse_json(metadata[b"huggingface"])["info"]["features"]
        found = {}
        for column, feature in features.items():
            inner = feature.get("feature") or feature
            if inner.get("_type") == "ClassLabel":
                found[column] = [str(name) for name in inner["names"]]
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return found


class Places(Protocol):
    """Rows of a file, named in errors."""

    file: str | Path

    def fail(
        self, problem: str, row: int, *, hint: str | None = None, value: object = None
    ) -> UserError:
        """Return the error about a row."""

    def place(self, row: int) -> str:
        """Return a row's place: `line 3`."""


@dataclasses.dataclass
class LabelReader:
    """Reads the labels of one file.

    Attributes:
        columns: The file.
        values: Its column of labels, as it was read.
        names: `data.label_names`, or the names that the file has for numbers.
        separator: What stands between labels in one text.
        multi_hot: Whether lists are indicators; None decides by their values.
        width: Places of an indicator; None where there are none. Given, it is that of another
            split, and decides where the values do not.
        remarks: What the reader of the numbers must know.
    """

    columns: Places
    values: Sequence[Any]
    names: Sequence[str] | None = None
    separator: str | None = None
    multi_hot: bool | None = None
    width: int | None = None
    remarks: list[str] = dataclasses.field(default_factory=list)

    def single(self) -> list[str]:
        """One label a row."""
        values = [_parsed(value) for value in self.values]
        lists = [row for row, value in enumerate(values) if isinstance(value, list | dict)]
        if lists and self.multi_hot is not False and _are_bits(values) and len(values[0]) > 1:
            return [one for (one,) in map(self._hot_alone, *zip(*enumerate(values), strict=True))]
        if lists and not self._is_name(self.values[lists[0]]):
            raise self.columns.fail(
                "expected one label, but this is a list or mapping",
                lists[0],
                value=values[lists[0]],
                hint=_SEVERAL,
            )
        self.width = None
        return self._labels(list(enumerate(self.values)))

    def several(self) -> list[list[str]]:
        """Any number of labels a row, none twice."""
        values = [self._list(row, value) for row, value in enumerate(self.values)]
        if self._are_indicators(values):
            return [self._hot(row, value) for row, value in enumerate(values)]
        self.width = None
        flat = [(row, item) for row, value in enumerate(values) for item in value]
        found = iter(self._labels(flat))
        return [list(dict.fromkeys(next(found) for _ in value)) for value in values]

    # Names

    def _labels(self, items: Sequence[tuple[int, Any]]) -> list[str]:
        """The labels of (row, value)."""
        known: dict[str, str] = {}
        found = []
        for row, value in items:
            if type(value) is not str:
                found.append(self._label(row, value))
                continue
            if value not in known:
                known[value] = self._label(row, value)
            found.append(known[value])
        if self.names is None:
            self._require_one_type(items, found)
        return found

    def _label(self, row: int, value: object) -> str:
        if isinstance(value, list | dict):
            raise self.columns.fail("a label must not be a list or mapping", row, value=value)
        text = label_text(value)
        if not text:
            raise self.columns.fail(
                "the label is missing",
                row,
                hint="Add it, or remove the example. If the test split has no labels, write "
                "data.test=null.",
            )
        return text if self.names is None else self._named(row, value, text)

    def _is_name(self, value: object) -> bool:
        return isinstance(value, str) and value.strip() in (self.names or ())

    def _named(self, row: int, value: object, text: str) -> str:
        assert self.names is not None
        for written in (str(value).strip(), text):
            if written in self.names:
                return written
        # Of names that are numbers, 1 could be the name as well as the place.
        places = not any(map(NUMBER.fullmatch, self.names))
        if places and text.isdecimal() and int(text) < len(self.names):
            return self.names[int(text)]
        if len(self.names) == 2 and text.lower() in _TRUTH:
            return self.names[_TRUTH[text.lower()]]
        listed = ", ".join(self.names)
        hint = f"The names are numbers, so labels are matched with them as text: {listed}."
        if places:
            hint = f"It has names for 0 to {len(self.names) - 1}: {listed}."
        problem = f"data.label_names has no name for the label {text!r}"
        raise self.columns.fail(problem, row, value=value, hint=hint)

    def _require_one_type(self, items: Sequence[tuple[int, Any]], found: Sequence[str]) -> None:
        """Refuse fractions and mixtures that no labels are; remark on numbers among names."""
        first: dict[str, int] = {}
        for place, ((_, value), text) in enumerate(zip(items, found, strict=True)):
            first.setdefault(_type(value, text), place)
        if "fraction" in first and "name" not in first:
            row, value = items[first["fraction"]]
            raise self.columns.fail(
                "this number has a fraction, so it cannot be a class",
                row,
                value=value,
                hint="For numbers, use task.kind=regression. If each number is a class, name the "
                "classes: "
                '\'data.label_names=["0.5","1.0",...]\'.',
            )
        number = min((first[kind] for kind in ("whole", "fraction") if kind in first), default=None)
        if number is None:
            return
        if "truth" in first:
            row, value = items[max(first["truth"], number)]
            raise self.columns.fail(
                "the labels mix booleans and numbers",
                row,
                value=value,
                hint="Write them all as true and false, or all as numbers.",
            )
        if "name" in first:
            shown = " and ".join(
                f"{kind} such as {shorten(found[place])} ({self.columns.place(items[place][0])})"
                for kind, place in (("names", first["name"]), ("numbers", number))
            )
            self.remarks.append(f"the labels are {shown}, each interpreted as it is written")

    # Lists

    def _list(self, row: int, value: object) -> list[Any]:
        value = _parsed(value)
        if isinstance(value, str):
            return self._split(row, value)
        if value is None:
            raise self.columns.fail(
                "the labels are missing", row, hint="For an example without labels, write []."
            )
        if not isinstance(value, list | tuple):
            raise self.columns.fail("expected a list of labels", row, value=value)
        return list(value)

    def _split(self, row: int, value: str) -> list[str]:
        text = value.strip()
        inside = self.separator is None or self.separator in text
        begun = text[:1] == "[" and "]" not in text
        if inside and (begun or (text and BRACKETS.get(text[0]) == text[-1])):
            raise self.columns.fail(
                "this looks like a list, but cannot be parsed",
                row,
                value=value,
                hint='Write a list as in JSON or Python: ["a", "b"].',
            )
        if self.separator is None:
            raise self.columns.fail(
                "expected several labels, but this is one text",
                row,
                value=value,
                hint="Set the separator of labels: 'data.label_separator=\";\"'.",
            )
        return [part for part in value.split(self.separator) if part.strip()]

    # Indicators

    def _are_indicators(self, values: Sequence[Sequence[Any]]) -> bool:
        """Return whether lists have a place for each label.

        Raises:
            UserError: Some can be nothing else, and others cannot be such; or all could be both.
        """
        if self.multi_hot is not None:
            return self.multi_hot
        bits = [_is_bits(value) for value in values]
        sure = next((i for i, v in enumerate(values) if bits[i] and _can_be_nothing_else(v)), None)
        width = len(values[0]) if sure is None else len(values[sure])
        odd = (i for i, v in enumerate(values) if not bits[i] or len(v) != width)
        other = next(odd, None)
        if sure is None:
            if other is not None or width != 2:
                return False
            if self.width == 2 or len({tuple(map(_BITS.__getitem__, v)) for v in values}) > 1:
                return True  # as numbers, [0, 1] and [1, 0] would be the same two labels
            raise self.columns.fail(
                "these values are ambiguous: the labels 0 and 1, or indicators of two labels",
                0,
                value=values[0],
                hint="Set data.multi_hot=false or data.multi_hot=true.",
            )
        if other is not None:
            raise self.columns.fail(
                f"{self.columns.place(sure)} has indicators of {width} labels, but this is not one",
                other,
                value=list(values[other]),
                hint="Write as many values of 0 or 1. If the numbers are labels: "
                "data.multi_hot=false.",
            )
        return True

    def _hot_alone(self, row: int, value: Sequence[Any]) -> list[str]:
        found = self._hot(row, value)
        if len(found) != 1:
            raise self.columns.fail(
                f"expected one label, but {len(found)} of these {len(value)} indicators are set",
                row,
                value=list(value),
                hint=_SEVERAL,
            )
        return found

    def _hot(self, row: int, value: Sequence[Any]) -> list[str]:
        """The labels whose places are set."""
        if row == 0:
            self._name_places(len(value))
        if not _is_bits(value) or len(value) != self.width:
            raise self.columns.fail(
                f"expected {self.width} values of 0 or 1, one for each label",
                row,
                value=list(value),
                hint="If these are labels, write data.multi_hot=false.",
            )
        names = self.names or [str(place) for place in range(len(value))]
        return [name for name, bit in zip(names, value, strict=True) if _BITS[bit]]

    def _name_places(self, width: int) -> None:
        if self.names is not None and len(self.names) != width:
            raise UserError(
                f"there are {width} indicators, but {len(self.names)} names",
                key="data.label_names",
                value=list(self.names),
                file=self.columns.file,
                hint="Name all labels, in the order of the indicators.",
            )
        self.width = width
        if self.names is None:
            ways = (
                f", named by their positions, 0 to {width - 1}; data.label_names=[...] names them"
            )
        else:
            ways = f": {', '.join(self.names)}"
        self.remarks.append(f"the labels are indicators of {width} labels{ways}")


def label_text(value: object) -> str:
    """A label as text: 1, 1.0, '1.0' and '1 ' are the same one; '' where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def _parsed(value: object) -> Any:
    if not isinstance(value, str):
        return value
    found = as_list(value)
    return value if found is None else found


def _type(value: object, text: str) -> str:
    if isinstance(value, bool):
        return "truth"
    if not NUMBER.fullmatch(text):
        return "name"
    return "fraction" if _FRACTION.fullmatch(text) else "whole"


def _is_bit(value: object) -> bool:
    return isinstance(value, int | float | str) and value in _BITS


def _is_bits(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_bit, value))


def _are_bits(values: Sequence[Any]) -> bool:
    return all(_is_bits(value) and len(value) == len(values[0]) for value in values)


def _can_be_nothing_else(bits: Sequence[Any]) -> bool:
    """Return whether zeros and ones are no set of labels: one is repeated, or they are booleans."""
    return len(set(bits)) < len(bits) or any(isinstance(bit, bool) for bit in bits)
