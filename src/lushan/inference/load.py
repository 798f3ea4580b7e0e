"""A trained run, ready to be used: task, tokenizer, model."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import torch

from lushan.checkpoint.weights import Damaged, load_weights
from lushan.config import code
from lushan.config.build import CALLED, build
from lushan.data import processing
from lushan.engine.components import make_encoder, require_stride
from lushan.errors import UserError
from lushan.inference import exported
from lushan.models import encoders
from lushan.run import checksums, remote_code
from lushan.run.artifacts import ENCODER, PROCESSOR, TASK_STATE, best_weights
from lushan.run.config_yaml import read_config
from lushan.run.files import CHANGED, intact
from lushan.run.identity import RESOLVED
from lushan.tasks.base import Task
from lushan.tasks.batches import Limits

if TYPE_CHECKING:
    from lushan.data.processing import Processor


class State(TypedDict, total=False):
    """Part of `task.json`: what tasks have learned of their data."""

    labels: list[str]
    weights: list[float] | None
    template: str | None


class Learned(TypedDict):
    """Content of `task.json`."""

    state: State
    limits: Limits
    columns: NotRequired[dict[str, Any]]


@dataclasses.dataclass
class Loaded:
    """A run's model and what belongs to it.

    Attributes:
        folder: The run's, or the exported one.
        cfg: Its config, resolved.
        task: With its labels.
        processor: Of transformers.
        model: With the evaluated weights, in evaluation mode.
        limits: How long a feature may be.
        columns: Option of the data to the column, or columns, that training has read.
        notes: For the reader of its answers.
    """

    folder: Path
    cfg: dict[str, Any]
    task: Task
    processor: Processor
    model: torch.nn.Module
    limits: Limits
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer; None where it has none."""
        return processing.tokenizer_of(self.processor)


def config_of(folder: str | Path) -> dict[str, Any]:
    """Read the config of a run that is to be used, or was exported.

    Raises:
        UserError: It is the folder of neither, or its config is not that of a run.
    """
    place = Path(folder)
    cfg = exported.config_of(place) if exported.is_exported(place) else read_config(folder)
    if missing := [key for key in CALLED if not isinstance(cfg.get(key), Mapping)]:
        raise UserError(
            f"this is not the config of a run: it does not have {missing[0]}",
            file=place / (exported.FILE if exported.is_exported(place) else "config.yaml"),
            hint="`lushan runs` lists all runs.",
        )
    return cfg


def quiet() -> None:
    """Keep advice and progress bars of transformers, and of peft about it, off the terminal."""
    from transformers import utils

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging: Any = utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load(folder: str | Path, cfg: dict[str, Any] | None = None) -> Loaded:
    """Read a run's model from its folder alone: no training data, no pretrained checkpoint.

    Args:
        folder: A run folder with a best checkpoint, or one that was exported.
        cfg: Its config, where some of it was changed.

    Raises:
        UserError: It is not the folder of a run, or has no whole checkpoint yet, or its code has
            changed since.
    """
    quiet()
    folder = Path(folder)
    cfg = config_of(folder) if cfg is None else cfg
    remote_code.require(cfg)
    if exported.graph_of(folder) is not None:
        cfg = in_float32(cfg)
    read = _read_exported if exported.is_exported(folder) else _read_run
    task, processor, model, trained, columns, notes = read(folder, cfg)
    limits = _limits(cfg, trained, model, processor)
    return Loaded(folder, cfg, task, processor, model.eval(), limits, columns, notes)


_Parts = tuple[Task, "Processor", Any, Limits, dict[str, Any], list[str]]
"""Task, processor, model, limits in training, columns, notes."""


def _read_run(folder: Path, cfg: dict[str, Any]) -> _Parts:
    notes = code.require_same(folder, cfg)
    weights = best_weights(folder)
    shape = checksums.verified(folder, ENCODER)
    task: Task = build(cfg["task"])
    with intact(folder / TASK_STATE):
        learned = checksums.read_json(folder, TASK_STATE, Learned)
        trained, columns = Limits(**learned["limits"]), dict(learned.get("columns", {}))
        task.restore(learned["state"])
    processor = processing.stored(folder)
    with intact(folder / TASK_STATE):
        task.use(processor)
    if cfg.get("peft"):
        # Its weights are the adapter's alone: the model under it is made again.
        with torch.random.fork_rng():
            encoder = make_encoder(cfg, task, processor)
    else:
        encoder = encoders.load(shape, task.auto_class, task.wrap)
    model = task.build(encoder)
    give_weights(model, weights)
    return task, processor, model, trained, columns, notes


def in_float32(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's config with the precision of graphs, whatever it was trained in."""
    known = {**(cfg.get(RESOLVED) or {}), "trainer.precision": "32-true"}
    return {**cfg, "trainer": {**cfg["trainer"], "precision": "32-true"}, RESOLVED: known}


def _read_exported(folder: Path, cfg: dict[str, Any]) -> _Parts:
    stored = exported.read(folder)
    notes = code.require_unchanged(stored["code"], folder, cfg)
    exported.require_unchanged(folder, stored)
    task: Task = build(cfg["task"])
    processor = exported.processor_of(folder)
    with intact(folder / exported.FILE):
        task.restore(stored["state"])
        task.use(processor)
    model = exported.model_of(folder, task, stored)
    return task, processor, model, stored["limits"], stored["columns"], notes


def columns_of(folder: Path) -> dict[str, Any]:
    """Return the option of the data to the column, or columns, that training has read."""
    if exported.is_exported(folder):
        return exported.read(folder)["columns"]
    learned: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        learned = checksums.read_json(folder, TASK_STATE)
    return dict(learned.get("columns", {}))


def give_weights(model: torch.nn.Module, weights: Path) -> None:
    """Give the model of a run the weights that it was trained to.

    Raises:
        UserError: They are damaged, or those of another model.
    """
    try:
        found = load_weights(weights)
    except Damaged as error:
        raise UserError(str(error), file=weights, hint="Train the run again.") from error
    try:
        model.load_state_dict(found)
    except RuntimeError as error:
        raise UserError(
            f"the weights do not match the model that {ENCODER}/config.json, {PROCESSOR} and "
            f"{TASK_STATE} describe: {str(error).splitlines()[-1].strip()}",
            file=weights,
            hint=CHANGED,
        ) from error


def _limits(cfg: dict[str, Any], trained: Limits, model: Any, processor: Processor) -> Limits:
    """Return how long a feature may be: as in training, unless the config was changed."""
    longest = cfg["data"].get("max_length") or trained.max_length
    bound = model.encoder.max_length
    if longest > trained.max_length and bound is not None and longest > bound:
        raise UserError(
            f"the encoder reads at most {bound} tokens", key="data.max_length", value=longest
        )
    limits = Limits(longest, cfg["data"].get("stride"))
    require_stride(limits, processor)
    return limits
