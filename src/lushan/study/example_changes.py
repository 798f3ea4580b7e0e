"""The examples on which two runs part: from right to wrong and back, or by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import Measure, signed
from lushan.errors import UserError
from lushan.study import collect, records
from lushan.study.collect import Member
from lushan.study.differences import count_together
from lushan.study.example_statistics import is_tagging, set_of
from lushan.study.records import Read, Records, Undecided
from lushan.text import tags

LONGEST = 160
"""Characters that are shown of a text."""


@dataclasses.dataclass(frozen=True)
class Changes:
    """Examples that changed from run A to run B.

    Attributes:
        what: How an example is judged, in words.
        groups: Heading to (number of examples, rows of them, the largest change first).
        measure: By which `by` is printed; None where examples are right or wrong.
    """

    what: str
    groups: Mapping[str, tuple[int, Sequence[Mapping[str, Any]]]]
    measure: Measure | None = None

    def lines(self, most: int) -> list[str]:
        """For the terminal, at most so many examples a group."""
        found = []
        for heading, (count, rows) in self.groups.items():
            found.append(f"{heading}: {count} ({self.what})")
            for row in rows[:most]:
                by = f"  {signed(row['by'], self.measure)}" if self.measure else ""
                found.append(f"  {row['id']}{by}")
                found += [f"    {k}: {_short(row[k])}" for k in _SHOWN if row.get(k) is not None]
            if count > most > 0:
                found.append(f"  and {count - most} more")
        return found

    def as_dict(self, most: int) -> dict[str, Any]:
        """For JSON, at most so many examples a group."""
        return {
            "judged": self.what,
            **{
                heading: {"count": count, "examples": list(rows[:most])}
                for heading, (count, rows) in self.groups.items()
            },
        }


_SHOWN = ("text", "text_pair", "gold", "A", "B")


def changes(a: Member, b: Member, metric: str, read: Read) -> tuple[Changes | None, str | None]:
    """The examples that changed between two runs, or why they cannot be told.

    Args:
        a: A run.
        b: Another.
        metric: By which examples are judged where they are not right or wrong.
        read: From `contrast.reader`.
    """
    try:
        (ours, theirs), _ = records.of_members([a, b], metric, read)
        found = _right(ours, theirs, metric)
        if found is not None:
            what, right = found
            return _sides(ours, theirs, what, right), None
        return _largest(a, b, ours, theirs, metric, read), None
    except Undecided as reason:
        return None, str(reason)
    except UserError as error:
        return None, error.problem


def _right(ours: Records, theirs: Records, metric: str) -> tuple[str, NDArray[np.bool_]] | None:
    """Whether each run has each example right, (2, N); None where examples are better or worse."""
    sides, first, name = (ours, theirs), ours[0], metric.partition("/")[2]
    if is_tagging(first):
        right = [[_spans(r["gold"]) == _spans(r["predicted"]) for r in rows] for rows in sides]
        return "a sentence is right where all its entities are", np.array(right)
    if name.startswith("exact_match") and all(name in row for rows in sides for row in rows):
        right = [[bool(row[name]) for row in rows] for rows in sides]
        return f"a text is right where {name} says so", np.array(right)
    if "hits" in first or "predicted" not in first or not isinstance(first.get("gold"), str | list):
        return None
    right = [[set_of(r["gold"]) == set_of(r["predicted"]) for r in rows] for rows in sides]
    return "an example is right where all its labels are", np.array(right)


def _spans(text: Sequence[str]) -> list[tags.Span]:
    return tags.spans(text, "iob2", strict=False)


def _sides(ours: Records, theirs: Records, what: str, right: NDArray[np.bool_]) -> Changes:
    groups = {}
    for heading, which in (
        ("from right to wrong", right[0] & ~right[1]),
        ("from wrong to right", ~right[0] & right[1]),
    ):
        places = np.flatnonzero(which).tolist()
        groups[heading] = (len(places), [_shown(ours[i], theirs[i]) for i in places])
    return Changes(what, groups)


def _largest(
    a: Member, b: Member, ours: Records, theirs: Records, metric: str, read: Read
) -> Changes:
    """By the metric of each example alone; of numbers by how far off they are."""
    name = metric.partition("/")[2]
    measure = collect.measure([a, b], metric)
    if isinstance(ours[0].get("gold"), int | float):
        measure = Measure(higher_is_better=False)
        values = np.array([[abs(r["predicted"] - r["gold"]) for r in x] for x in (ours, theirs)])
        name, places = "mae", list(range(len(ours)))
    else:
        found = count_together([a, b], metric, read)
        # Where texts were generated for some examples, the counts are of those alone.
        places = list(found.examples)
        values = found.of_examples()
    by = values[1] - values[0]
    if measure.higher_is_better is None:
        raise Undecided(f"{name} does not say whether higher or lower is better")
    gain = np.nan_to_num(by if measure.higher_is_better else -by)
    groups = {}
    for heading, sign in (("worse", -1), ("better", 1)):
        order = [i for i in np.argsort(-sign * gain, kind="stable").tolist() if sign * gain[i] > 0]
        rows = [{**_shown(ours[places[i]], theirs[places[i]]), "by": float(by[i])} for i in order]
        groups[heading] = (len(rows), rows)
    what = "by absolute error" if name == "mae" else f"by {name} of each example"
    return Changes(f"{what}, the largest first", groups, measure)


def _shown(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": one["id"]}
    if is_tagging(one):
        words = one["tokens"]
        told = [
            _entities(words, tagged)
            for tagged in (one["gold"], one["predicted"], other["predicted"])
        ]
        return row | {"text": " ".join(words)} | dict(zip(("gold", "A", "B"), told, strict=True))
    for key, record, name in (
        ("text", one, "source" if "source" in one else "text"),
        ("text_pair", one, "text_pair"),
        ("gold", one, "gold"),
        ("A", one, "predicted"),
        ("B", other, "predicted"),
    ):
        if name in record:
            row[key] = record[name]
    return row


def _entities(words: Sequence[str], tagged: Sequence[str]) -> list[str]:
    return [f"{' '.join(words[s.start : s.end])} ({s.label})" for s in _spans(tagged)]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " | ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
