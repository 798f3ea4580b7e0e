"""The metrics that a study names, judged before anything is trained for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from lushan.config.check import metric_names
from lushan.errors import did_you_mean
from lushan.studies.claims import Claim
from lushan.studies.plan import Plan

SPLITS = ("val", "test")
"""What stands before a metric's name."""


def require(plan: Plan, claims: Sequence[Claim]) -> None:
    """Each metric of tables, plots and claims must be one that some run will report.

    Args:
        plan: The study, spelled out.
        claims: Its claims.

    Raises:
        UserError: Names the metric, where it stands, and the nearest one that there is.
    """
    reported = _reported(plan)
    known = [f"{split}/{name}" for split in SPLITS for name in reported]
    for key, metric in _named(plan, claims):
        if metric in known or (metric in reported and not key.startswith("claims.")):
            continue
        hint = did_you_mean(metric, [*known, *reported]) or f"There are {', '.join(known)}."
        raise plan.study.mistake("no run reports this metric", key, value=metric, hint=hint)


def _reported(plan: Plan) -> list[str]:
    """What the tasks of the runs report, without the split's name."""
    tasks = {json.dumps(run.config["task"], sort_keys=True): run.config for run in plan.runs}
    return list(dict.fromkeys(name for cfg in tasks.values() for name in metric_names(cfg)))


def _named(plan: Plan, claims: Iterable[Claim]) -> Iterator[tuple[str, str]]:
    """The key of each metric in the study's file, and the metric."""
    for i, table in enumerate(plan.study.tables):
        yield from ((f"tables.{i}.metrics.{n}", name) for n, name in enumerate(table.metrics))
    for i, plot in enumerate(plan.study.plots):
        if plot.metric is not None:
            yield f"plots.{i}.metric", plot.metric
    for i, claim in enumerate(claims):
        yield f"claims.{i}", claim.metric
