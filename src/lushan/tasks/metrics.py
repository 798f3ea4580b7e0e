"""The metrics of a task: its own, and those that a config adds to them."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.common.units import LOSS, Measure
from lushan.errors import UserError
from lushan.metrics.evaluation import Measured, measured

if TYPE_CHECKING:  # torchmetrics takes its time, and what only predicts needs none of it
    from lushan.metrics.metric import Metric

Forms = Mapping[str, tuple[Any, Any]]
"""Name of a form to predictions and targets in it."""
CLASSES = 2
"""Classes that a metric is tried with before the data are read."""


class TaskMetrics(abc.ABC):
    """Metrics of a task: before it is configured, when its labels are known, and on a split."""

    labels: Sequence[str] = ()
    """The labels that were learned: entity types, classes; none for numbers."""

    main_metric: str
    """The one that chooses the best checkpoint."""

    BUILT_LATER: ClassVar[tuple[str, ...]] = ("metrics",)
    """Arguments whose nodes are handed over as callables: what only predicts builds none."""

    added: Mapping[str, Callable[..., Any]] = {}
    """Metrics that the config adds, by name: each builds its metric."""

    @classmethod
    @abc.abstractmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        """Return the metrics of a task configured like `node`, to be asked what they are.

        The loss is reported beside them. What takes its time is imported inside.
        """

    @classmethod
    def measures(
        cls, node: Mapping[str, Any], added: Mapping[str, Callable[..., Any]]
    ) -> dict[str, Measure]:
        """Return what a task configured like `node` reports, without the split's name.

        Raises:
            UserError: One of them is no metric, or not one of what this task predicts.
        """
        own = {"loss": LOSS}
        own |= {name: metric.measure(name) for name, metric in cls.own_metrics(node).items()}
        if not added:
            return own
        from lushan.metrics import added as adding

        for name, build in added.items():
            if name in own or not name.isidentifier():
                problem = (
                    "the task already has a metric with this name" if name in own else "not a name"
                )
                raise UserError(problem, key=f"task.metrics.{name}", hint="Choose another name.")
            metric = adding.make(name, build, CLASSES)
            own[name] = adding.measure(name, metric)
            if not isinstance(metric, adding.Metric):
                adding.form_of(name, metric, cls.samples(node, CLASSES))
        return own

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        """Return a few made-up predictions in each form that metrics of torchmetrics may take.

        Returns:
            Name of a form to (predictions, targets); none where no form fits.
        """
        return {}

    @property
    def classes(self) -> int:
        """Number of classes that metrics are made for."""
        return len(self.labels)

    def own_samples(self) -> Forms:
        """Return `samples` of this task, which knows its labels."""
        return self.samples({}, self.classes)

    def require_metrics(self) -> None:
        """Refuse an added metric that cannot be computed; called once, when labels are known.

        Raises:
            UserError: It takes no form of what this task predicts of so many classes.
        """
        if self.added:
            from lushan.metrics import added as adding

            for name, build in self.added.items():
                metric = adding.make(name, build, self.classes)
                if not isinstance(metric, adding.Metric):
                    adding.form_of(name, metric, self.own_samples())

    def measured(
        self,
        metrics: Mapping[str, Metric],
        predictions: Sequence[Any],
        targets: Sequence[Any],
        *,
        full: bool,
        examples: Sequence[int] | None = None,
        each: bool = False,
        records: Sequence[Mapping[str, Any]] = (),
        forms: Callable[[], Forms] | None = None,
    ) -> Measured:
        """Compute the metrics of a split, with those that the config adds.

        Args:
            metrics: The task's own.
            predictions: As they take them, one an example.
            targets: Likewise.
            full: Also intervals and the statistics of examples.
            examples: Places of the examples in the split, where these are not all.
            each: Also the value of each example by itself.
            records: The predictions as a run stores them.
            forms: Gives the predictions in the forms of `own_samples`. Where it is None, nothing
                is added.
        """
        found = measured(metrics, predictions, targets, full=full, examples=examples, each=each)
        if not self.added or forms is None:
            return found
        from lushan.metrics import added as adding

        others = {}
        for name, build in self.added.items():
            metric = adding.make(name, build, self.classes)
            if isinstance(metric, adding.Metric):
                theirs = adding.field_of(name, metric, records, predictions)
                more = measured({name: metric}, theirs, targets, full=full, examples=examples)
                found.add(more)
            else:
                others[name] = metric
                found.measures[name] = adding.measure(name, metric)
        if others:
            found.metrics |= adding.values(others, forms(), self.own_samples())
        return found

    @classmethod
    def monitored(cls, node: Mapping[str, Any]) -> str | None:
        """Return the main metric of a task configured like `node`: `monitor`, or its default.

        None is returned where only the task itself knows it.
        """
        stated = inspect.signature(cls).parameters.get("monitor")
        default = stated.default if stated is not None and isinstance(stated.default, str) else None
        return node.get("monitor") or default
