"""Prompts that are continued together: of the same room and about the same length."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Group:
    """Prompts that are continued together."""

    rows: list[int]
    new_tokens: int


def grouped(
    lengths: Sequence[int], new_tokens: int, *, positions: int | None, size: int
) -> list[Group]:
    """Group prompts that have the same room and about the same length, longest first.

    In one group all may have equally many new tokens: `generate` knows one bound for all rows,
    and a row beyond the model's positions would end it.

    Args:
        lengths: Tokens of each prompt; each leaves room for one at least.
        new_tokens: The most new tokens of each.
        positions: Tokens that prompt and text may have together; None sets no bound.
        size: Prompts in a group at most.
    """
    rooms: dict[int, list[int]] = {}
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        room = new_tokens if positions is None else min(new_tokens, positions - lengths[row])
        rooms.setdefault(room, []).append(row)
    return [
        Group(rows[at : at + size], room)
        for room, rows in rooms.items()
        for at in range(0, len(rows), size)
    ]
