"""One run, from a checked config to numbers.

In this order: components, batch plan, callbacks, trainer, module; training; the best checkpoint
evaluated once. Each is complete when it is constructed, from those before it.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lushan.callbacks.checkpoints import Checkpoints
from lushan.checkpoint.gathered import read_weights
from lushan.checkpoint.io import FolderIO, write_weights
from lushan.checkpoint.weights import Damaged, load_weights, weights_hash
from lushan.common.units import Measure
from lushan.config.build import build
from lushan.data.labelled import remembered
from lushan.data.processing import fingerprint
from lushan.data.record_schema import RecordSchema
from lushan.data.source import Source
from lushan.engine import micro_batches
from lushan.engine.announce import (
    count_parameters,
    describe,
    evaluated_splits,
    notes_before,
)
from lushan.engine.batch_plan import Batching, BatchPlan, Streamed
from lushan.engine.components import Components, build_components
from lushan.engine.distributed.rank_launcher import RUN_FOLDER, others_named
from lushan.engine.evaluating import PREFIX
from lushan.engine.limits import TrainLimits
from lushan.engine.lit_module import LitModule
from lushan.engine.observers import Observers, make_observers
from lushan.engine.quieting import quiet_lightning
from lushan.engine.resolved import attention_of, resolved
from lushan.engine.resume import where_to_resume
from lushan.engine.trainer import Trainer, make_trainer
from lushan.errors import RunFailed, UserError
from lushan.launch.signals import Signals
from lushan.models.own_code import save_shape
from lushan.run import checksums
from lushan.run.artifacts import ENCODER, PROCESSOR, TASK_STATE
from lushan.run.config_yaml import record_resolved
from lushan.run.files import sha256_file, write_json
from lushan.tasks.base import Task
from lushan.tasks.evaluation import Evaluation

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FitResult:
    """Result of training; the same on every rank.

    Attributes:
        task: With its labels.
        evaluations: Split to its evaluation.
        notes: What the reader of the numbers must know.
        announced: Those of the notes that were printed before training.
        best_step: Step of the evaluated weights; None where they are the last ones.
        steps: Optimizer steps in all.
        train_seconds: Of training with its validations, interruptions left out.
        train_examples: Examples that were trained on, each counted every time.
        train_tokens: Tokens of these, padding left out.
        parameters: Of the model, `all` and `trained`.
        processor_sha256: Fingerprint of the processor.
        weights_sha256: Of the evaluated weights.
        final_weights_sha256: Of the weights after the last step.
        checkpoint: Folder of the evaluated weights.
        data_fingerprint: Split to a hash of its rows.
        resolved: Values of `auto` and of defaults.
    """

    task: Task
    evaluations: dict[str, Evaluation]
    notes: list[str]
    announced: tuple[str, ...]
    best_step: int | None
    steps: int
    train_seconds: float
    train_examples: int
    train_tokens: int
    parameters: dict[str, int]
    processor_sha256: str
    weights_sha256: str
    final_weights_sha256: str
    checkpoint: Path
    data_fingerprint: dict[str, str]
    resolved: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Flat: `val/entity_f1`."""
        return {
            f"{PREFIX[split]}/{name}": value
            for split, evaluation in self.evaluations.items()
            for name, value in evaluation.metrics.items()
        }

    @property
    def intervals(self) -> dict[str, list[float | None]]:
        """Flat: `val/entity_f1` to [low, high]."""
        return {
            f"{PREFIX[split]}/{name}": list(interval)
            for split, evaluation in self.evaluations.items()
            for name, interval in evaluation.intervals.items()
        }

    @property
    def not_comparable(self) -> dict[str, str]:
        """Flat: `val/bits_per_byte` to the reason."""
        return {
            f"{PREFIX[split]}/{name}": reason
            for split, evaluation in self.evaluations.items()
            for name, reason in evaluation.not_comparable.items()
        }

    @property
    def measures(self) -> dict[str, Measure]:
        """Flat: `val/entity_f1` to what is to be known of the metric."""
        return {
            f"{PREFIX[split]}/{name}": measure
            for split, evaluation in self.evaluations.items()
            for name, measure in evaluation.measures.items()
        }

    @property
    def schema(self) -> RecordSchema:
        """Fields and roles of the entries of the stored predictions."""
        entries = dict(self.task.record_fields)
        for evaluation in self.evaluations.values():
            entries |= evaluation.record_fields
        return RecordSchema(entries)

    @property
    def reports(self) -> dict[str, Any]:
        """Split to level to class to scores."""
        return {PREFIX[s]: e.report for s, e in self.evaluations.items()}


