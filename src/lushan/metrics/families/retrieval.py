"""Metrics of rankings. A prediction is the ranks of a query's relevant documents, from 1.

Each is a mean over queries, of what trec_eval calls recall, recip_rank, ndcg_cut and map, where a
document is relevant or not. Targets are not looked at: the number of relevant documents is that of
the ranks, for all documents are ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import PERCENT
from lushan.configurable import configurable
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

Ranks = Sequence[int]


class OfRankings(Metric):
    """A mean over queries of a value that follows from the ranks of relevant documents.

    Args:
        k: Ranks that count; None is all.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, k: int | None = None) -> None:
        super().__init__()
        self.k = k

    def example_statistics(self, prediction: Ranks, target: object) -> Array:
        """Return (value, 1) of a query."""
        return np.asarray(self.statistics([prediction], [target]))[0]

    def statistics(self, predictions: Sequence[Ranks], targets: Sequence[Any]) -> Rows:
        """Return (value, 1) of each query, (N, 2)."""
        counts = np.array([len(ranks) for ranks in predictions])
        queries = np.repeat(np.arange(len(counts)), counts)
        ranks = np.concatenate([np.sort(r) for r in predictions]) if len(counts) else np.zeros(0)
        order = np.arange(len(ranks)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        inside = ranks <= (np.inf if self.k is None else self.k)
        gains = self.gains(ranks.astype(float), order) * inside
        values = np.bincount(queries, gains, len(counts)) / np.maximum(self.ideal(counts), 1e-12)
        return np.stack([values, np.ones(len(counts))], axis=1)

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return what each relevant document adds.

        Args:
            ranks: Of all queries' documents, (R,), sorted within a query.
            order: Which of its query's documents each is, from 1, (R,).
        """
        raise NotImplementedError

    def ideal(self, counts: NDArray[np.int64]) -> Array:
        """Return what is added where all relevant documents stand first, (N,)."""
        return counts.astype(float)


@configurable
class Recall(OfRankings):
    """Share of the relevant documents among the first k."""

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return 1 each."""
        return np.ones_like(ranks)


@configurable
class ReciprocalRank(OfRankings):
    """One over the rank of the first relevant document; 0 behind k."""

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return one over the rank of a query's first."""
        return (order == 1) / ranks

    def ideal(self, counts: NDArray[np.int64]) -> Array:
        """Return 1."""
        return np.ones(len(counts))


@configurable
class NDCG(OfRankings):
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002) of the first k."""

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return the discounts."""
        return 1 / np.log2(1 + ranks)

    def ideal(self, counts: NDArray[np.int64]) -> Array:
        """Return the sum of the first discounts."""
        most = int(counts.max(initial=0))
        sums = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, most + 2)))])
        return sums[np.minimum(counts, most if self.k is None else self.k)]


@configurable
class MeanAveragePrecision(OfRankings):
    """Mean over queries of the mean precision at the relevant documents."""

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return the precision at each."""
        return order / ranks


def metrics() -> dict[str, Metric]:
    """Return the metrics of rankings."""
    return {
        "recall_1": Recall(1),
        "recall_10": Recall(10),
        "mrr_10": ReciprocalRank(10),
        "ndcg_10": NDCG(10),
        "map": MeanAveragePrecision(),
    }
