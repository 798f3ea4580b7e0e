"""Checks, comparisons and drawings of each field's values in stored predictions.

The other half of `lushan.data.fields`: what each method does stands in `lushan.data.stored`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lushan.data import drawing, span_outcomes
from lushan.data.drawing import Marks, Part
from lushan.data.stored import (
    Record,
    Stored,
    Tally,
    percent,
    require_number,
    require_text,
    require_texts,
)
from lushan.text.words import join_words

Strings = Sequence[str]


class StoredText(Stored[str]):
    """A text; right where it is the same."""

    def check(self, value: object, record: Record) -> None:
        require_text(value)

    def is_right(self, gold: str, predicted: str) -> bool:
        return gold == predicted

    def draw(self, value: str, record: Record) -> Part:
        return drawing.text(value)


class StoredTexts(Stored[Any]):
    """References; a text is right where it is one of them."""

    def check(self, value: object, record: Record) -> None:
        require_texts(value)

    def is_right(self, gold: Strings, predicted: str) -> bool:
        return predicted in gold

    def draw(self, value: Strings, record: Record) -> Part:
        return drawing.several([drawing.text(text) for text in value])

    def describe(self, value: Strings, record: Record) -> list[str]:
        return list(value)


class StoredWords(Stored[Strings]):
    """Words, shown as a text."""

    def check(self, value: object, record: Record) -> None:
        require_texts(value)

    def draw(self, value: Strings, record: Record) -> Part:
        return drawing.text(join_words(value)[0])


class StoredTags(Stored[Strings]):
    """Tags of words, shown as marked spans of these."""

    words: str
    scores: str
    right_where: ClassVar[str] = "a sentence is right if all its entities are"
    confusion: ClassVar[str] = (
        "Entities with the same words in gold and predicted, by type; all others count as missed "
        "or spurious, even if only their boundaries differ."
    )
    unpaired: ClassVar[bool] = True

    def check(self, value: object, record: Record) -> None:
        if len(require_texts(value)) != len(record[self.words]):
            raise ValueError("it does not have a tag for each word")

    def is_right(self, gold: Strings, predicted: Strings) -> bool:
        return span_outcomes.of_tags(gold) == span_outcomes.of_tags(predicted)

    def tally(self, gold: Strings, predicted: Strings) -> Tally:
        return span_outcomes.tally(span_outcomes.of_tags(gold), span_outcomes.of_tags(predicted))

    def marks(self, gold: Strings, predicted: Strings, record: Record) -> Marks:
        return span_outcomes.marks(span_outcomes.of_tags(gold), span_outcomes.of_tags(predicted))

    def draw(self, value: Strings, record: Record) -> Part:
        places = join_words(record[self.words])[1]
        known = record.get(self.scores) or ()
        sure = {(x["start"], x["end"]): f"probability {percent(x.get('score'))}" for x in known}
        return drawing.spans(
            self.words,
            [
                (places[s.start][0], places[s.end - 1][1], s.label, sure.get((s.start, s.end), ""))
                for s in span_outcomes.of_tags(value)
            ],
        )

    def describe(self, value: Strings, record: Record) -> list[str]:
        words = record[self.words]
        found = span_outcomes.of_tags(value)
        return [f"{join_words(words[s.start : s.end])[0]} ({s.label})" for s in found]


class StoredLabel(Stored[str]):
    """One class."""

    probabilities: str
    right_where: ClassVar[str] = "an example is right if its label is"
    confusion: ClassVar[str] = "Examples by their label."

    def check(self, value: object, record: Record) -> None:
        require_text(value)

    def is_right(self, gold: str, predicted: str) -> bool:
        return gold == predicted

    def tally(self, gold: str, predicted: str) -> Tally:
        right = [gold] if gold == predicted else []
        return Tally([gold], [predicted], right, [(gold, predicted)])

    def marks(self, gold: str, predicted: str, record: Record) -> Marks:
        known = record.get(self.probabilities) or {}
        ours, theirs = (percent(known.get(label)) for label in (gold, predicted))
        return Marks([(True, ours)], [(gold == predicted, theirs)])

    def draw(self, value: str, record: Record) -> Part:
        return drawing.chips([value])

    def describe(self, value: str, record: Record) -> str:
        return value


class StoredLabels(Stored[Strings]):
    """Any number of classes; right where all of them are."""

    right_where: ClassVar[str] = "an example is right if all its labels are"

    def check(self, value: object, record: Record) -> None:
        require_texts(value)

    def is_right(self, gold: Strings, predicted: Strings) -> bool:
        return set(gold) == set(predicted)

    def tally(self, gold: Strings, predicted: Strings) -> Tally:
        ours, theirs = sorted(set(gold)), sorted(set(predicted))
        pairs = [(one, other) for one in ours for other in theirs]
        return Tally(ours, theirs, [label for label in ours if label in theirs], pairs)

    def marks(self, gold: Strings, predicted: Strings, record: Record) -> Marks:
        return Marks(
            [(label in predicted, "" if label in predicted else "missed") for label in gold],
            [(label in gold, "" if label in gold else "spurious") for label in predicted],
        )

    def draw(self, value: Strings, record: Record) -> Part:
        return drawing.chips(value)

    def describe(self, value: Strings, record: Record) -> list[str]:
        return list(value)


class StoredNumber(Stored[float]):
    """A number; how far off it is says more than right or wrong."""

    distance_name: ClassVar[str] = "absolute error"

    def check(self, value: object, record: Record) -> None:
        require_number(value)

    def distance(self, gold: float, predicted: float) -> float:
        return abs(predicted - gold)

    def draw(self, value: float, record: Record) -> Part:
        return drawing.number(value)

    def describe(self, value: float, record: Record) -> float:
        return value


class StoredMessages(Stored[Sequence[Mapping[str, Any]]]):
    """A dialogue: a list of messages, each with a role and a text or a list of typed parts."""

    def check(self, value: object, record: Record) -> None:
        if not isinstance(value, list) or not all(isinstance(m, dict) for m in value):
            raise ValueError("must be a list of messages")
        for message in value:
            require_text(message.get("role"))

    def draw(self, value: Sequence[Mapping[str, Any]], record: Record) -> Part:
        return drawing.turns([(m["role"], _content(m.get("content"))) for m in value])

    def describe(self, value: Sequence[Mapping[str, Any]], record: Record) -> list[str]:
        return [
            f"{who}: {' '.join(str(part[1]) for part in note)}"
            for who, note in self.draw(value, record)[1]
        ]


class StoredContent(Stored[Sequence[Mapping[str, Any]]]):
    """A text with images in it: a list of typed parts."""

    def check(self, value: object, record: Record) -> None:
        if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
            raise ValueError("must be a list of parts")

    def draw(self, value: Sequence[Mapping[str, Any]], record: Record) -> Part:
        return drawing.several(_content(value))

    def describe(self, value: Sequence[Mapping[str, Any]], record: Record) -> list[str]:
        return [str(part[1]) for part in _content(value)]


def _content(content: object) -> list[Part]:
    """Return the parts of what a message says."""
    if isinstance(content, str):
        return [drawing.text(content)]
    if not isinstance(content, list):
        return [] if content is None else [drawing.value(content)]
    return [_typed(part) for part in content]


def _typed(part: object) -> Part:
    if not isinstance(part, dict):
        return drawing.value(part)
    if part.get("type") == "text":
        return drawing.text(str(part.get("text")))
    if part.get("type") == "image" and isinstance(part.get("path"), str):
        return drawing.image(part["path"])
    return drawing.value(part)


class StoredImage(Stored[Mapping[str, Any]]):
    """An image by the path of its file, in the run's folder or among the data."""

    def check(self, value: object, record: Record) -> None:
        require_text(value.get("path") if isinstance(value, dict) else value)

    def draw(self, value: Mapping[str, Any], record: Record) -> Part:
        return drawing.image(value["path"], value["path"])
