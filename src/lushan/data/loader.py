"""Batches in the order of the plan, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from lushan.data.batching import Indices, rank_is_idle, split_batch
from lushan.data.encoding import Encoded

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]


class GlobalBatch(TypedDict):
    """One rank's share of what one optimizer step sees.

    `targets` counts the loss terms of the whole global batch, over all ranks: every rank divides
    by the same number. `weight` is 0 for a stand-in (see `split_batch`), else 1.
    """

    micro: list[dict[str, Any]]
    targets: int
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
        batches: list[Indices],
        collate: Collate,
        *,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        micro_tokens: int | None = None,
    ) -> None:
        self.encoded, self.batches, self.collate = encoded, batches, collate
        self.start, self.rank, self.world_size = start, rank, world_size
        self.micro_tokens = micro_tokens
        self.lengths = encoded.lengths
        self.targets = encoded.targets

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[GlobalBatch]:
        for batch in self.batches[self.start :]:
            yield self.assemble(batch)

    def assemble(self, batch: Indices) -> GlobalBatch:
        """The tensors of one global batch."""
        micro = split_batch(
            batch,
            self.lengths,
            rank=self.rank,
            world_size=self.world_size,
            micro_tokens=self.micro_tokens,
        )
        return {
            "micro": [self.collate(self.encoded.rows(part.tolist())) for part in micro],
            "targets": int(self.targets[batch].sum()),
            "weight": 0.0 if rank_is_idle(batch, self.rank) else 1.0,
            "examples": self.encoded.examples[batch].tolist(),
        }


class EvaluationLoader:
    """Batches of an evaluation split; over all ranks every feature exactly once."""

    def __init__(self, encoded: Encoded, batches: list[Indices], collate: Collate) -> None:
        self.encoded, self.batches, self.collate = encoded, batches, collate

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches:
            yield self.collate(self.encoded.rows(batch.tolist()))


def padding_share(lengths: NDArray[np.integer], batches: list[Indices]) -> float:
    """Padded tokens over real tokens, minus one: 0 where nothing is padded."""
    real = sum(int(lengths[b].sum()) for b in batches)
    padded = sum(int(lengths[b].max()) * len(b) for b in batches)
    return padded / real - 1 if real else 0.0
