"""Metrics of labels: one a text, or several. Predictions and targets are labels, or lists of them.

Precision, recall and F1 and their averages are those of `lushan.metrics.prf`. `mcc` is Matthews'
coefficient for any number of classes (Gorodkin, 2004), 0 where it is undefined, as scikit-learn has
it. With several labels a text, `accuracy` is the share of right yes-or-no decisions and
`exact_match` the share of texts whose set of labels is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lushan.common.units import PERCENT
from lushan.metrics.metric import Array, Metric
from lushan.metrics.prf import AVERAGES
from lushan.metrics.scores import classes as scores
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows
from lushan.metrics.stats.bootstrap import Interval, interval

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Label = str | Iterable[str]


def set_of(label: Label) -> set[str]:
    """Return the labels of a text that has one or several."""
    return {label} if isinstance(label, str) else set(label)


class Right(Metric):
    """The share of texts whose label, or set of labels, is right."""

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    basis = "right"
    has_interval = True

    def example_statistics(self, prediction: Label, target: Label) -> Array:
        """Return (1 where it is right, 1)."""
        return np.array([float(set_of(prediction) == set_of(target)), 1.0])


class Decisions(Metric):
    """The share of right yes-or-no decisions, over all labels and texts."""

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.labels = list(labels)

    def example_statistics(self, prediction: Label, target: Label) -> Array:
        """Return (share of right decisions, 1)."""
        wrong = len(set_of(prediction) ^ set_of(target))
        total = len(self.labels)
        return np.array([(total - wrong) / total if total else 1.0, 1.0])


class OfClasses(Metric):
    """A score of the counts of each class: what is right, predicted and in gold.

    Args:
        labels: All that occur.
        several: Whether a text has any number of them.
    """

    higher_is_better = True
    unit = PERCENT
    basis = "classes"

    def __init__(self, labels: Sequence[str] = (), *, several: bool = False) -> None:
        self.several = several
        self.classes = list(labels)
        self.width = 3 * len(self.classes)
        self.place = {label: i for i, label in enumerate(self.classes)}
        super().__init__()

    def example_statistics(self, prediction: Label, target: Label) -> Array:
        """Return 1 for each class that is right, predicted, in gold, (3 · C,)."""
        return np.asarray(self.statistics([prediction], [target]).todense()).ravel()

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> csr_matrix:
        """Return the same of many examples, sparse: there may be thousands of classes."""
        from scipy.sparse import csr_matrix

        width, columns, ends = len(self.classes), [], [0]
        for prediction, target in zip(predictions, targets, strict=True):
            p, g = ({self.place[x] for x in set_of(side)} for side in (prediction, target))
            for part, found in enumerate((p & g, p, g)):
                columns += [part * width + place for place in sorted(found)]
            ends.append(len(columns))
        shape = (len(ends) - 1, 3 * width)
        return csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)

    def grouped(self, rows: csr_matrix) -> tuple[csr_matrix, NDArray[np.int64]]:
        """Return the distinct rows over the classes that occur, by gold and then predicted."""
        width = rows.shape[1] // 3
        there = np.unique(rows.indices % width) if width else np.zeros(0, int)
        counted: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for number, (start, end) in enumerate(itertools.pairwise(rows.indptr.tolist())):
            columns = rows.indices[start:end].tolist()
            gold = tuple(self._order(x - 2 * width) for x in columns if x >= 2 * width)
            predicted = tuple(self._order(x - width) for x in columns if width <= x < 2 * width)
            counted.setdefault((gold, predicted), []).append(number)
        kept = [counted[key] for key in sorted(counted)]
        columns = np.concatenate([there + part * width for part in range(3)])
        sizes = np.array([len(group) for group in kept], dtype=np.int64)
        return rows[[group[0] for group in kept]][:, columns], sizes

    def _order(self, place: int) -> int:
        return -place if self.several else place


class Accuracy(Right):
    """The share of texts whose one label is right."""

    def __init__(self, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.labels = list(labels)

    def interval(
        self, predictions: Sequence[Any], targets: Sequence[Any], rows: Rows | None
    ) -> Interval | None:
        """Return the interval over the same resamples as those of the scores by class."""
        by_class = OfClasses(self.labels)
        drawn, sizes = by_class.grouped(by_class.statistics(predictions, targets))
        width = drawn.shape[1]
        return interval(lambda w: scores.accuracy(np.asarray(w @ drawn)), sizes, width=width)


class MCC(OfClasses):
    """Matthews' coefficient, for any number of classes."""

    unit = Metric.unit
    formula = staticmethod(scores.mcc)
    has_interval = True


class Averaged(OfClasses):
    """An average of precision, recall or F1 over classes.

    Args:
        name: `f1_macro`, `precision_micro`, ...
        labels: All that occur.
        several: Whether a text has any number of them.
    """

    formula = staticmethod(scores.averaged)

    def __init__(self, name: str, labels: Sequence[str] = (), *, several: bool = False) -> None:
        super().__init__(labels, several=several)
        self.options, self.merges = {"name": name}, name.endswith("_micro")


class F1(Averaged):
    """An average of F1 that is shown with its interval."""

    has_interval = True


def metrics(*, several: bool = False, labels: Sequence[str] = ()) -> dict[str, Metric]:
    """Return the metrics of labels, by name.

    Args:
        several: Whether a text has any number of labels, and not one.
        labels: All that occur; none are needed to ask what there is.
    """
    own: dict[str, Metric] = {"accuracy": Accuracy(labels), "mcc": MCC(labels)}
    if several:
        own = {"accuracy": Decisions(labels), "exact_match": Right()}
    names = [f"{part}_{average}" for part in ("f1", "precision", "recall") for average in AVERAGES]
    shown = {"f1_micro": F1, "f1_macro": F1}
    return own | {n: shown.get(n, Averaged)(n, labels, several=several) for n in names}
