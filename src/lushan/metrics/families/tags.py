"""Metrics of sequence tagging. Predictions and targets are the tags of a sentence, in IOB2.

What counts as an entity is defined in `lushan.metrics.entities`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.entities import entity_counts, entity_counts_by_type
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores import classes as scores
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

Tags = Sequence[str]


class Entities(Metric):
    """Precision, recall or F1 over all entities.

    Args:
        part: `precision`, `recall` or `f1`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(scores.averaged)
    basis = "entities"
    width = 3

    def __init__(self, part: str) -> None:
        super().__init__()
        self.options = {"name": f"{part}_micro"}

    def example_statistics(self, prediction: Tags, target: Tags) -> Array:
        """Return how many entities are right, predicted, in gold."""
        return np.asarray(self.statistics([prediction], [target])[0], float)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the same of many sentences."""
        return entity_counts(targets, predictions).astype(float)


class EntityF1(Entities):
    """The F1 of the CoNLL shared tasks and of the literature."""

    has_interval = True

    def __init__(self) -> None:
        super().__init__("f1")


class EntityAverage(Metric):
    """An average of precision, recall or F1 over types of entities.

    Args:
        name: `f1_macro`, `recall_weighted`, ...
        types: All that occur.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(scores.averaged)
    basis = "entities_by_type"

    def __init__(self, name: str, types: Sequence[str] = ()) -> None:
        self.classes = list(types)
        self.width = 3 * len(self.classes)
        super().__init__()
        self.options = {"name": name}

    def example_statistics(self, prediction: Tags, target: Tags) -> Array:
        """Return how many entities of each type are right, predicted, in gold, (3 · C,)."""
        return np.asarray(self.statistics([prediction], [target])[0], float)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the same of many sentences."""
        counts = entity_counts_by_type(targets, predictions, self.classes)
        return counts.reshape(len(counts), self.width).astype(float)


class TokenAccuracy(Metric):
    """The share of words with the right tag."""

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)

    def counts(self, gold: str) -> bool:
        """Return whether a word with this gold tag counts."""
        return True

    def example_statistics(self, prediction: Tags, target: Tags) -> Array:
        """Return (words with the right tag, words)."""
        pairs = [(p, g) for p, g in zip(prediction, target, strict=True) if self.counts(g)]
        return np.array([sum(p == g for p, g in pairs), len(pairs)], float)


class TokenAccuracyWithoutO(TokenAccuracy):
    """Accuracy of tags among words whose gold tag is not `O`."""

    def counts(self, gold: str) -> bool:
        """Return whether a word with this gold tag counts."""
        return gold != "O"


def metrics(types: Sequence[str] = ()) -> dict[str, Metric]:
    """Return the metrics of tags, by name.

    Args:
        types: All types of entities that occur; none are needed to ask what there is.
    """
    found: dict[str, Metric] = {
        "entity_f1": EntityF1(),
        "entity_precision": Entities("precision"),
        "entity_recall": Entities("recall"),
    }
    for average in ("macro", "weighted"):
        for part in ("f1", "precision", "recall"):
            name = f"{part}_{average}"
            found[f"entity_{name}"] = EntityAverage(name, types)
    return found | {
        "token_accuracy": TokenAccuracy(),
        "token_accuracy_without_o": TokenAccuracyWithoutO(),
    }
