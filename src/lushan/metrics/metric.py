"""Metric of lushan: a metric of torchmetrics that has statistics per example.

Only what evaluates imports this: torchmetrics takes its time. Everything else reads the `Measure`
of a metric, which is plain, and calls its score function, which needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray

from lushan.common.units import PLAIN, Measure, Unit
from lushan.metrics.statistics import Rows, total
from lushan.metrics.stats import bootstrap
from lushan.metrics.stats.bootstrap import Interval

Array = NDArray[np.float64]


class Metric(torchmetrics.Metric):
    """A metric that is a score of statistics which add up over examples.

    A metric of your own gives `higher_is_better`, `unit`, `formula`, `width` and
    `example_statistics`. One that is no such score (a rank correlation) gives `of_split` instead of
    the last three: it is reported, and undecided in tests over examples.

    Attributes:
        unit: How values are printed.
        formula: From summed statistics (..., D) to values (...,): a function of a module without
            torch, which is named by its import path in `result.json`. None where there is none.
        basis: The name under which a run stores its statistics. Metrics of one task that share
            their statistics share the name; None is the metric's own.
        field: The field of a stored prediction that it takes, such as `probabilities`; None is
            what the task's own metrics take: the label, the tags, the text.
        has_interval: Whether an evaluation shows a 95 % interval beside the value.
        groups: Whether examples that count alike are drawn as one group by the bootstrap.
        fewest: Examples below which there is no interval.
        same: The statistic that must be the same of each example in runs that are compared.
        otherwise: What it means where it is not.
        instead: The metric to compare then.
        width: D, the statistics of an example.
        options: Keyword arguments of `formula`, as JSON.
        alone: More of them, for an example by itself.
        merges: Whether `formula` gives the same where all classes are counted as one.
        classes: Names of C classes where the statistics are counts by class: D = parts · C, all
            classes of the first part first.
    """

    full_state_update = False
    is_differentiable = False

    unit: ClassVar[Unit] = PLAIN
    formula: ClassVar[Callable[..., Array] | None] = None
    basis: ClassVar[str | None] = None
    field: ClassVar[str | None] = None
    has_interval: ClassVar[bool] = False
    groups: ClassVar[bool] = True
    fewest: ClassVar[int] = 0
    same: ClassVar[int | None] = None
    otherwise: ClassVar[str] = ""
    instead: ClassVar[str] = ""
    predictions: list[Any]
    targets: list[Any]
    summed: torch.Tensor
    width: int = 2
    options: Mapping[str, Any] = {}
    alone: Mapping[str, Any] = {}
    merges: bool = False
    classes: Sequence[str] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.formula is None:
            self.add_state("predictions", default=[], dist_reduce_fx=None)
            self.add_state("targets", default=[], dist_reduce_fx=None)
        else:
            none = torch.zeros(self.width, dtype=torch.float64)
            self.add_state("summed", default=none, dist_reduce_fx="sum")

    def example_statistics(self, prediction: Any, target: Any) -> Array:
        """Return what one example adds, (D,).

        Args:
            prediction: As the task has it: a label, the tags of a sentence, a text.
            target: Likewise; several labels or references as a list.
        """
        raise NotImplementedError(f"{type(self).__name__} has no statistics of examples")

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the statistics of many examples, (N, D)."""
        pairs = zip(predictions, targets, strict=True)
        rows = [np.asarray(self.example_statistics(p, t), float) for p, t in pairs]
        return np.array(rows, float).reshape(-1, self.width)

    def score(self, summed: Array, **more: Any) -> Array:
        """Return the values (...,) of summed statistics (..., D)."""
        formula = type(self).formula
        assert formula is not None
        values: Array = formula(np.asarray(summed, float), **{**self.options, **more})
        return values

    def of_split(self, predictions: Sequence[Any], targets: Sequence[Any]) -> float:
        """Return the value of a whole split, of a metric without statistics of examples."""
        raise NotImplementedError(f"{type(self).__name__} has neither a formula nor of_split")

    def of_rows(
        self, predictions: Sequence[Any], targets: Sequence[Any], rows: Rows | None
    ) -> float:
        """Return the value of a whole split, whose statistics are known.

        Args:
            predictions: Of the split.
            targets: Likewise.
            rows: Their statistics; None of a metric without.
        """
        if rows is None:
            return self.of_split(predictions, targets)
        return float(self.score(total(rows)))

    def of_examples(self, rows: Array) -> Array:
        """Return the value of each example by itself, (N,), from statistics (N, D)."""
        return self.score(rows, **self.alone)

    def interval(
        self, predictions: Sequence[Any], targets: Sequence[Any], rows: Rows | None
    ) -> Interval | None:
        """Return the 95 % bootstrap interval over examples; None where there is none.

        Args:
            predictions: Of the split.
            targets: Likewise.
            rows: Their statistics; None of a metric without.
        """
        del predictions, targets
        assert rows is not None
        drawn, sizes = self.grouped(rows) if self.groups else (rows, rows.shape[0])
        width = drawn.shape[1]
        return bootstrap.interval(
            lambda weights: self.score(np.asarray(weights @ drawn)), sizes, width=width
        )

    def grouped(self, rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
        """Return the distinct rows (K, D), and how many examples have each (K,)."""
        return bootstrap.grouped(rows)

    def update(self, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
        """Add some examples."""
        if self.formula is None:
            self.predictions += list(predictions)
            self.targets += list(targets)
        else:
            self.summed += torch.from_numpy(total(self.statistics(predictions, targets)))

    def compute(self) -> torch.Tensor:
        """Return the value of all examples that were added."""
        if self.formula is None:
            value = self.of_split(self.predictions, self.targets)
        else:
            value = float(self.score(self.summed.cpu().numpy()))
        return torch.tensor(value, dtype=torch.float64)

    def measure(self, name: str) -> Measure:
        """Return what is to be known of it where its class is not: in tables, tests, reports."""
        formula = type(self).formula
        return Measure(
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            statistics=None if formula is None else self.basis or name,
            score=None if formula is None else f"{formula.__module__}.{formula.__qualname__}",
            options=dict(self.options),
            alone=dict(self.alone),
            merges=self.merges,
            same=self.same,
            otherwise=self.otherwise,
            instead=self.instead,
        )
