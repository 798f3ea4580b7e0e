"""Metrics of recommendations. A prediction holds the ranks of a user's right items, and the top.

All items are ranked that the user has not had: never a sample of them, which orders recommenders
otherwise than their full ranking does (Krichene and Rendle, 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import PERCENT, PLAIN
from lushan.configurable import configurable
from lushan.metrics.families.retrieval import NDCG, OfRankings, ReciprocalRank
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

CUTS = (1, 5, 10)
COMPARED = ("hr_10", "ndcg_10")
"""Metrics that are computed of baselines, too; of cold items all."""
AMONG = 10
"""Items that a user is shown, of coverage and novelty."""
Shown = Mapping[str, Any]


@configurable
class HitRate(ReciprocalRank):
    """How often one of the first k is right."""

    def gains(self, ranks: Array, order: NDArray[np.int64]) -> Array:
        """Return 1 for the first right one."""
        return (order == 1).astype(float)


@configurable
class Of(Metric):
    """A metric of rankings over the ranks of predictions.

    Args:
        metric: Of rankings.
        ranks: The entry with them: `ranks`, `cold_ranks` of right items that no user had in
            training, or `ranks_among_cold`, where these alone compete. Users without any do not
            count.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, metric: OfRankings | None = None, ranks: str = "ranks") -> None:
        super().__init__()
        self.metric, self.ranks = metric or NDCG(AMONG), ranks

    def example_statistics(self, prediction: Shown, target: object) -> Array:
        """Return (value, 1) of a user; (0, 0) where it does not count."""
        return np.asarray(self.statistics([prediction], [target]))[0]

    def statistics(self, predictions: Sequence[Shown], targets: Sequence[Any]) -> Rows:
        """Return (value, 1) of each user, (N, 2)."""
        ranks = [prediction[self.ranks] for prediction in predictions]
        there = np.array([float(len(own) > 0) for own in ranks])
        return np.asarray(self.metric.statistics(ranks, targets)) * there[:, None]


@configurable
class AUC(Metric):
    """The share of wrong items behind a right one (Rendle et al., 2009), 0.5 by chance.

    A user's value is the mean over its right items; it says more than the first ten do where few
    users count.

    Args:
        ranks: As of `Of`.
        among: The entry that says among how many items they are: `ranked`, `cold_ranked`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, ranks: str = "ranks", among: str = "ranked") -> None:
        super().__init__()
        self.ranks, self.among = ranks, among

    def example_statistics(self, prediction: Shown, target: object) -> Array:
        """Return (value, 1) of a user; (0, 0) where it has nothing right, or nothing wrong."""
        ranks = np.sort(np.asarray(prediction[self.ranks], float))
        wrong = prediction[self.among] - len(ranks)
        if not len(ranks) or wrong < 1:
            return np.zeros(2)
        before = ranks - np.arange(1, len(ranks) + 1)
        return np.array([float(np.mean(1 - np.minimum(before, wrong) / wrong)), 1.0])


class Coverage(Metric):
    """The share of all items that stand among the first k of any user."""

    higher_is_better = True
    unit = PERCENT

    def __init__(self, k: int = AMONG) -> None:
        super().__init__()
        self.k = k

    def of_split(self, predictions: Sequence[Shown], targets: Sequence[Any]) -> float:
        """Count the different ones."""
        shown = {item for prediction in predictions for item in prediction["top"][: self.k]}
        return len(shown) / max((p["items"] for p in predictions), default=1)


class Novelty(Metric):
    """Mean of -log2 of the share of users who have had an item (Vargas and Castells, 2011)."""

    higher_is_better = None
    unit = PLAIN
    formula = staticmethod(ratio)

    def __init__(self, k: int = AMONG) -> None:
        super().__init__()
        self.k = k

    def example_statistics(self, prediction: Shown, target: object) -> Array:
        """Return the mean over the first k, and 1."""
        bits = prediction["bits"][: self.k]
        return np.array([float(np.mean(bits)), 1.0]) if len(bits) else np.zeros(2)


def metrics(*, cold: bool = False) -> dict[str, Metric]:
    """Return the metrics by name, with those of cold items apart where they are asked for."""
    found: dict[str, Metric] = {f"hr_{k}": Of(HitRate(k)) for k in CUTS}
    found |= {f"ndcg_{k}": Of(NDCG(k)) for k in CUTS[1:]}
    found["mrr_10"] = Of(ReciprocalRank(10))
    if cold:
        found |= _of_cold()
    found["coverage_10"], found["novelty_10"] = Coverage(10), Novelty(10)
    return found


def compared(*, cold: bool = False) -> tuple[str, ...]:
    """Return the names of the metrics that are computed of baselines, too."""
    return (*COMPARED, *(_of_cold() if cold else ()))


def _of_cold() -> dict[str, Metric]:
    return {
        "hr_10_cold": Of(HitRate(10), "cold_ranks"),
        "ndcg_10_cold": Of(NDCG(10), "cold_ranks"),
        "auc_cold": AUC("cold_ranks"),
        "auc_among_cold": AUC("ranks_among_cold", "cold_ranked"),
    }
