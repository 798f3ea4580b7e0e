"""Stored predictions in the few bytes a browser needs.

What the examples are (texts, words, gold answers) is the same for all runs on one data set and is
written once, under the hash of its content; of each run there is only what it predicted. Each value
is a part of a page that its field draws: see `lushan.data.drawing`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lushan.data import drawing
from lushan.data.drawing import Marks, Part
from lushan.data.fields import Field, Number, Value
from lushan.data.record_schema import RecordSchema
from lushan.data.stored import Record
from lushan.run.files import jsonable
from lushan.study.records import Records

# Line ends of Unicode are ones in older scripts; lone surrogates are no UTF-8.
_UNSAFE = re.compile("[<\u2028\u2029\ud800-\udfff]")
_PROMPT = "prompt"


@dataclasses.dataclass(frozen=True)
class Compact:
    """The predictions of a run on a split.

    Attributes:
        shared: Rows of [id, [name, part] of each input, part of gold].
        own: Rows of [part of predicted, numbers, right, marks of gold and predicted, pairs of
            places in `classes`, [name, part] of further details]. Right is null where it is
            undefined, marks where there are none, a place where there is no class.
        numbers: What the numbers of each row are.
        classes: That occur in the pairs.
        is_strict: Whether a prediction is right or wrong, rather than better or worse.
        unpaired: Whether one side of a pair may be no class.
        left_out: Examples for which nothing was predicted.
        hash: Of what is shared.
    """

    shared: list[Any]
    own: list[Any]
    numbers: list[str]
    classes: list[str]
    is_strict: bool
    unpaired: bool
    left_out: int
    hash: str

    @property
    def errors(self) -> int:
        """Examples that are wrong, as far as examples are right or wrong."""
        return sum(row[2] is False for row in self.own)


def compact(
    records: Records,
    schema: RecordSchema,
    prompts: Mapping[str, str] | None = None,
    images: Callable[[str], Part] | None = None,
) -> Compact | None:
    """Return what a browser needs of some records; None where nothing was predicted.

    Args:
        records: As `study.records.read` gives them.
        schema: What they hold.
        prompts: Example to the text it began with, of runs that store no input.
        images: Gives the part that stands for an image, by its path.

    Raises:
        KeyError, TypeError, ValueError: A value is not what its field can draw.
    """
    pairs = list(schema.pairs(records))
    if schema.gold is None or schema.predicted is None or not pairs:
        return None
    field, predicted = schema.gold[1], schema.predicted[1]
    look = images or drawing.image
    numbers = _Numbers.of(schema, [record for record, _, _ in pairs])
    classes: dict[str, int] = {}
    shared, own = [], []
    for record, gold, found in pairs:
        inputs = _drawn(schema.of_role("input"), record, look)
        if not inputs and (prompt := (prompts or {}).get(str(record["id"]))) is not None:
            inputs = [[_PROMPT, drawing.text(prompt)]]
        shared.append([str(record["id"]), inputs, drawn(field, gold, record, look)])
        right = field.is_right(gold, found)
        own.append(
            [
                drawn(predicted, found, record, look),
                numbers.values(record, field.distance(gold, found)),
                right,
                _marks(field.marks(gold, found, record)),
                _pairs(field, gold, found, classes),
                _drawn(_details(schema), record, look),
            ]
        )
    text = json.dumps(shared, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return Compact(
        shared,
        own,
        numbers.names,
        list(classes),
        bool(field.right_where),
        field.unpaired,
        len(records) - len(pairs),
        digest,
    )


def drawn(field: Field, value: object, record: Record, images: Callable[[str], Part]) -> Part:
    """Return a value as its field draws it, with images that a page may show."""
    return drawing.with_images(field.draw(value, record), images)


def _drawn(
    fields: Mapping[str, Field], record: Record, images: Callable[[str], Part]
) -> list[list[Any]]:
    return [
        [name, drawn(field, record[name], record, images)]
        for name, field in fields.items()
        if record.get(name) is not None
    ]


def _details(schema: RecordSchema) -> dict[str, Field]:
    """Return what is shown below an example: neither numbers, which are listed, nor plain data."""
    found = schema.of_role("detail")
    return {n: f for n, f in found.items() if not isinstance(f, Number) and type(f) is not Value}


def _marks(marks: Marks | None) -> list[list[Any]] | None:
    """Return marks as JSON; None where they only mark everything as right."""
    if marks is None:
        return None
    sides = [[[right, words] for right, words in side] for side in (marks.gold, marks.predicted)]
    return sides if any(mark != [True, ""] for side in sides for mark in side) else None


def _pairs(
    field: Field, gold: object, predicted: object, classes: dict[str, int]
) -> list[list[Any]]:
    """Return the pairs of an example's classes, as places among all; new ones are added there."""
    tally = field.tally(gold, predicted)
    if tally is None:
        return []
    none = "" if field.unpaired else None
    return [
        [None if x == none else classes.setdefault(x, len(classes)) for x in pair]
        for pair in tally.pairs
    ]


@dataclasses.dataclass(frozen=True)
class _Numbers:
    """The numbers that are listed of each example.

    Attributes:
        entries: Those that are stored and that some example has.
        distance: What the distance is called; '' where there is none.
    """

    entries: list[str]
    distance: str

    @classmethod
    def of(cls, schema: RecordSchema, records: Sequence[Record]) -> _Numbers:
        names = [n for n, f in schema.of_role("detail").items() if isinstance(f, Number)]
        there = [n for n in names if any(record.get(n) is not None for record in records)]
        return cls(there, schema.gold[1].distance_name if schema.gold else "")

    @property
    def names(self) -> list[str]:
        return [*self.entries, *([self.distance] if self.distance else [])]

    def values(self, record: Record, distance: float | None) -> list[float | None]:
        stored = [_short(record.get(name)) for name in self.entries]
        return [*stored, *([_short(distance)] if self.distance else [])]


def _short(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.4g}")


def script(name: str, content: object) -> str:
    """A file that hands some data to the page: a page opened from a disk may fetch none.

    The data are JSON in a string: read by `JSON.parse`, a label called `__proto__` is a label.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):  # what JSON has no number or no form for
        text = json.dumps(jsonable(content), ensure_ascii=False, separators=(",", ":"))
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    safe = _UNSAFE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", quoted)
    return f"lushan.put({json.dumps(name)}, JSON.parse('{safe}'));\n"
