"""What hand-made records hold, as the result of a run would say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lushan.data.fields import Field, Label, Labels, Number, Tags, Text, Texts, Value, Words
from lushan.data.record_schema import Content, Entry, RecordSchema


def schema_of(records: Sequence[Mapping[str, Any]]) -> RecordSchema:
    """Describe records of one of lushan's tasks, made by hand in a test."""
    entries: dict[str, Entry] = {}
    there = dict.fromkeys(name for record in records for name in record)
    answered = [record for record in records if record.get("gold") is not None]
    sides = _sides(answered[0]) if answered else {}
    for name in there:
        if name in ("text", "text_pair", "source"):
            entries[name] = Entry(Text(optional=True), "input")
        elif name in sides:
            entries[name] = sides[name]
        elif name != "id":
            is_number = all(isinstance(r.get(name), int | float | None) for r in records)
            field = Number(optional=True) if is_number else Value(optional=True)
            entries[name] = Entry(field, "detail")
    return RecordSchema(entries)


def _sides(record: Mapping[str, Any]) -> dict[str, Entry]:
    gold, predicted = _fields(record)
    found = {"gold": Entry(gold, "gold"), "predicted": Entry(predicted, "predicted")}
    return found | ({"tokens": Entry(Words(), "input")} if isinstance(gold, Tags) else {})


def _fields(record: Mapping[str, Any]) -> tuple[Field, Field]:
    gold = record["gold"]
    if isinstance(record.get("tokens"), list):
        return Tags(scores="entities"), Tags(scores="entities")
    if isinstance(gold, int | float):
        return Number(), Number()
    if "hits" in record or "source" in record:
        text = Text(optional=True)
        return (text if isinstance(gold, str) else Texts(optional=True)), text
    if isinstance(gold, str):
        return Label(probabilities="probabilities"), Label(probabilities="probabilities")
    return Labels(), Labels()


def content_of(records: Sequence[Mapping[str, Any]]) -> Content:
    """Return the same as `result.json` has it."""
    return schema_of(records).as_dict()
