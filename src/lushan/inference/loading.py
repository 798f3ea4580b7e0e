"""A trained run, ready to be used: task, tokenizer, model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from lushan.callbacks.checkpoints import Damaged, load_weights
from lushan.config.build import build
from lushan.errors import UserError
from lushan.fitting import BEST, ENCODER, TASK_STATE, TOKENIZER
from lushan.models import encoders
from lushan.runs.files import read_json
from lushan.runs.folder import read_config
from lushan.tasks.base import Limits, Task


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
    """

    folder: Path
    cfg: dict[str, Any]
    task: Task
    tokenizer: Any
    model: torch.nn.Module
    limits: Limits


def load(folder: str | Path, cfg: dict[str, Any] | None = None) -> Loaded:
    """Read a run's model from its folder alone: no training data, no pretrained checkpoint.

    Args:
        folder: A run folder with a best checkpoint.
        cfg: Its config, where some of it was changed.

    Raises:
        UserError: It is not the folder of a run, or has no whole checkpoint yet.
    """
    folder = Path(folder)
    cfg = read_config(folder) if cfg is None else cfg
    weights = best_weights(folder)
    learned = read_json(folder / TASK_STATE)
    from transformers import AutoTokenizer

    task: Task = build(cfg["task"])
    task.restore(learned["state"])
    model = task.build(encoders.load(folder / ENCODER))
    try:
        model.load_state_dict(load_weights(weights))
    except Damaged as error:
        raise UserError(str(error), file=weights, hint="Train the run again.") from error
    return Loaded(
        folder=folder,
        cfg=cfg,
        task=task,
        tokenizer=AutoTokenizer.from_pretrained(folder / TOKENIZER, local_files_only=True),
        model=model.eval(),
        limits=Limits(**learned["limits"]),
    )


def best_weights(folder: Path) -> Path:
    """The best checkpoint's folder: `best` of a complete run, `best-<step>` of another."""
    checkpoints = folder / "checkpoints"
    found = [checkpoints / BEST, *sorted(checkpoints.glob(f"{BEST}-*"), reverse=True)]
    whole = next((path for path in found if path.is_dir()), None)
    if whole is None:
        raise UserError(
            "the run has no best checkpoint yet",
            file=folder,
            hint="Train it to its first validation; `lushan runs` shows the state of each run.",
        )
    return whole
