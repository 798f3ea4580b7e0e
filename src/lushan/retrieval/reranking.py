"""The best documents of a search, ordered once more by a run of task=reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.inference.load import Loaded, load
from lushan.tasks.batches import Batch

_TOKENS = 8192
"""Padded tokens in a batch."""


@runtime_checkable
class ScoresPairs(Protocol):
    """A task that scores pairs of texts: its fields are `query` and `passage`."""

    def pair_scores(self, model: nn.Module, batch: Batch, /) -> Tensor:
        """Return the score of each pair, (P,)."""


@dataclass(frozen=True)
class Reranking:
    """A cross-encoder, and how many documents of a query it reads.

    Attributes:
        loaded: A run whose task scores pairs.
        candidates: Documents of each query; those behind keep their order.
        notes: Takes how many pairs were truncated.
    """

    loaded: Loaded
    candidates: int
    notes: list[str]

    @property
    def name(self) -> str:
        """Return what distinguishes it from others, for tables."""
        return f"reranked by {self.loaded.folder.name}"

    def scores(self, query: str, passages: Sequence[str]) -> NDArray[np.float64]:
        """Return the score of each passage, (P,)."""
        return self.scored(query, passages)[0]

    def scored(self, query: str, passages: Sequence[str]) -> tuple[NDArray[np.float64], int]:
        """Return the score of each passage, (P,), and how many tokens were read for them."""
        task = self.loaded.task
        assert isinstance(task, ScoresPairs)
        asked = {"query": [query] * len(passages), "passage": list(passages)}
        features = task.encode(asked, 0, self.loaded.processor, self.loaded.limits)
        if cut := sum(features["cut"]):
            self.notes.append(f"{cut:,} pairs were truncated to the run's data.max_length")
        found = np.zeros(len(passages))
        order = np.argsort(-np.array(features["length"]), kind="stable")
        with torch.inference_mode():
            while len(order):
                count = max(1, _TOKENS // features["length"][order[0]])
                rows, order = order[:count], order[count:]
                batch = task.collate(
                    [{n: np.asarray(v[row]) for n, v in features.items()} for row in rows]
                )
                found[rows] = task.pair_scores(self.loaded.model, batch).numpy()
        return found, int(sum(features["length"]))

    def order(
        self, query: str, texts: Sequence[str], best: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Order the numbers of documents by their scores, and return both.

        Args:
            query: The query.
            texts: Of all documents.
            best: Numbers of the candidates, in an order that equal scores keep.
        """
        scores = self.scores(query, [texts[number] for number in best])
        order = np.argsort(-scores, kind="stable")
        return best[order], scores[order]


def reranking(run: str, candidates: int, notes: list[str]) -> Reranking:
    """Load a run that orders the best documents of a search.

    Args:
        run: A run whose task scores pairs, or its exported folder.
        candidates: See `Reranking`.
        notes: Likewise.

    Raises:
        UserError: It is another one.
    """
    loaded = load(Path(run).expanduser())
    if not isinstance(loaded.task, ScoresPairs):
        raise UserError(
            "this run does not score pairs of texts",
            key="--rerank",
            value=run,
            hint="Train a reranker with lushan train task=reranker.",
        )
    return Reranking(loaded, candidates, notes)
