"""Rows that hold several examples: whole documents side by side, no row longer than the capacity.

Best-fit decreasing: from the longest on, each example goes into the row with the least space that
still holds it (Johnson, 1974). Which rows there are depends on the lengths alone, so that a run
that was stopped finds the same ones again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows, and the features that each one holds.

    Attributes:
        members: Features, row after row.
        offsets: Where each row begins among the members, and the end; one more than rows.
        capacity: Tokens a row can hold; None where every feature is a row of its own.
    """

    members: Indices
    offsets: Indices
    capacity: int | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Indices:
        return self.members[self.offsets[row] : self.offsets[row + 1]]

    def of(self, rows: Indices) -> Indices:
        """The features of several rows."""
        return np.concatenate([self[int(row)] for row in rows]) if len(rows) else self.members[:0]

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """One number a feature, added up over the features of each row."""
        wide = np.float64 if np.issubdtype(values.dtype, np.floating) else np.int64
        totals = np.concatenate([np.zeros(1, wide), np.cumsum(values[self.members], dtype=wide)])
        return totals[self.offsets[1:]] - totals[self.offsets[:-1]]

    def waste(self, lengths: NDArray[np.integer]) -> float:
        """The share of all rows' capacity that stays empty."""
        if self.capacity is None or not len(self):
            return 0.0
        return 1 - int(lengths[self.members].sum()) / (len(self) * self.capacity)


def single(count: int) -> Rows:
    """Every feature a row of its own."""
    return Rows(np.arange(count), np.arange(count + 1))


def best_fit(lengths: NDArray[np.integer], capacity: int) -> Rows:
    """Rows of at most `capacity` tokens; a longer feature has a row to itself.

    Args:
        lengths: Tokens of each feature, shape (N,).
        capacity: Tokens a row can hold.
    """
    order = np.argsort(-lengths, kind="stable")
    by_space: list[list[int]] = [[] for _ in range(capacity + 1)]  # rows by what is free in them
    free = 0  # bit s is set where a row with s tokens of space is open
    rows: list[list[int]] = []
    for feature, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = free >> length
        if fitting and length:
            space = length + (fitting & -fitting).bit_length() - 1
            row = by_space[space].pop()
            if not by_space[space]:
                free &= ~(1 << space)
            rows[row].append(feature)
        else:
            space, row = max(capacity, length), len(rows)
            rows.append([feature])
        left = space - length
        if left:
            by_space[left].append(row)
            free |= 1 << left
    sizes = [len(row) for row in rows]
    members = np.fromiter((f for row in rows for f in row), np.int64, len(lengths))
    return Rows(members, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), capacity)


def joined(features: list[dict[str, Any]]) -> dict[str, Any]:
    """Join features to one row: lists and arrays end to end, `length` and `targets` added up.

    `pieces` has the length of each one. Other numbers are those of the first.
    """
    row = {
        name: np.concatenate([f[name] for f in features])
        if isinstance(value, np.ndarray) and value.ndim
        else value
        for name, value in features[0].items()
    }
    for name in (name for name, value in features[0].items() if isinstance(value, list)):
        row[name] = [item for feature in features for item in feature[name]]
    for name in ("length", "targets"):
        if name in row:
            row[name] = sum(np.asarray([f[name] for f in features]).tolist())
    row["pieces"] = np.asarray([int(f["length"]) for f in features])
    return row


def positions(pieces: NDArray[np.integer]) -> NDArray[np.int64]:
    """Places inside each piece, counted from 0: [3, 2] gives 0 1 2 0 1."""
    starts = np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.arange(len(starts)) - starts
