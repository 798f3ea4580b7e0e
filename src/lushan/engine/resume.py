"""State from which an interrupted run resumes: its newest whole one, if it fits the model."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from lushan.checkpoint.io import newest
from lushan.checkpoint.weights import WEIGHTS, shapes
from lushan.engine.trainer import Trainer
from lushan.errors import UserError

log = logging.getLogger(__name__)


def where_to_resume(folder: Path, trainer: Trainer, module: torch.nn.Module) -> Path | None:
    """Return the newest whole checkpoint of this run; many processes that read it look closer.

    Raises:
        UserError: Its weights are those of another model.
    """
    found, complaints = newest(folder / "checkpoints", quick=trainer.shards)
    for complaint in complaints:
        log.warning("skipping a damaged checkpoint: %s", complaint)
    if complaints:
        log.warning("resuming from %s", found or "the beginning")
    elif found:
        log.info("resuming from %s", found)
    if found:
        require_fitting(found, module)
    return found


def require_fitting(folder: Path, module: torch.nn.Module) -> None:
    """Compare the shapes of a checkpoint's weights with those of what is to take them.

    Raises:
        UserError: They differ; names the file and the first weight.
    """
    state = module.state_dict()
    for name, shape in shapes(folder).items():
        if name in state and list(state[name].shape) != shape:
            raise UserError(
                f"the state does not match this model: {name} is {shape} there, but "
                f"{list(state[name].shape)} here",
                file=folder / WEIGHTS,
                hint=f"Remove {folder}: the run then resumes from the previous state.",
            )
