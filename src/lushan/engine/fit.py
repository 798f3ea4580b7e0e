"""One run carried out: from a checked config to numbers.

The story, in the order it is told: the parts, the trainer with its observers, fit, the best
checkpoint judged once.
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

import pytorch_lightning as pl
import torch

from lushan.callbacks.checkpoints import Checkpoints
from lushan.callbacks.console import Console
from lushan.callbacks.csv_metrics import Record
from lushan.checkpoint.gathered import read_weights
from lushan.checkpoint.io import FolderIO, write_weights
from lushan.checkpoint.weights import Damaged, load_weights, weights_hash
from lushan.common.units import Measure, measure_of
from lushan.config.build import build
from lushan.config.check import measures
from lushan.data.labelled import remembered
from lushan.data.processing import fingerprint
from lushan.data.source import Source
from lushan.engine.announce import (
    count_parameters,
    describe,
    evaluated_splits,
    notes_before,
    quiet_lightning,
)
from lushan.engine.batch_plan import Batching, Schedule, Streamed
from lushan.engine.components import Prepared, prepare
from lushan.engine.distributed.rank_launcher import RUN_FOLDER, others_named
from lushan.engine.lit_module import PREFIX, VALIDATION, Experiment
from lushan.engine.resolved import resolved
from lushan.engine.resume import where_to_resume
from lushan.engine.trainer import Trainer
from lushan.errors import RunFailed, UserError
from lushan.launch.signals import Signals
from lushan.models.own_code import save_shape
from lushan.optim import freeze_weights
from lushan.run import checksums
from lushan.run.artifacts import ENCODER, PROCESSOR, TASK_STATE
from lushan.run.config_yaml import record_resolved
from lushan.run.files import write_json
from lushan.tasks.base import Evaluation, Task

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Outcome:
    """What a run came to; the same on every rank.

    Attributes:
        task: With its labels.
        evaluations: Split to its evaluation.
        notes: What the reader of the numbers must know.
        best_step: Step of the judged weights; None where they are the last ones.
        steps: Optimizer steps in all.
        train_seconds: Of training with its validations, interruptions left out.
        train_examples: Examples that were trained on, each counted every time.
        train_tokens: Tokens of these, padding left out.
        parameters: Of the model, `all` and `trained`.
        processor_sha256: Fingerprint of the processor.
        weights_sha256: Of the judged weights.
        final_weights_sha256: Of the weights after the last step.
        checkpoint: Folder of the judged weights.
        data_fingerprint: Split to a hash of its rows.
        resolved: What `auto` and defaults came to.
    """

    task: Task
    evaluations: dict[str, Evaluation]
    notes: list[str]
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
    def reports(self) -> dict[str, Any]:
        """Split to level to class to scores."""
        return {PREFIX[s]: e.report for s, e in self.evaluations.items()}


def fit(
    cfg: Mapping[str, Any],
    folder: Path,
    signals: Signals,
    trackers: Sequence[Any] = (),
    choices: Mapping[str, str | None] | None = None,
) -> Outcome:
    """Carry out a run in its folder, from where it stands.

    Args:
        cfg: The checked config, in plain values.
        folder: The run folder, owned by this process (or by the first rank).
        signals: Where SIGTERM and Ctrl-C wait for the step to end.
        trackers: Lightning loggers that get copies of the numbers.
        choices: Hydra's group choices.

    Raises:
        RunFailed: The loss is not finite, or the disk refuses.
        UserError: The data or the interrupted run does not fit the config.
    """
    quiet_lightning()
    ready = prepare(cfg)
    # The other ranks of a DDP run, started by the trainer, find their run by it.
    os.environ[RUN_FOLDER] = str(folder)
    trainer, checkpoints, record = make_trainer(cfg, folder, signals, ready, trackers)
    experiment = make_experiment(cfg, ready, trainer)
    assert experiment.plan is not None
    # Of a stream the number of windows is not known: each has a step, and the last says so.
    steps = experiment.plan.total_steps
    trainer.follow(experiment.plan.epochs or steps, steps)
    shown = list(dict.fromkeys(["val/loss", f"val/{ready.task.main_metric}"]))
    trainer.observe(Console(steps, shown, measures(cfg)))
    known = notes_before(cfg, choices or {}, ready, experiment)
    if trainer.is_global_zero:
        describe(ready, experiment, known)
        keep_for_later(ready, folder)
        record_resolved(folder, checkpoints.facts)
        checksums.add(folder, checksums.AT_START)
        log.info("resolved: %s", ", ".join(f"{k}={v}" for k, v in checkpoints.facts.items()))
    if cfg["ckpt_path"]:
        start_from(Path(cfg["ckpt_path"]), ready.model)
    with others_named(trainer.strategy):
        if cfg["train"]:
            state = where_to_resume(folder, trainer, experiment)
            trainer.fit(experiment, ckpt_path=state, weights_only=None)
        return judge(cfg, trainer, experiment, checkpoints, ready, record, known)


def make_experiment(cfg: Mapping[str, Any], ready: Prepared, trainer: Trainer) -> Experiment:
    """The Lightning module of a run."""
    # Before the ranks wrap the model, which wait for the gradient of whatever learns then.
    freeze_weights(ready.model, cfg["optimizer"].get("freeze", ()))
    batching = dataclasses.replace(
        batching_of(cfg, ready.source, trainer, ready.row_tokens), mix=ready.corpus.mix
    )
    return Experiment(
        model=ready.model,
        task=ready.task,
        optimizer=lambda model: build(cfg["optimizer"], model=model),
        multiplier=build(cfg["scheduler"]),
        batching=batching,
        plan=plan_of(ready, batching),
        encoded=ready.encoded,
        tables=ready.corpus.splits,
        clip=trainer.clip_norm,
    )


def plan_of(ready: Prepared, batching: Batching) -> Schedule:
    """Which examples are learned when."""
    windows = ready.corpus.windows
    if windows is not None and ready.window is not None:
        return Streamed(ready.window, windows.window, batching)
    return Schedule(ready.encoded["train"], ready.corpus.splits["train"], batching)


def batching_of(
    cfg: Mapping[str, Any], source: Source, trainer: Trainer, row_tokens: int | None = None
) -> Batching:
    """How examples become batches; `row_tokens` is the length of rows that hold several."""
    return Batching(
        seed=cfg["seed"],
        batch_examples=source.batch_examples,
        batch_tokens=source.batch_tokens,
        micro_tokens=source.micro_tokens,
        eval_tokens=source.eval_tokens,
        bucket=source.bucket,
        max_epochs=trainer.wanted_epochs,
        max_steps=trainer.wanted_steps,
        limit=trainer.wanted_train_limit,
        row_tokens=row_tokens,
    )


def keep_for_later(ready: Prepared, folder: Path) -> None:
    """What prediction needs besides the weights: labels, tokenizer, the encoder's shape."""
    state = {"state": ready.task.state(), "limits": dataclasses.asdict(ready.limits)}
    # Columns that were found by their names in training are read by these names ever after.
    write_json(folder / TASK_STATE, {**state, "columns": remembered(ready.source)})
    encoder: Any = ready.model.encoder
    for name, save in (
        (PROCESSOR, ready.processor.save_pretrained),
        (ENCODER, functools.partial(save_shape, encoder)),
    ):
        # Anew at every start: what lies there was not looked at since.
        temporary = folder / f".tmp-{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        save(temporary)
        shutil.rmtree(folder / name, ignore_errors=True)
        temporary.rename(folder / name)


