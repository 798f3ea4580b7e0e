"""Gold against predicted classes: counts of the pairs that occur.

A dense table grows with the square of the classes; the pairs that occur are never more than the
examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Confusion matrix: how often each gold class was predicted as each other one.

    Attributes:
        names: The C classes.
        gold: (K,) class of each pair that occurs.
        predicted: (K,) the class predicted for it.
        counts: (K,) how often it occurs.
    """

    names: Sequence[str]
    gold: Ints
    predicted: Ints
    counts: Ints

    @classmethod
    def of(cls, names: Sequence[str], gold: Ints, predicted: Ints) -> Confusion:
        """Count the pairs of some examples, each side (N,) of class numbers."""
        width = max(len(names), 1)
        pairs, counts = np.unique(gold * width + predicted, return_counts=True)
        return cls(names, pairs // width, pairs % width, counts.astype(np.int64))

    @property
    def correct(self) -> Ints:
        """(C,) right predictions of each class."""
        right = self.gold == self.predicted
        return self._sums(self.gold[right], self.counts[right])

    @property
    def of_gold(self) -> Ints:
        """(C,) examples of each class."""
        return self._sums(self.gold, self.counts)

    @property
    def of_predicted(self) -> Ints:
        """(C,) predictions of each class."""
        return self._sums(self.predicted, self.counts)

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Yield the pairs that occur: gold, predicted, how often."""
        for gold, predicted, count in zip(self.gold, self.predicted, self.counts, strict=True):
            yield self.names[gold], self.names[predicted], int(count)

    def most_frequent(self, most: int) -> Confusion:
        """Return the part of the classes with the most examples, in their order."""
        if len(self.names) <= most:
            return self
        kept = np.sort(np.argsort(-self.of_gold, kind="stable")[:most])
        place = np.full(len(self.names), -1)
        place[kept] = np.arange(most)
        gold, predicted = place[self.gold], place[self.predicted]
        inside = (gold >= 0) & (predicted >= 0)
        names = [self.names[i] for i in kept]
        return Confusion(names, gold[inside], predicted[inside], self.counts[inside])

    def table(self) -> Ints:
        """(C, C) counts, gold by predicted: of few classes."""
        counts = np.zeros((len(self.names), len(self.names)), dtype=np.int64)
        counts[self.gold, self.predicted] = self.counts
        return counts

    def _sums(self, classes: Ints, counts: Ints) -> Ints:
        # bincount sums in floats, which hold whole numbers below 2^53.
        return np.bincount(classes, counts, minlength=len(self.names)).astype(np.int64)
