"""A trained run, ready to be used: task, tokenizer, model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from lushan.config import code
from lushan.config.build import build
from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.weights import Damaged, load_weights
from lushan.preparation import make_encoder
from lushan.runs import trust
from lushan.runs.earlier import ENCODER, TASK_STATE, TOKENIZER, best_weights
from lushan.runs.files import read_json
from lushan.runs.folder import read_config
from lushan.tasks.base import Limits, Task
from lushan.text import hub


@dataclasses.dataclass
class Loaded:
    """A run's model and what belongs to it.

    Attributes:
        folder: The run's.
        cfg: Its config, resolved.
        task: With its labels.
        tokenizer: Of transformers.
        model: With the judged weights, in evaluation mode.
        limits: How long a feature may be.
        notes: What whoever reads its answers must know.
    """

    folder: Path
    cfg: dict[str, Any]
    task: Task
    tokenizer: Any
    model: torch.nn.Module
    limits: Limits
    notes: list[str] = dataclasses.field(default_factory=list)


def load(folder: str | Path, cfg: dict[str, Any] | None = None) -> Loaded:
    """Read a run's model from its folder alone: no training data, no pretrained checkpoint.

    Args:
        folder: A run folder with a best checkpoint.
        cfg: Its config, where some of it was changed.

    Raises:
        UserError: It is not the folder of a run, or has no whole checkpoint yet, or its code has
            changed since.
    """
    folder = Path(folder)
    cfg = read_config(folder) if cfg is None else cfg
    trust.require(cfg)
    notes = code.require_same(folder, cfg)
    weights = best_weights(folder)
    learned = read_json(folder / TASK_STATE)
    from transformers import AutoTokenizer

    task: Task = build(cfg["task"])
    task.restore(learned["state"])
    place = hub.Place(str(folder / TOKENIZER))
    tokenizer = AutoTokenizer.from_pretrained(place.path, **place.options)
    task.use(tokenizer)
    if cfg.get("peft"):
        # Its weights are the adapter's alone: the model under it is made again.
        with torch.random.fork_rng():
            encoder = make_encoder(cfg, task, tokenizer)
    else:
        encoder = encoders.load(folder / ENCODER, task.purpose)
    model = task.build(encoder)
    try:
        model.load_state_dict(load_weights(weights))
    except Damaged as error:
        raise UserError(str(error), file=weights, hint="Train the run again.") from error
    return Loaded(
        folder=folder,
        cfg=cfg,
        task=task,
        tokenizer=tokenizer,
        model=model.eval(),
        limits=Limits(**learned["limits"]),
        notes=notes,
    )
