"""Conditions on runs, `KEY=VALUE`: a key of the config, a chosen group, a metric, the state.

Of a metric that is a share, `50%`, `50` and `0.5` are the same: tables show percent, files hold
shares, and no share is above 1.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from lushan.common import units
from lushan.common.units import Measure
from lushan.errors import UserError, did_you_mean
from lushan.run.identity import ABSENT, flat
from lushan.run.result import headline
from lushan.run.values import show, value_of

_CONDITION = re.compile(r"\s*([^=!<>~\s]+)\s*(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Facts:
    """Values of a run that conditions can name.

    Attributes:
        own: What is known beside config and metrics: `state`, `run`, `name`, ...
        config: Resolved.
        choices: Hydra's group choices.
        metrics: By their full names.
        measures: Unit and direction of each metric.
    """

    own: Mapping[str, Any]
    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    measures: Mapping[str, Measure] = dataclasses.field(default_factory=dict)

    def get(self, key: str) -> Any:
        """The value of a key, group or metric; `ABSENT` where the run has none of that name.

        A metric may be named without its split: that of test then, or else of validation.
        """
        if key in self.own:
            return self.own[key]
        found = value_of(key, self.config, self.choices)
        if found is not ABSENT:
            return found
        name = key if key in self.metrics or "/" in key else headline(key, self.metrics)
        return self.metrics.get(name, ABSENT)

    def measure_of(self, key: str) -> Measure | None:
        """Return the unit and direction of the metric that a key names; None for all else."""
        metric = self.own.get("metric") if key == "value" else key
        named = key in self.own or value_of(key, self.config, self.choices) is not ABSENT
        if metric is None or (named and key != "value"):
            return None
        return units.measure_of(self.measures, metric)

    def names(self) -> set[str]:
        """All that can be asked."""
        groups = {group.replace("/", ".") for group in self.choices}
        return {*self.own, *flat(self.config), *groups, *self.metrics}


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        key: See `Facts.get`.
        operator: `=`, `!=`, `>`, `<`, `>=` or `<=`.
        value: As it was written; for `=` and `!=`, `*` and `?` stand for any characters. Of shares
            it may be percent.
    """

    key: str
    operator: str
    value: str

    def holds(self, found: object, measure: Measure | None = None) -> bool:
        """Return whether a value fits; a run without one fits `!=` alone.

        Args:
            found: The value.
            measure: Of the metric that it is a value of, if of one.

        Raises:
            UserError: The condition is in percent, and the value is no share.
        """
        if self.operator in ("=", "!="):
            return self._equals(found, measure) == (self.operator == "=")
        if (number := as_number(found)) is None:
            return False
        if (wanted := self._number(measure)) is None:
            raise UserError(
                f"{self.key} is not a share, so % is not possible",
                key="--where",
                value=f"{self.key}{self.operator}{self.value}",
                hint=f"Write {self.key}{self.operator}NUMBER.",
            )
        return _ORDER[self.operator](number, wanted)

    def _number(self, measure: Measure | None) -> float | None:
        """The number that is asked for, as results store it; None of percent of what is no share.

        A share is never above 1: what is more is meant as tables print it.
        """
        is_share = measure is not None and measure.unit == units.PERCENT
        number = as_number(_without_percent(self.value))
        percent = self.value.endswith("%")
        if number is None or not is_share:
            return None if percent else number
        return number / 100 if percent or abs(number) > 1 else number

    def _equals(self, found: object, measure: Measure | None) -> bool:
        if found is ABSENT:
            return False
        if found is None:
            return self.value.lower() in ("null", "none", "-", "")
        text = show(found)
        if text == self.value or str(found) == self.value:
            return True
        if isinstance(found, bool):
            return text == self.value.lower()
        number, wanted = as_number(found), self._number(measure)
        if number is not None and wanted is not None:
            if measure is None:
                return number == wanted
            return units.number(number, measure) == units.number(wanted, measure)  # as printed
        return any(mark in self.value for mark in "*?") and fnmatchcase(text, self.value)


def as_number(value: object) -> float | None:
    """A value as a number, where it is one: 3e-5 and '0.00003' are the same."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _without_percent(text: str) -> str:
    return text.removesuffix("%").rstrip()


def parse(texts: Iterable[str]) -> list[Condition]:
    """Conditions as they are written on the command line.

    Raises:
        UserError: One is no condition, or compares with what is no number.
    """
    found = []
    for text in texts:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise UserError(
                "this is not a condition",
                key="--where",
                value=text,
                hint="Write --where KEY=VALUE, or '--where \"KEY>=NUMBER\"'; also !=, >, < and <=.",
            )
        key, operator, value = match.groups()
        condition = Condition(key, operator, value.strip())
        if operator in _ORDER and as_number(_without_percent(condition.value)) is None:
            raise UserError(
                f"{operator} compares numbers",
                key="--where",
                value=text,
                hint=f"Write {key}{operator}NUMBER, or {key}={condition.value}.",
            )
        found.append(condition)
    return found


def select(
    items: Sequence[T], facts: Callable[[T], Facts], conditions: Sequence[Condition]
) -> list[T]:
    """Return the runs that fit all conditions.

    Raises:
        UserError: No run has a key that is asked for.
    """
    if not conditions:
        return list(items)
    known = [facts(item) for item in items]
    keep = [True] * len(known)
    for condition in conditions:
        values = values_of(known, condition.key, "--where")
        measures = [facts.measure_of(condition.key) for facts in known]
        keep = [
            k and condition.holds(value, measure)
            for k, value, measure in zip(keep, values, measures, strict=True)
        ]
    return [item for item, kept in zip(items, keep, strict=True) if kept]


def values_of(known: Sequence[Facts], key: str, option: str) -> list[Any]:
    """The values of a key over runs.

    Raises:
        UserError: No run has it.
    """
    values = [facts.get(key) for facts in known]
    if known and all(value is ABSENT for value in values):
        names = sorted(set().union(*(facts.names() for facts in known)))
        ends = [name for name in names if name.endswith(f".{key}")]
        hint = did_you_mean(key, names) or "`lushan runs` shows how the runs differ."
        if ends:
            hint = f"Did you mean {' or '.join(map(repr, ends[:3]))}?"
        problem = "no run has this key, group or metric"
        raise UserError(problem, key=option, value=key, hint=hint)
    return values


def ordered(items: Sequence[T], facts: Callable[[T], Facts], key: str) -> list[T]:
    """Sorted by a key, group or metric, with `-` before it from high to low.

    Those without a value come first, so that the end of the list is what was asked for; then
    numbers, then texts.

    Raises:
        UserError: No run has it.
    """
    name = key.removeprefix("-")
    values = values_of([facts(item) for item in items], name, "--sort")
    numbers = [as_number(value) for value in values]
    places = range(len(items))
    backwards = key != name
    by_number = sorted(
        (i for i in places if numbers[i] is not None),
        key=lambda i: numbers[i] or 0.0,
        reverse=backwards,
    )
    texts = [i for i in places if numbers[i] is None and not _is_missing(values[i])]
    by_text = sorted(texts, key=lambda i: show(values[i]), reverse=backwards)
    there = {*by_number, *by_text}
    return [items[i] for i in [*(i for i in places if i not in there), *by_number, *by_text]]


def _is_missing(value: object) -> bool:
    return value is None or value is ABSENT or (isinstance(value, float) and math.isnan(value))
