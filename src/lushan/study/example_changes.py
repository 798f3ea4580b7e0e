"""The examples on which two runs differ: from right to wrong and back, or by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import Measure, signed
from lushan.data.record_schema import RecordSchema
from lushan.errors import UserError
from lushan.study import collect, records
from lushan.study.collect import Member
from lushan.study.differences import count_together
from lushan.study.records import Read, Records
from lushan.study.undecided import Undecided

LONGEST = 160
"""Characters that are shown of a text."""


@dataclasses.dataclass(frozen=True)
class Changes:
    """Examples that changed from run A to run B.

    Attributes:
        what: How an example is scored, in words.
        groups: Heading to (number of examples, rows of them, the largest change first).
        measure: By which `by` is printed; None where examples are right or wrong.
    """

    what: str
    groups: Mapping[str, tuple[int, Sequence[Mapping[str, Any]]]]
    measure: Measure | None = None

    def lines(self, most: int) -> list[str]:
        """Return lines for the terminal, with at most so many examples a group."""
        found = []
        for heading, (count, rows) in self.groups.items():
            found.append(f"{heading}: {count} ({self.what})")
            for row in rows[:most]:
                by = f"  {signed(row['by'], self.measure)}" if self.measure else ""
                found.append(f"  {row['id']}{by}")
                found += [f"    {k}: {_short(v)}" for k, v in row.items() if k not in _HEAD]
            if count > most > 0:
                found.append(f"  and {count - most} more")
        return found

    def as_dict(self, most: int) -> dict[str, Any]:
        """Return a mapping for JSON, with at most so many examples a group."""
        return {
            "evaluated": self.what,
            **{
                heading: {"count": count, "examples": list(rows[:most])}
                for heading, (count, rows) in self.groups.items()
            },
        }


_HEAD = ("id", "by")


@dataclasses.dataclass(frozen=True)
class Side:
    """The predictions of one of two runs.

    Attributes:
        records: An example at the same place in both.
        schema: What they hold.
    """

    records: Records
    schema: RecordSchema


def changes(a: Member, b: Member, metric: str, read: Read) -> tuple[Changes | None, str | None]:
    """Return the examples that changed between two runs, or why they cannot be determined.

    Args:
        a: A run.
        b: Another.
        metric: By which examples are scored where they are not right or wrong.
        read: From `contrast.reader`.
    """
    try:
        (one, other), _ = records.of_members([a, b], metric, read)
        ours, theirs = Side(one, read.schema(a)), Side(other, read.schema(b))
        if (right := _right(ours, theirs)) is not None:
            return _sides(ours, theirs, *right), None
        by_distance = _by_distance(ours, theirs)
        return by_distance or _by_metric(a, b, ours, theirs, metric, read), None
    except Undecided as reason:
        return None, str(reason)
    except UserError as error:
        return None, error.problem


def _right(ours: Side, theirs: Side) -> tuple[str, NDArray[np.bool_]] | None:
    """Return when an example is right, and whether each run has each example right, (2, N).

    None where examples are rather better or worse.
    """
    fields = [side.schema.gold[1] for side in (ours, theirs) if side.schema.gold]
    rules = {field.right_where for field in fields}
    if len(fields) < 2 or len(rules) > 1 or "" in rules:
        return None
    found = []
    for side, field in zip((ours, theirs), fields, strict=True):
        right = [field.is_right(g, p) for _, g, p in side.schema.pairs(side.records)]
        if len(right) < len(side.records) or None in right:
            return None
        found.append(right)
    return rules.pop(), np.array(found, bool)


def _sides(ours: Side, theirs: Side, what: str, right: NDArray[np.bool_]) -> Changes:
    groups = {}
    for heading, which in (
        ("from right to wrong", right[0] & ~right[1]),
        ("from wrong to right", ~right[0] & right[1]),
    ):
        places = np.flatnonzero(which).tolist()
        groups[heading] = (len(places), [_shown(ours, theirs, i) for i in places])
    return Changes(what, groups)


def _by_metric(a: Member, b: Member, ours: Side, theirs: Side, metric: str, read: Read) -> Changes:
    """Return the examples that changed by the metric of each alone."""
    name = metric.partition("/")[2]
    found = count_together([a, b], metric, read)
    # Where texts were generated for some examples, the counts are of those alone.
    places = list(found.examples)
    if (right := found.right()) is not None:
        whole = np.zeros((2, len(ours.records)), bool)
        whole[:, places] = right
        return _sides(ours, theirs, f"an example is right if {name} says so", whole)
    measure = collect.measure([a, b], metric)
    if measure.higher_is_better is None:
        raise Undecided(f"{name} does not say whether higher or lower is better")
    what = f"by {name} of each example"
    return _largest(ours, theirs, places, found.of_examples(), measure, what)


def _by_distance(ours: Side, theirs: Side) -> Changes | None:
    """Return the examples that changed by how far off they are; None where that is not known."""
    if ours.schema.gold is None or not ours.schema.gold[1].distance_name:
        return None
    field = ours.schema.gold[1]
    found = []
    for side in (ours, theirs):
        pairs = side.schema.pairs(side.records)
        found.append([field.distance(gold, predicted) for _, gold, predicted in pairs])
        if len(found[-1]) < len(side.records):
            return None
    values = np.array(found, float)
    places = list(range(len(ours.records)))
    measure = Measure(higher_is_better=False)
    return _largest(ours, theirs, places, values, measure, f"by {field.distance_name}")


def _largest(
    ours: Side,
    theirs: Side,
    places: list[int],
    values: NDArray[np.float64],
    measure: Measure,
    what: str,
) -> Changes:
    """Return the examples that got worse and better."""
    by = values[1] - values[0]
    gain = np.nan_to_num(by if measure.higher_is_better else -by)
    groups = {}
    for heading, sign in (("worse", -1), ("better", 1)):
        order = [i for i in np.argsort(-sign * gain, kind="stable").tolist() if sign * gain[i] > 0]
        rows = [{**_shown(ours, theirs, places[i]), "by": float(by[i])} for i in order]
        groups[heading] = (len(rows), rows)
    return Changes(f"{what}, the largest first", groups, measure)


def _shown(ours: Side, theirs: Side, place: int) -> dict[str, Any]:
    """Return an example for people: its inputs, gold, and what both runs predicted."""
    one, other = ours.records[place], theirs.records[place]
    row: dict[str, Any] = {"id": one["id"]}
    shown = [(name, name, field, one) for name, field in ours.schema.of_role("input").items()]
    for key, side, record in (("A", ours, one), ("B", theirs, other)):
        if key == "A" and side.schema.gold is not None:
            shown.append(("gold", *side.schema.gold, record))
        if side.schema.predicted is not None:
            shown.append((key, *side.schema.predicted, record))
    for key, name, field, record in shown:
        if record.get(name) is not None:
            row[key] = field.describe(record[name], record)
    return row


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " | ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
