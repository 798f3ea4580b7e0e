"""Metrics that a config adds to a task's own: any class of torchmetrics, or one of the user's.

A class of torchmetrics takes tensors or texts in a form of its own: probabilities or classes, one
reference or several. A task says in which forms it has its predictions, and the first one that the
metric takes is used; which one that is, a few made-up predictions show before anything is trained.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchmetrics

from lushan.common.units import Measure
from lushan.errors import UserError, first_line
from lushan.metrics.metric import Metric

__all__ = ["Metric", "field_of", "form_of", "make", "measure", "values"]

Make = Callable[..., Any]
"""Builds what a node under `task.metrics` names; takes what only the run knows."""
Forms = Mapping[str, tuple[Any, Any]]
"""Name of a form to predictions and targets in it."""


def make(name: str, build: Make, classes: int) -> torchmetrics.Metric:
    """Build a metric.

    Raises:
        UserError: What is built is no metric, or its arguments ask for too much.
    """
    try:
        metric = build(num_classes=classes, num_labels=classes)
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise UserError(
            f"this metric cannot be created: {first_line(error)}", key=f"task.metrics.{name}"
        ) from error
    if not isinstance(metric, torchmetrics.Metric):
        raise UserError(
            f"this is not a torchmetrics metric but a {type(metric).__name__}",
            key=f"task.metrics.{name}",
            hint="For example, _target_: torchmetrics.text.WordErrorRate.",
        )
    if isinstance(metric, Metric):
        metric.basis = None  # type: ignore[misc]  # its statistics are its own
    # Every rank has the predictions of all: the value must not be added up once more.
    metric.sync_on_compute = False
    return metric


def measure(name: str, metric: torchmetrics.Metric) -> Measure:
    """Return what is to be known of a metric where its class is not."""
    if isinstance(metric, Metric):
        return metric.measure(name)
    return Measure(higher_is_better=metric.higher_is_better)


def form_of(name: str, metric: torchmetrics.Metric, samples: Forms) -> str:
    """Return the form of predictions that a metric takes.

    Args:
        name: Its name in the config.
        metric: Stays as it is.
        samples: A few made-up predictions in each form that the task has.

    Raises:
        UserError: It takes none of them, or does not compute one number.
    """
    key, problems = f"task.metrics.{name}", []
    if not samples:
        raise UserError(
            "the predictions of this task do not fit a torchmetrics metric",
            key=key,
            value=type(metric).__name__,
            hint="You can add your own subclass of lushan.metrics.metric.Metric.",
        )
    for form, pair in samples.items():
        try:
            value(copy.deepcopy(metric), pair)
        except Exception as error:  # noqa: BLE001  (whatever a metric raises is the reason)
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            problems.append(f"{form}: {first}")
        else:
            return form
    raise UserError(
        f"this metric cannot be computed from the task's predictions ({'; '.join(problems)})",
        key=key,
        value=type(metric).__name__,
        hint="Choose another class, or other arguments.",
    )


def value(metric: torchmetrics.Metric, pair: tuple[Any, Any]) -> float:
    """Return the value of a metric for some predictions and targets.

    Raises:
        ValueError: It is not one number.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of undefined values, which are reported as nan
        metric.reset()
        metric.update(*pair)
        found: Any = metric.compute()
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        return float(found)
    if isinstance(found, int | float):
        return float(found)
    raise ValueError(f"it computes {_described(found)}, but a metric must be one number")


def field_of(
    name: str, metric: Metric, records: Sequence[Mapping[str, Any]], predictions: Sequence[Any]
) -> Sequence[Any]:
    """Return the predictions as one of the user's metrics takes them.

    Raises:
        UserError: The predictions have no such field.
    """
    if metric.field is None:
        return predictions
    for record in records:
        if metric.field not in record:
            raise UserError(
                f"a prediction of this task has no {metric.field}",
                key=f"task.metrics.{name}",
                value=type(metric).__name__,
                hint=f"Set `field` to one of {', '.join(record)}.",
            )
    return [record[metric.field] for record in records]


def empty(pair: tuple[Any, Any]) -> bool:
    """Return whether there is nothing to be measured: the value is nan then."""
    return len(pair[0]) == 0


def values(
    metrics: Mapping[str, torchmetrics.Metric], forms: Forms, samples: Forms
) -> dict[str, float]:
    """Return the values of a split by some metrics of torchmetrics.

    Args:
        metrics: By name.
        forms: The split's predictions in each form.
        samples: See `form_of`.
    """
    found = {}
    for name, metric in metrics.items():
        pair = forms[form_of(name, metric, samples)]
        found[name] = math.nan if empty(pair) else value(metric, pair)
    return found


def _described(found: object) -> str:
    if isinstance(found, torch.Tensor):
        return f"{found.numel()} numbers"
    return f"a {type(found).__name__}"
