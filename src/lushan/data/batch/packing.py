"""Rows that hold several examples: whole documents side by side, no row longer than the capacity.

Best-fit decreasing: from the longest on, each example goes into the row with the least space that
still holds it (Johnson, 1974). Which rows there are depends on the lengths alone, so that a run
that was stopped finds the same ones again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lushan.data.batch.batching import longest_first

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
        if self.capacity is None:
            return self.members[self.offsets[rows]]
        counts = self.counts(rows)
        # Each row's members are counted on from where it begins.
        begins = np.repeat(self.offsets[rows] - (np.cumsum(counts) - counts), counts)
        return self.members[begins + np.arange(len(begins))]

    def counts(self, rows: Indices) -> Indices:
        """How many features each of several rows holds."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def pieces(self, rows: Indices, lengths: NDArray[np.integer]) -> Pieces:
        """Return the features of several rows, apart.

        Args:
            rows: Their numbers.
            lengths: Tokens of each feature of the split.
        """
        members = self.of(rows)
        return Pieces(members, lengths[members].astype(np.int64), self.counts(rows))

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


class Pieces(NamedTuple):
    """The features in the rows of a micro-batch.

    Attributes:
        numbers: Of the features in their split, row after row, (N,).
        lengths: Tokens of each, (N,).
        counts: Features of each row, (B,).
    """

    numbers: Indices
    lengths: Indices
    counts: Indices

    def places(self, width: int) -> tuple[Indices, Indices]:
        """Return of each place of each row its feature's number, and its place there, (B, width).

        Padding counts on from a row's last feature.
        """
        if len(self.numbers) == len(self.counts):
            numbers = np.broadcast_to(self.numbers[:, None], (len(self.counts), width))
            return numbers.copy(), np.tile(np.arange(width), (len(self.counts), 1))
        numbers = np.zeros((len(self.counts), width), dtype=np.int64)
        places = np.zeros_like(numbers)
        for feature, (row, start, _) in zip(self.numbers, self.spans(), strict=True):
            numbers[row, start:] = feature
            places[row, start:] = np.arange(max(0, width - start))
        return numbers, places

    def lengths_at(self, width: int) -> Indices:
        """Return of each place of each row the tokens of its feature, (B, width)."""
        found = np.zeros((len(self.counts), width), dtype=np.int64)
        for row, start, length in self.spans():
            found[row, start:] = length
        return found

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield each feature's row, its first place in it, and its tokens."""
        row, start, last = 0, 0, np.cumsum(self.counts).tolist()
        for feature, length in enumerate(self.lengths.tolist()):
            if feature == last[row]:
                row, start = row + 1, 0
            yield row, start, length
            start += length


def single(count: int) -> Rows:
    """Every feature a row of its own."""
    return Rows(np.arange(count), np.arange(count + 1))


def best_fit(lengths: NDArray[np.integer], capacity: int) -> Rows:
    """Rows of at most `capacity` tokens; a longer feature has a row to itself.

    Features of one length are placed together: the row with the least space that holds one has the
    least after it, too, and takes them until it is full.

    Args:
        lengths: Tokens of each feature, shape (N,).
        capacity: Tokens a row can hold.
    """
    order = longest_first(lengths)
    sizes, counts = np.unique(lengths, return_counts=True)
    row_of = np.empty(len(lengths), dtype=np.int64)  # of each feature, in the order of lengths
    by_space: list[list[int]] = [[] for _ in range(capacity + 1)]  # rows by what is free in them
    free = 0  # bit s is set where a row with s tokens of space is open
    rows = done = 0
    for length, count in zip(sizes[::-1].tolist(), counts[::-1].tolist(), strict=True):
        left = count
        while left:
            fitting = free >> length if length else 0
            space = length + (fitting & -fitting).bit_length() - 1 if fitting else capacity
            each = max(1, space // length) if length else 1
            wanted = -(-left // each)
            if fitting:
                taken = by_space[space][: -wanted - 1 : -1]
                del by_space[space][-wanted:]
                if not by_space[space]:
                    free &= ~(1 << space)
            else:
                taken = list(range(rows, rows + wanted))
                rows += wanted
            placed = min(left, each * len(taken))
            row_of[done : done + placed] = np.repeat(taken, each)[:placed]
            done, left = done + placed, left - placed
            short = each * len(taken) - placed  # the last row takes so many fewer
            full = taken[:-1] if short else taken
            for some, rest in (
                (full, space - each * length),
                (taken[len(full) :], space - (each - short) * length),
            ):
                if some and rest > 0:
                    by_space[rest] += some
                    free |= 1 << rest
    members = order[np.argsort(row_of, kind="stable")]
    sizes = np.bincount(row_of, minlength=rows)
    return Rows(members, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), capacity)


def joined(features: list[dict[str, Any]]) -> dict[str, Any]:
    """Join features to one row: lists and arrays end to end, `length` and `targets` added up.

    `pieces` has the length of each one. Other numbers are those of the first.
    """
    row = dict(features[0])
    for name, value in features[0].items():
        if isinstance(value, np.ndarray) and value.ndim:
            row[name] = np.concatenate([f[name] for f in features])
        elif isinstance(value, list):
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
