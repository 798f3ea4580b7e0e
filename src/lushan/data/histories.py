"""Histories of users, and their splits: the last of each user's, or all after a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from lushan.common.arrays import np, pa
from lushan.data.encode import arrow
from lushan.data.source import SPLITS
from lushan.errors import UserError

How = Literal["leave_last_out", "time"]
TO_EVALUATE = 3
"""Interactions of a user below which none is left out: one to learn from, two to evaluate."""
_HINTS: dict[How, str] = {
    "time": "data.cuts=[0.8,0.9] sets the two shares.",
    "leave_last_out": f"Users need {TO_EVALUATE} or more interactions with different items.",
}


@dataclasses.dataclass(frozen=True)
class Visits:
    """A user's interactions, in order of time.

    Attributes:
        user: Its name.
        items: Ids, none twice.
        times: Of each.
        line: Where the first one stands.
    """

    user: str
    items: Sequence[str]
    times: Sequence[float]
    line: int


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a split: what a user had, and what came next."""

    user: str
    history: Sequence[str]
    target: Sequence[str]
    line: int


def divided(
    visits: Sequence[Visits], how: How, cuts: Sequence[float], notes: list[str]
) -> dict[str, list[Row]]:
    """Divide users' interactions into splits; nothing is drawn at random.

    Args:
        visits: Of all users.
        how: `leave_last_out`: each user's last interaction is for the test, the one before it for
            validation. `time`: what came after one point of time, the same for all users, is
            evaluated, given all that came before it.
        cuts: Of `time`: shares of all interactions before validation, and before the test.
        notes: Takes what was left out.

    Returns:
        Split to rows. A training row is a whole sequence; its last item is the target.
    """
    found = _by_time(visits, cuts, notes) if how == "time" else _leave_last_out(visits, notes)
    for split, rows in found.items():
        if not rows:
            raise UserError(
                f"nothing is left for {split}: there are {len(visits)} users",
                key="data.split",
                value=how,
                hint=_HINTS[how],
            )
    return found


def _whole(user: Visits, count: int) -> Row:
    """Return a user's first interactions as a row to learn."""
    return Row(user.user, user.items[: count - 1], user.items[count - 1 : count], user.line)


def _leave_last_out(visits: Sequence[Visits], notes: list[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    short = 0
    for user in visits:
        count = len(user.items)
        if count < TO_EVALUATE:
            short += 1
            found["train"].append(_whole(user, count))
            continue
        found["train"].append(_whole(user, count - 2))
        for split, place in (("validation", count - 2), ("test", count - 1)):
            target = user.items[place : place + 1]
            found[split].append(Row(user.user, user.items[:place], target, user.line))
    if short:
        notes.append(
            f"{short} of {len(visits)} users have fewer than {TO_EVALUATE} interactions: they are "
            f"used for training only"
        )
    return found


def _by_time(
    visits: Sequence[Visits], cuts: Sequence[float], notes: list[str]
) -> dict[str, list[Row]]:
    every = np.sort(np.concatenate([user.times for user in visits]))
    first, second = (every[min(int(share * len(every)), len(every) - 1)] for share in cuts)
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    unknown = dict.fromkeys(("validation", "test"), 0)
    for user in visits:
        before, middle = (int(np.searchsorted(user.times, cut)) for cut in (first, second))
        if before:
            found["train"].append(_whole(user, before))
        for split, start, end in (
            ("validation", before, middle),
            ("test", middle, len(user.items)),
        ):
            if start == end:
                continue
            if not start:
                unknown[split] += 1
                continue
            row = Row(user.user, user.items[:start], user.items[start:end], user.line)
            found[split].append(row)
    for split, count in unknown.items():
        if count:
            notes.append(f"{split}: {count} users have no history before its time and were dropped")
    return found


def table_of(rows: Sequence[Row], split: str, file: str) -> pa.Table:
    """Return rows in a corpus's columns."""
    return pa.table(
        {
            "id": arrow.texts([f"{split}:{row.user}" for row in rows]),
            "user": arrow.texts([row.user for row in rows]),
            "history": arrow.text_lists([list(row.history) for row in rows]),
            "target": arrow.text_lists([list(row.target) for row in rows]),
            "line": arrow.numbers([row.line for row in rows], pa.int64()),
            "file": arrow.texts([file] * len(rows)),
        }
    )


def known(train: Mapping[str, Sequence[int]], seen: Mapping[str, Sequence[int]]) -> list[list[int]]:
    """Return what is known of all users when rows are evaluated, as items' numbers.

    Args:
        train: User to what was learned of it.
        seen: User to the history that a row gives, which takes the place of that: it is longer by
            what came since, or shorter by what is to be found.
    """
    return [list(items) for items in ({**train, **seen}).values() if len(items)]
