"""Metrics of texts and images that find one another. A prediction is ranks, by what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.families.retrieval import Recall
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

CUTS = (1, 5, 10)
FOUND = ("text", "image")


class RecallOf(Recall):
    """The share of right texts, or images, among the first k.

    Args:
        found: `text` or `image`.
        k: Ranks that count.
    """

    def __init__(self, found: str = "text", k: int = 1) -> None:
        super().__init__(k)
        self.found = found

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return (value, 1) of each example, (N, 2)."""
        return super().statistics([p[f"{self.found}_ranks"] for p in predictions], targets)


class ByChance(Metric):
    """The recall of a random order.

    Args:
        found: `text` or `image`.
        k: Ranks that count.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)

    def __init__(self, found: str = "text", k: int = 1) -> None:
        super().__init__()
        self.found, self.k = found, k

    def example_statistics(self, prediction: Mapping[str, Any], target: Any) -> Array:
        """Return (expected recall, 1)."""
        return np.array([min(1.0, self.k / prediction[f"{self.found}_candidates"]), 1.0])


def recalls() -> dict[str, Metric]:
    """Return the recalls, by name: `text_recall_1` is how often an image's text comes first."""
    return {f"{what}_recall_{k}": RecallOf(what, k) for what in FOUND for k in CUTS}


def metrics(baseline: str | None = None) -> dict[str, Metric]:
    """Return the metrics, by name: recalls, those of a random order, and those of a baseline."""
    found = recalls()
    found |= {f"{what}_recall_{k}_random": ByChance(what, k) for what in FOUND for k in CUTS}
    if baseline:
        found |= {f"{name}_{baseline}": metric for name, metric in recalls().items()}
    return found
