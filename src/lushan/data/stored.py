"""Protocols of fields for the values in stored predictions.

Reports, comparisons and audits use these and never inspect the form of a record. All of it is
optional for a field: what it does not say is shown as JSON text and compared by metrics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from lushan.data import drawing
from lushan.data.drawing import Marks, Part

V = TypeVar("V")
Record = Mapping[str, Any]
NONE = ""
"""Stands for no class where something is missed or spurious; no class has this name."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """The classes of an example.

    Attributes:
        gold: Those that are there, each as often as it is.
        predicted: Those that were predicted.
        right: Those of both that belong together.
        pairs: (gold, predicted) class of what belongs together, one of them `NONE` where the
            other has no counterpart.
    """

    gold: Sequence[str]
    predicted: Sequence[str]
    right: Sequence[str]
    pairs: Sequence[tuple[str, str]]


class Stored(Generic[V]):
    """The part of a field that is about stored predictions."""

    right_where: ClassVar[str] = ""
    """When a prediction is right, for people; empty where predictions are better or worse rather
    than right or wrong, so that a metric compares them."""

    distance_name: ClassVar[str] = ""
    """Name of `distance`; empty where there is none."""

    confusion: ClassVar[str] = ""
    """Unit of a cell of the confusion matrix, for its caption; empty where pairs of classes
    make no such matrix."""

    unpaired: ClassVar[bool] = False
    """True if one side of a pair may be `NONE`."""

    def check(self, value: object, record: Record) -> None:
        """Refuse a stored value of another form.

        Args:
            value: What the record holds, as JSON.
            record: The whole of it.

        Raises:
            ValueError: Says what is wrong.
        """

    def is_right(self, gold: V, predicted: V) -> bool | None:
        """Return whether a prediction equals the gold value; None where that is undefined."""
        return None

    def distance(self, gold: V, predicted: V) -> float | None:
        """Return how far a prediction is from the gold value; None where that is undefined."""
        return None

    def tally(self, gold: V, predicted: V) -> Tally | None:
        """Return the classes of an example; None where there are none."""
        return None

    def marks(self, gold: V, predicted: V, record: Record) -> Marks | None:
        """Return what is right and wrong about the drawn pieces; None where there are none."""
        return None

    def draw(self, value: V, record: Record) -> Part:
        """Return a value as a part of a page; see `lushan.data.drawing`."""
        return drawing.value(value)

    def describe(self, value: V, record: Record) -> str | float | list[str]:
        """Return a value for a terminal, and for programs that read it as JSON."""
        part = self.draw(value, record)
        return str(part[1])


def require_text(value: object) -> None:
    """Refuse what is no text.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {type(value).__name__}")


def require_texts(value: object) -> list[str]:
    """Return a list of texts.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of texts")
    return value


def require_number(value: object) -> None:
    """Refuse what is no number.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"must be a number, not {type(value).__name__}")


def percent(probability: object) -> str:
    """Return a probability for people; '' where there is none."""
    return f"{100 * probability:.1f} %" if isinstance(probability, int | float) else ""