def make_trainer(
    cfg: Mapping[str, Any],
    folder: Path,
    signals: Signals,
    ready: Prepared,
    trackers: Sequence[Any],
) -> tuple[Trainer, Checkpoints, Record]:
    """The trainer with its observers."""
    task = ready.task
    known = measures(cfg)
    columns = [f"val/{name}" for name in known]
    nodes = {name: node for name, node in (cfg.get("callbacks") or {}).items() if node}
    own = f"{Checkpoints.__module__}.{Checkpoints.__qualname__}"
    checkpoints: Checkpoints = build(
        nodes.pop("checkpoints", {"_target_": own}),
        folder=folder / "checkpoints",
        monitor=f"val/{task.main_metric}" if VALIDATION in ready.corpus.splits else None,
        higher_is_better=measure_of(known, task.main_metric).higher_is_better is not False,
        signals=signals,
        facts={},
    )
    record = Record(folder / "metrics.csv", columns)
    # Checkpoints come last: what the others do after a step is part of what is saved.
    callbacks: list[pl.Callback] = [*(build(node) for node in nodes.values()), record, checkpoints]
    if (pruning := pruning_of(cfg)) is not None:
        callbacks.append(pruning)  # it ends a run, once its state is saved
    trainer: Trainer = build(
        cfg["trainer"],
        callbacks=callbacks,
        logger=list(trackers) or False,
        plugins=[FolderIO()],
        default_root_dir=str(folder),
    )
    checkpoints.facts = resolved(trainer, ready.model)
    checkpoints.elastic = trainer.elastic
    return trainer, checkpoints, record


