"""Plan of a search: its space, and what it optimises in which direction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import Measure, measure_of
from lushan.config.measures import main_metric
from lushan.errors import UserError


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search: its space, its metrics and its place.

    Attributes:
        name: Of the search, and of Optuna's study.
        folder: What it writes.
        space: Key to Optuna's distribution.
        fixed: Overrides of every trial.
        metrics: What is optimised: `val/entity_f1`.
        directions: Of each, `minimize` or `maximize`.
        seed: Of the sampler.
        measures: Unit and direction of each metric.
    """

    name: str
    folder: Path
    space: Mapping[str, Any]
    fixed: tuple[str, ...]
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    seed: int
    measures: Mapping[str, Measure]


def metrics_of(base: Mapping[str, Any]) -> list[str]:
    """Return what is optimised: what the config names, or else the main metric on validation."""
    wanted = base.get("optimized_metric")
    if wanted:
        return [wanted] if isinstance(wanted, str) else list(wanted)
    return [f"val/{main_metric(base)}"]


def directions_of(
    metrics: Sequence[str], measures: Mapping[str, Measure], asked: str | Sequence[str] | None
) -> list[str]:
    """Return for each metric whether it is minimized or maximized.

    Raises:
        UserError: A metric does not say it, or what the config says does not fit the metrics.
    """
    if asked is None:
        ways = {m: measure_of(measures, m).higher_is_better for m in metrics}
        for metric in (m for m, higher in ways.items() if higher is None):
            raise UserError(
                "this metric does not say whether higher or lower is better",
                key="hydra.sweeper.direction",
                value=metric,
                hint="Write hydra.sweeper.direction=minimize or maximize.",
            )
        return ["maximize" if higher else "minimize" for higher in ways.values()]
    given = [asked] if isinstance(asked, str) else list(asked)
    wrong = [one for one in given if one not in ("minimize", "maximize")]
    if wrong or len(given) != len(metrics):
        raise UserError(
            f"set minimize or maximize for each of {', '.join(metrics)}",
            key="hydra.sweeper.direction",
            value=asked,
        )
    return given


def require_prunable(metrics: Sequence[str]) -> None:
    """Refuse to prune trials of several metrics, or by what validation does not say."""
    if len(metrics) > 1:
        raise UserError(
            "pruning needs a single metric",
            key="hydra/sweeper/pruner",
            value=", ".join(metrics),
            hint="Remove the pruner, or search for one metric.",
        )
    (metric,) = metrics
    if not metric.startswith("val/"):
        raise UserError(
            "pruning needs a validation metric",
            key="optimized_metric",
            value=metric,
            hint=f"Write optimized_metric=val/{metric.rpartition('/')[2]}.",
        )
