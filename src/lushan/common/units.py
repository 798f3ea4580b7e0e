"""The unit and the direction of a metric, and how its values are written for people.

A `Measure` has the attributes of a metric's class in plain values: it is in `result.json`,
and tables, terminal, reports, pages and figures read it from there, so that one number looks the
same wherever it is read. Files and options for programs (`result.json`, `metrics.csv`, `--json`,
`--format csv`, trackers) hold the raw value: a share lies between 0 and 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Unit:
    """Unit of a metric's values: how they are printed.

    Attributes:
        sign: What follows a value, and is named in the head of a column: `%`.
        scale: A raw value times this is the printed one.
        digits: After the point.
    """

    sign: str = ""
    scale: int = 1
    digits: int = 4


PLAIN = Unit()
PERCENT = Unit("%", scale=100, digits=2)
POINTS = Unit("of 100", digits=2)
"""Unit of metrics that are known on a scale from 0 to 100, and have it in files too."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """Name, unit and direction of a metric, in plain values.

    Attributes:
        unit: How its values are printed.
        higher_is_better: Its direction; None where it has none, or where it is not known.
        statistics: The name under which a run stores what each example adds to it; None where
            nothing is stored, so that no test over examples is possible.
        score: Import path of the function from summed statistics (..., D) to values (...,).
        options: Keyword arguments of that function.
        alone: More of them, for an example by itself.
        merges: Whether classes may be counted as one, where counts of each are too many to hold.
        same: The statistic that must be the same of each example in runs that are compared.
        otherwise: What it means where it is not, for the user.
        instead: The metric to compare then.
    """

    unit: Unit = PLAIN
    higher_is_better: bool | None = None
    statistics: str | None = None
    score: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    alone: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    merges: bool = False
    same: int | None = None
    otherwise: str = ""
    instead: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON; what is as usual is left out."""
        found: dict[str, Any] = {"higher_is_better": self.higher_is_better}
        if self.unit != PLAIN:
            found["unit"] = dataclasses.asdict(self.unit)
        usual = Measure()
        for name in (
            "statistics",
            "score",
            "options",
            "alone",
            "merges",
            "same",
            "otherwise",
            "instead",
        ):
            if (value := getattr(self, name)) != getattr(usual, name):
                found[name] = value
        return found

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measure:
        """Read what `as_dict` gave.

        Raises:
            ValueError: It is none.
        """
        try:
            fields = dict(content)
            unit = Unit(**fields.pop("unit", {}))
            found = cls(unit=unit, **fields)
        except TypeError as error:
            raise ValueError(str(error)) from error
        _require_plain(found)
        return found


def _require_plain(found: Measure) -> None:
    """Refuse what a damaged file may hold."""
    unit = found.unit
    right = (
        found.higher_is_better in (True, False, None)
        and isinstance(unit.sign, str)
        and type(unit.scale) is int
        and type(unit.digits) is int
        and 0 <= unit.digits <= 15
        and isinstance(found.statistics, str | None)
        and isinstance(found.score, str | None)
        and isinstance(found.options, Mapping)
        and isinstance(found.alone, Mapping)
        and isinstance(found.merges, bool)
        and isinstance(found.same, int | None)
        and isinstance(found.otherwise, str)
        and isinstance(found.instead, str)
    )
    if not right:
        raise ValueError("not the description of a metric")


UNKNOWN = Measure()
SHARE = Measure(PERCENT, higher_is_better=True)
"""Measure of precision, recall and F1 of a class."""
LOSS = Measure(higher_is_better=False)
"""Measure of the training loss, which is no metric of a split."""


def measure_of(measures: Mapping[str, Measure], metric: str) -> Measure:
    """Return the measure of a metric, named with or without its split, as the measures may be."""
    if metric == "train/loss":
        return LOSS
    bare = metric.rpartition("/")[2]
    names = (metric, bare, f"test/{bare}", f"val/{bare}")
    return next((measures[name] for name in names if name in measures), UNKNOWN)


def is_better(effect: float, measure: Measure) -> bool | None:
    """Return whether a difference is one to the better; None where the metric has no direction."""
    if measure.higher_is_better is None:
        return None
    return (effect > 0) == measure.higher_is_better


def scaled(value: float, measure: Measure) -> float:
    """Return a raw value on the scale it is printed on, for axes."""
    return value * measure.unit.scale


def head(metric: str, measure: Measure) -> str:
    """Return a metric's name with its unit, above or beside `number`s: `test/entity_f1, %`."""
    return f"{metric}, {measure.unit.sign}" if measure.unit.sign else metric


def number(value: float | None, measure: Measure) -> str:
    """Return a value without its unit, which its head names; `-` where it is None."""
    if value is None:
        return "-"
    return f"{scaled(value, measure):.{measure.unit.digits}f}"


def text(value: float | None, measure: Measure) -> str:
    """Return a value with its unit, for running text: `86.51 %`."""
    shown, sign = number(value, measure), measure.unit.sign
    return f"{shown} {sign}" if sign and shown != "-" else shown


def signed(value: float, measure: Measure) -> str:
    """Return a difference, always with its sign: points of a hundred where those are."""
    shown = number(abs(value), measure)
    if value == 0:
        return shown
    return f"{'+' if value > 0 else '-'}{shown}"


def difference(value: float, measure: Measure) -> str:
    """Return a difference with its unit, for running text: `+23.32 points` of a share."""
    shown = signed(value, measure)
    return f"{shown} points" if measure.unit.sign else shown


def interval(low: float | None, high: float | None, measure: Measure) -> str:
    """Return both ends of an interval, without the unit; empty where one is not known."""
    if low is None or high is None:
        return ""
    return f"{number(low, measure)} to {number(high, measure)}"


def p_text(p: float) -> str:
    """Return a p as it is printed: `p = 0.041`, `p < 0.001`."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