def fit(
    cfg: Mapping[str, Any],
    folder: Path,
    signals: Signals,
    source: Source,
    trackers: Sequence[Any] = (),
    choices: Mapping[str, str | None] | None = None,
) -> FitResult:
    """Train a run in its folder, from where it stands, and evaluate its best weights.

    Args:
        cfg: The checked config, in plain values.
        folder: The run folder, owned by this process (or by the first rank).
        signals: Where SIGTERM and Ctrl-C wait for the step to end.
        source: The config's data source.
        trackers: Lightning loggers that get copies of the numbers.
        choices: Hydra's group choices.

    Raises:
        RunFailed: The loss is not finite, or the disk refuses.
        UserError: The data or the interrupted run does not fit the config.
    """
    quiet_lightning()
    micro_batches.require_measurable(cfg)
    limits = TrainLimits.of(cfg["trainer"])
    parts = build_components(cfg, source)
    if cfg["ckpt_path"]:
        start_from(Path(cfg["ckpt_path"]), parts.model)
    plan = plan_of(parts, batching_of(cfg, parts, limits))
    micro_tokens = micro_batches.settled(cfg, parts, plan, folder)
    # The other ranks of a DDP run, started by the trainer, find their run by it.
    os.environ[RUN_FOLDER] = str(folder)
    micro = {} if source.micro_tokens is None else {micro_batches.KEY: micro_tokens}
    facts = functools.partial(resolved, attention=attention_of(parts.model), more=micro)
    observers = make_observers(cfg, folder, signals, parts, plan, facts)
    trainer = make_trainer(
        cfg["trainer"],
        limits,
        plan,
        callbacks=observers.callbacks,
        logger=list(trackers) or False,
        plugins=[FolderIO()],
        default_root_dir=str(folder),
    )
    batching = dataclasses.replace(plan.batching, micro_tokens=micro_tokens)
    module = make_module(cfg, parts, plan, observers, batching)
    notes = notes_before(cfg, choices or {}, parts, plan) + remembered_once(cfg, trainer, parts)
    if trainer.is_global_zero:
        describe(parts, plan, notes)
        keep_for_later(parts, folder)
        found = facts(trainer)
        record_resolved(folder, found)
        checksums.add(folder, checksums.AT_START)
        log.info("resolved: %s", ", ".join(f"{k}={v}" for k, v in found.items()))
    with others_named(trainer.strategy):
        if cfg["train"]:
            state = where_to_resume(folder, trainer, module)
            trainer.fit(module, ckpt_path=state, weights_only=None)
        fitted = evaluate_best(cfg, trainer, module, observers, parts, notes, facts(trainer))
        if trainer.is_global_zero:
            write_state(parts, folder)
            checksums.add(folder, (), {TASK_STATE: sha256_file(folder / TASK_STATE)})
        return fitted


def remembered_once(cfg: Mapping[str, Any], trainer: Trainer, parts: Components) -> list[str]:
    """Have the task compute once what a frozen part of the model makes of examples."""
    if parts.corpus.windows is not None:  # the examples of a stream are not known in advance
        return []
    folder = Path(cfg["paths"]["cache_dir"]) / "states"
    device = trainer.strategy.root_device
    return parts.task.remember(parts.model, parts.encoded, folder, device)


def make_module(
    cfg: Mapping[str, Any],
    parts: Components,
    plan: BatchPlan,
    observers: Observers | None = None,
    batching: Batching | None = None,
) -> LitModule:
    """Make the Lightning module of a run; without observers it is only inspected."""
    return LitModule(
        model=parts.model,
        task=parts.task,
        optimizer=lambda model: build(cfg["optimizer"], model=model),
        multiplier=build(cfg["scheduler"]),
        batching=batching or plan.batching,
        plan=plan,
        encoded=parts.encoded,
        tables=parts.corpus.splits,
        clip=cfg["trainer"].get("gradient_clip_val"),
        guard=None if observers is None else observers.guard,
        average=None if observers is None else observers.average,
    )


def plan_of(parts: Components, batching: Batching) -> BatchPlan:
    """Return which examples are learned when."""
    windows = parts.corpus.windows
    if windows is not None and parts.window is not None:
        return Streamed(parts.window, windows.window, batching)
    return BatchPlan(parts.encoded["train"], parts.corpus.splits["train"], batching)


def batching_of(cfg: Mapping[str, Any], parts: Components, limits: TrainLimits) -> Batching:
    """Return how a run's examples become batches."""
    return dataclasses.replace(
        size_of_batches(cfg, parts.source),
        limits=limits,
        row_tokens=parts.row_tokens,
        mix=parts.corpus.mix,
    )


