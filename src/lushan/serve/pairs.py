"""Requests for the order of documents by a query, to a cross-encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.inference.load import Loaded
from lushan.retrieval.reranking import Reranking
from lushan.serve.limits import Bounds
from lushan.serve.micro_batches import MicroBatches


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Documents of a query."""

    query: str
    documents: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of documents.

    Attributes:
        scores: The higher, the better, (documents,).
        tokens: That were read.
        notes: How many pairs were cut.
    """

    scores: NDArray[np.floating]
    tokens: int
    notes: list[str]


class Pairs:
    """A run of task=reranker, behind requests.

    Args:
        name: Of the run.
        loaded: The run.
        bounds: Of what it takes.
    """

    def __init__(self, name: str, loaded: Loaded, bounds: Bounds) -> None:
        self.loaded = loaded
        self.worker: MicroBatches[Candidates, Scored] = MicroBatches(
            f"ranking {name}", self._scored, size=4 * bounds.batch, capacity=bounds.waiting
        )

    def _scored(self, several: Sequence[Candidates]) -> list[Scored]:
        return [self._of(one) for one in several]

    def _of(self, one: Candidates) -> Scored:
        notes: list[str] = []
        ranker = Reranking(self.loaded, len(one.documents), notes)
        scores, tokens = ranker.scored(one.query, one.documents)
        return Scored(scores, tokens, notes)
