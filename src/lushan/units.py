"""The unit and the direction of each metric, and how its values are written for people.

This is the only place that knows them: tables, terminal, reports, pages and figures ask here, so
that one number looks the same wherever it is read. Files and options for programs (`result.json`,
`metrics.csv`, `--json`, `--format csv`, trackers) hold the raw value: a share lies between 0 and 1.
"""

from __future__ import annotations

import dataclasses
import functools


@dataclasses.dataclass(frozen=True)
class Unit:
    """How values are printed.

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
"""Of metrics that are known on a scale from 0 to 100, and have it in files too."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """What a metric's values mean.

    Attributes:
        unit: How they are printed.
        lower_is_better: Whether less is better, as of losses and errors.
    """

    unit: Unit = PLAIN
    lower_is_better: bool = False


_LOSS = Measure(lower_is_better=True)
_SHARE = Measure(PERCENT)
_BY_WORD = {
    **dict.fromkeys(("loss", "mse", "rmse", "mae", "error", "perplexity", "bits"), _LOSS),
    **dict.fromkeys(("f1", "precision", "recall", "accuracy", "match"), _SHARE),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), _SHARE),
    **dict.fromkeys(("distinct1", "distinct2"), _SHARE),
    "repetition": Measure(PERCENT, lower_is_better=True),
    **dict.fromkeys(("bleu", "chrf"), Measure(POINTS)),
}
"""By a word of the name: `entity_f1_macro`, `token_accuracy`, `rouge1_lead1`."""


@functools.cache
def measure(metric: str) -> Measure:
    """The measure of a metric, with or without a split; plain numbers where it is not known."""
    words = metric.replace("/", "_").split("_")
    return next((_BY_WORD[word] for word in words if word in _BY_WORD), Measure())


def is_lower_better(metric: str) -> bool:
    """Whether less of a metric is better: losses and errors."""
    return measure(metric).lower_is_better


def scaled(value: float, metric: str) -> float:
    """A raw value on the scale it is printed on, for axes."""
    return value * measure(metric).unit.scale


def head(metric: str) -> str:
    """A metric's name with its unit, above or beside `number`s: `test/entity_f1, %`."""
    sign = measure(metric).unit.sign
    return f"{metric}, {sign}" if sign else metric


def number(value: float | None, metric: str) -> str:
    """A value without its unit, which the head of its column or row names; `-` where it is None."""
    if value is None:
        return "-"
    return f"{scaled(value, metric):.{measure(metric).unit.digits}f}"


def text(value: float | None, metric: str) -> str:
    """A value with its unit, for running text: `86.51 %`."""
    return _with_sign(number(value, metric), metric)


def signed(value: float, metric: str) -> str:
    """A difference as it is printed, always with its sign: points of a hundred where those are."""
    shown = number(abs(value), metric)
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{shown}"


def difference(value: float, metric: str) -> str:
    """A difference with its unit, for running text: `+23.32 points` of a share."""
    shown, unit = signed(value, metric), measure(metric).unit
    return f"{shown} points" if unit.sign else shown


def interval(low: float | None, high: float | None, metric: str) -> str:
    """Both ends of an interval, without the unit; empty where one is not known."""
    if low is None or high is None:
        return ""
    return f"{number(low, metric)} to {number(high, metric)}"


def _with_sign(shown: str, metric: str) -> str:
    sign = measure(metric).unit.sign
    return f"{shown} {sign}" if sign and shown != "-" else shown