def size_of_batches(cfg: Mapping[str, Any], source: Source) -> Batching:
    """Return how a source's examples become batches, each in a row of its own."""
    return Batching(
        seed=cfg["seed"],
        batch_examples=source.batch_examples,
        batch_tokens=source.batch_tokens,
        micro_tokens=source.micro_tokens if isinstance(source.micro_tokens, int) else None,
        eval_tokens=source.eval_tokens,
        bucket=source.bucket,
        by_group=source.batch_by_group,
    )


def keep_for_later(parts: Components, folder: Path) -> None:
    """Write what prediction needs besides the weights: labels, processor, the encoder's shape."""
    write_state(parts, folder)
    encoder: Any = parts.model.encoder
    for name, save in (
        (PROCESSOR, parts.processor.save_pretrained),
        (ENCODER, functools.partial(save_shape, encoder)),
    ):
        # At every start: what lies there was not inspected since.
        temporary = folder / f".tmp-{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        save(temporary)
        shutil.rmtree(folder / name, ignore_errors=True)
        temporary.rename(folder / name)


def write_state(parts: Components, folder: Path) -> None:
    """Write what the task has learned of its data, and what it has chosen by validation."""
    state = {"state": parts.task.state(), "limits": dataclasses.asdict(parts.limits)}
    # Columns that were found by their names in training are read by these names ever after.
    write_json(folder / TASK_STATE, {**state, "columns": remembered(parts.source)})


def start_from(path: Path, model: torch.nn.Module) -> None:
    """Give a model the weights that `ckpt_path` names.

    Args:
        path: A folder with `weights.safetensors`, such as a run's `checkpoints/best`.
        model: Of the same shape.

    Raises:
        UserError: There are none, or they are not what was written, or of another model.
    """
    hint = "Write the path of a run's checkpoints/best, or of a step-... folder next to it."
    try:
        weights = load_weights(path)
        if all(name.startswith("model.") for name in weights):  # a state's, of the whole module
            weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        model.load_state_dict(weights)
    except Damaged as error:
        raise UserError(str(error), key="ckpt_path", value=str(path), hint=hint) from error
    except RuntimeError as error:
        raise UserError(
            f"the weights do not match this model: {str(error).splitlines()[-1].strip()}",
            key="ckpt_path",
            value=str(path),
            hint=hint,
        ) from error


def evaluate_best(
    cfg: Mapping[str, Any],
    trainer: Trainer,
    module: LitModule,
    observers: Observers,
    parts: Components,
    notes: Sequence[str],
    facts: dict[str, Any],
) -> FitResult:
    """Evaluate the best weights once: on validation in full, and on test where there is one."""
    checkpoints, steps = observers.checkpoints, trainer.global_step
    final = weights_hash(module.model.state_dict())
    best = best_folder(checkpoints)
    if best is None:
        best = checkpoints.best_folder(steps)
        write_weights(best, module.eval_weights(), first=trainer.is_global_zero)
        trainer.strategy.barrier()
    load_into(module.model, best)
    evaluations = {split: module.test_on(trainer, split) for split in evaluated_splits(cfg, parts)}
    found = [f"{split}: {note}" for split, e in evaluations.items() for note in e.notes]
    return FitResult(
        task=parts.task,
        evaluations=evaluations,
        notes=[*notes, *checkpoints.notes(), *found],
        announced=tuple(notes),
        best_step=checkpoints.best_step,
        steps=steps,
        train_seconds=round(observers.record.trained, 3),
        train_examples=module.running.examples,
        train_tokens=module.running.tokens,
        parameters=count_parameters(module.model),
        processor_sha256=fingerprint(parts.processor),
        weights_sha256=weights_hash(module.model.state_dict()),
        final_weights_sha256=final,
        checkpoint=best,
        data_fingerprint=parts.corpus.fingerprint(),
        resolved=facts,
    )


def load_into(model: torch.nn.Module, folder: Path) -> None:
    """Give a model the weights of a checkpoint folder.

    Raises:
        RunFailed: They are missing or not what was written.
    """
    try:
        read_weights(model, folder)
    except Damaged as error:
        raise RunFailed(f"the best checkpoint cannot be read: {error}") from error


def best_folder(checkpoints: Checkpoints) -> Path | None:
    """The best weights' folder; None where there was no validation to choose by."""
    if checkpoints.monitor is None or checkpoints.best_step is None:
        return None
    path = checkpoints.best_folder(checkpoints.best_step)
    if not path.is_dir():
        raise RunFailed(f"there is no best checkpoint at {path}; nothing was tested")
    return path
