"""Metrics as a user writes them: each in one class."""

import numpy as np

from lushan.metrics.metric import Metric
from lushan.metrics.scores.ratios import ratio


class Brier(Metric):
    """The Brier score: the squared distance of probabilities from what is there."""

    higher_is_better = False
    field = "probabilities"
    formula = staticmethod(ratio)
    has_interval = True

    def example_statistics(self, prediction, target):
        distance = sum((p - (label == target)) ** 2 for label, p in prediction.items())
        return np.array([distance, 1.0])


class Longest(Metric):
    """The words of the longest text: no sum over examples."""

    higher_is_better = False

    def of_split(self, predictions, targets):
        return float(max((len(text.split()) for text in predictions), default=0))


class Undirected(Brier):
    """Of which nobody knows what is better."""

    higher_is_better = None


class Unnamed(Brier):
    """Its score cannot be named."""

    formula = staticmethod(lambda summed: summed[..., 0])


class Lost(Brier):
    """It takes what no prediction has."""

    field = "logits"
