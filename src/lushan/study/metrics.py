"""Metrics that a study names, checked before anything is trained for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lushan.common.units import measure_of
from lushan.errors import UserError, one_of
from lushan.study.claims import Claim, scaled
from lushan.study.plan import Plan
from lushan.text.vocabulary import forgets

PER_BYTE = ("bits_per_byte",)
"""Metrics that count what it takes to write a text down: all of it must be written."""
SPLITS = ("val", "test")
"""Prefixes of metrics' names."""


def require(plan: Plan, claims: Sequence[Claim]) -> None:
    """Each metric of tables, plots and claims must be one that some run will report.

    Raises:
        UserError: Names the metric, where it stands, and the nearest one that there is.
    """
    reported = plan.measures()
    known = [f"{split}/{name}" for split in SPLITS for name in reported]
    for key, metric in _named(plan, claims):
        if metric in known or (metric in reported and not key.startswith("claims.")):
            continue
        hint = one_of(metric, [*known, *reported], listed=known)
        raise plan.study.mistake("no run reports this metric", key, value=metric, hint=hint)
    for number, claim in enumerate(claims):
        scaled(plan.study, claim, measure_of(reported, claim.metric), f"claims.{number}")
    _require_comparable(plan, claims)


def _require_comparable(plan: Plan, claims: Sequence[Claim]) -> None:
    """Refuse metrics that a run's tokenizer makes incomparable.

    Some lose text of any kind; for others the complete runs have measured it.
    """
    named = list(_named(plan, claims))
    for run in plan.runs if named else ():
        try:
            result = run.folder.result()
        except UserError:  # reported where its state is
            result = None
        measured = result.not_comparable if result else {}
        lossy = forgets(run.config["processor"])
        for key, metric in named:
            reasons = [why for name, why in measured.items() if name.endswith(f"/{metric}")]
            reason = measured.get(metric) or next(iter(reasons), None)
            if metric.rpartition("/")[2] in PER_BYTE:
                reason = reason or lossy
            if reason is not None:
                raise plan.study.mistake(
                    f"this metric is not comparable between runs: {run.label}: {reason}",
                    key,
                    value=metric,
                    hint="Choose a lossless tokenizer, such as processor=bpe or "
                    "processor=chars_and_bytes, or another metric.",
                )


def _named(plan: Plan, claims: Iterable[Claim]) -> Iterator[tuple[str, str]]:
    """The key of each metric in the study's file, and the metric."""
    for i, table in enumerate(plan.study.tables):
        yield from ((f"tables.{i}.metrics.{n}", name) for n, name in enumerate(table.metrics))
    for i, plot in enumerate(plan.study.plots):
        if plot.metric is not None:
            yield f"plots.{i}.metric", plot.metric
    for i, claim in enumerate(claims):
        yield f"claims.{i}", claim.metric
