"""Batches in the order of the plan, as tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict

from lushan.data.batch.batching import Indices, rank_is_idle, split_batch
from lushan.data.batch.packing import Pieces, Rows, joined, single
from lushan.data.encode.encoding import Encoded

Features = list[dict[str, Any]]
Collate = Callable[[Features], dict[str, Any]]
Draw = Callable[[Features], Features]
"""Makes of features what they are this time; see `Task.transform`."""


class GlobalBatch(TypedDict):
    """One rank's share of what one optimizer step sees.

    `targets` counts the loss terms of the whole global batch over all ranks, or adds up their
    weights: every rank divides by the same number. Where only collating knows (`counted`), they are
    those of this rank alone. `weight` is 0 for a stand-in (see `split_batch`), else 1. Of the
    micro-batches the first `real` count; those after them keep this rank in step with one that has
    more. `pieces` has the features of each micro-batch.
    """

    micro: list[dict[str, Any]]
    pieces: list[Pieces]
    real: int
    targets: float
    tokens: int
    counted: bool
    weight: float
    examples: list[int]


class TrainingLoader:
    """The global batches of one epoch from number `start` on.

    Its length is that of the whole epoch, whatever `start` is: Lightning counts batches from the
    epoch's beginning, also after a resume.
    """

    def __init__(
        self,
        encoded: Encoded,
        batches: Sequence[Indices],
        collate: Collate,
        *,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        micro_tokens: int | None = None,
        rows: Rows | None = None,
        draw: Draw | None = None,
        in_step: bool = False,
    ) -> None:
        self.encoded, self.batches, self.collate, self.draw = encoded, batches, collate, draw
        self.start, self.rank, self.world_size = start, rank, world_size
        self.micro_tokens, self.in_step = micro_tokens, in_step
        self.rows = single(len(encoded)) if rows is None else rows
        self.lengths = self.rows.sums(encoded.lengths)
        self.targets = self.rows.sums(encoded.targets)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[GlobalBatch]:
        for batch in self.batches[self.start :]:
            yield self.assemble(batch)

    def assemble(self, batch: Indices) -> GlobalBatch:
        """The tensors of one global batch."""
        micro = self._split(batch, self.rank)
        weight = 0.0 if rank_is_idle(batch, self.rank) else 1.0
        pieces = [self.rows.pieces(part, self.encoded.lengths) for part in micro]
        collated = [self.collate(self._features(part)) for part in pieces]
        counts = [part.pop("targets") for part in collated if "targets" in part]
        real = len(collated)
        if self.in_step:
            most = max(len(self._split(batch, rank)) for rank in range(self.world_size))
            collated += [collated[-1]] * (most - real)
            pieces += [pieces[-1]] * (most - real)
        return {
            "micro": collated,
            "pieces": pieces,
            "real": real,
            "targets": int(sum(counts) * weight) if counts else self.targets[batch].sum().item(),
            "tokens": int(self.lengths[batch].sum()),
            "counted": bool(counts),
            "weight": weight,
            "examples": self.encoded.examples[self.rows.of(batch)].tolist(),
        }

    def _split(self, batch: Indices, rank: int) -> list[Indices]:
        return split_batch(
            batch,
            self.lengths,
            rank=rank,
            world_size=self.world_size,
            micro_tokens=self.micro_tokens,
        )

    def _features(self, pieces: Pieces) -> Features:
        """The features of some rows; those that share one are joined."""
        members = drawn(self.encoded, pieces.numbers, self.draw)
        if self.rows.capacity is None:
            return members
        rest = iter(members)
        return [joined(list(itertools.islice(rest, count))) for count in pieces.counts.tolist()]


class EvaluationLoader:
    """Batches of an evaluation split; over all ranks every feature exactly once."""

    def __init__(
        self,
        encoded: Encoded,
        batches: Sequence[Indices],
        collate: Collate,
        draw: Draw | None = None,
    ) -> None:
        self.encoded, self.batches, self.collate, self.draw = encoded, batches, collate, draw

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches:
            yield self.collate(drawn(self.encoded, batch, self.draw))


def drawn(encoded: Encoded, indices: Indices, draw: Draw | None) -> Features:
    """Features as they are this time, each with its number as `index`."""
    numbers = indices.tolist()
    rows = encoded.rows(numbers)
    for number, row in zip(numbers, rows, strict=True):
        row["index"] = number
    return rows if draw is None else draw(rows)
