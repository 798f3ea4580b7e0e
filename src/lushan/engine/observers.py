"""The callbacks of a run, made once, before the trainer that calls them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lushan.callbacks.checkpoints import Checkpoints
from lushan.callbacks.console import Console
from lushan.callbacks.csv_metrics import Record
from lushan.callbacks.ema import WeightAverage
from lushan.callbacks.guard import Guard
from lushan.common.units import measure_of
from lushan.config.build import build
from lushan.config.measures import measures
from lushan.engine.batch_plan import BatchPlan
from lushan.engine.components import Components
from lushan.engine.evaluating import VALIDATION
from lushan.engine.trainer import Trainer
from lushan.launch.signals import Signals


@dataclasses.dataclass(frozen=True)
class Observers:
    """The callbacks of a run, and those of them that are asked for more than their hooks.

    Attributes:
        callbacks: All of them, in the order in which they act.
        checkpoints: Saves states and the best weights.
        record: Writes `metrics.csv`, and counts the seconds.
        guard: Decides on steps that are not to be trusted.
        average: Keeps an average of the weights.
    """

    callbacks: list[pl.Callback]
    checkpoints: Checkpoints
    record: Record
    guard: Guard | None
    average: WeightAverage | None


def make_observers(
    cfg: Mapping[str, Any],
    folder: Path,
    signals: Signals,
    parts: Components,
    plan: BatchPlan,
    facts: Callable[[Trainer], dict[str, Any]],
) -> Observers:
    """Make the callbacks of a run: console, the config's, record, checkpoints, pruning."""
    known, main = measures(cfg), parts.task.main_metric
    nodes = {name: node for name, node in (cfg.get("callbacks") or {}).items() if node}
    own = f"{Checkpoints.__module__}.{Checkpoints.__qualname__}"
    checkpoints: Checkpoints = build(
        nodes.pop("checkpoints", {"_target_": own}),
        folder=folder / "checkpoints",
        monitor=f"val/{main}" if VALIDATION in parts.corpus.splits else None,
        higher_is_better=measure_of(known, main).higher_is_better is not False,
        signals=signals,
        facts=facts,
        elastic=bool(cfg["trainer"].get("elastic", False)),
    )
    record = Record(folder / "metrics.csv", [f"val/{name}" for name in known])
    shown = list(dict.fromkeys(["val/loss", f"val/{main}"]))
    named = [build(node, measures=known) for node in nodes.values()]
    # Checkpoints come last: what the others do after a step is part of what is saved.
    callbacks = [Console(plan.total_steps, shown, known), *named, record, checkpoints]
    if (pruning := pruning_of(cfg)) is not None:
        callbacks.append(pruning)  # it ends a run, once its state is saved
    return Observers(
        callbacks,
        checkpoints,
        record,
        guard=next((one for one in named if isinstance(one, Guard)), None),
        average=next((one for one in named if isinstance(one, WeightAverage)), None),
    )


def pruning_of(cfg: Mapping[str, Any]) -> pl.Callback | None:
    """Return the callback that prunes trials of a search; None where no search prunes."""
    trial = cfg.get("trial")
    if not trial or not trial.get("pruner"):
        return None
    from lushan.callbacks.trial_pruning import Pruning
    from lushan.search.trials import Ongoing

    ongoing = Ongoing(trial["storage"], trial["study"], trial["number"])
    measure = measure_of(measures(cfg), trial["metric"])
    return Pruning(trial["metric"], measure, ongoing, build(trial["pruner"], "trial.pruner"))