def pruning_of(cfg: Mapping[str, Any]) -> pl.Callback | None:
    """What ends a hopeless trial of a search early; None where no search prunes."""
    trial = cfg.get("trial")
    if not trial or not trial.get("pruner"):
        return None
    from lushan.callbacks.trial_pruning import Pruning
    from lushan.search.trials import Ongoing

    ongoing = Ongoing(trial["storage"], trial["study"], trial["number"])
    measure = measure_of(measures(cfg), trial["metric"])
    return Pruning(trial["metric"], measure, ongoing, build(trial["pruner"], "trial.pruner"))


def start_from(path: Path, model: torch.nn.Module) -> None:
    """Give a model the weights that `ckpt_path` names.

    Args:
        path: A folder with `weights.safetensors`, such as a run's `checkpoints/best`.
        model: Of the same shape.

    Raises:
        UserError: There are none, or they are not what was written, or of another model.
    """
    hint = "Write the path of a run's checkpoints/best, or of a step-... folder beside it."
    try:
        weights = load_weights(path)
        if all(name.startswith("model.") for name in weights):  # a state's, of the whole module
            weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
        model.load_state_dict(weights)
    except Damaged as error:
        raise UserError(str(error), key="ckpt_path", value=str(path), hint=hint) from error
    except RuntimeError as error:
        raise UserError(
            f"the weights are those of another model: {str(error).splitlines()[-1].strip()}",
            key="ckpt_path",
            value=str(path),
            hint=hint,
        ) from error


def judge(
    cfg: Mapping[str, Any],
    trainer: Trainer,
    experiment: Experiment,
    checkpoints: Checkpoints,
    ready: Prepared,
    record: Record,
    known: Sequence[str],
) -> Outcome:
    """Score the best weights once: on validation with everything, on test where there is one."""
    steps = trainer.global_step
    final = weights_hash(experiment.model.state_dict())
    best = best_folder(checkpoints)
    if best is not None:
        load_into(experiment.model, best)
    else:
        best = checkpoints.best_folder(steps)
        write_weights(best, experiment.judged_weights(), first=trainer.is_global_zero)
        trainer.strategy.barrier()
        load_into(experiment.model, best)
    experiment.ema = None
    evaluations = {s: evaluate(trainer, experiment, s) for s in evaluated_splits(cfg, ready)}
    notes = [f"{s}: {note}" for s, e in evaluations.items() for note in e.notes]
    assert experiment.plan is not None
    return Outcome(
        task=ready.task,
        evaluations=evaluations,
        notes=[*known, *checkpoints.notes(), *notes],
        best_step=checkpoints.best_step,
        steps=steps,
        train_seconds=round(record.trained, 3),
        train_examples=experiment.running["examples"],
        train_tokens=experiment.running["tokens"],
        parameters=count_parameters(experiment.model),
        processor_sha256=fingerprint(ready.processor),
        weights_sha256=weights_hash(experiment.model.state_dict()),
        final_weights_sha256=final,
        checkpoint=best,
        data_fingerprint=ready.corpus.fingerprint(),
        resolved=checkpoints.facts,
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


def evaluate(trainer: Trainer, experiment: Experiment, split: str) -> Evaluation:
    """All metrics, intervals and example records of one split."""
    experiment.judged_split = split
    trainer.test(experiment, verbose=False)
    return experiment.evaluations[split]
