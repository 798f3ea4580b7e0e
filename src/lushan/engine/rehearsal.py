"""The first passes of a run, made once more beforehand: compiled layers get their graphs."""

from __future__ import annotations

from typing import Any

from lushan.engine.distributed.shares import data_share, walks_together
from lushan.models import dropout

REHEARSED = 8
"""Batches that compiled layers see before the first step."""


def rehearse(module: Any) -> None:
    """Go through what the run begins with, and forget it.

    The first batches, and the smallest of the first epoch, show what sizes and masks there are.
    """
    trainer = module.trainer
    loader = module.training_loader(0, share=data_share(trainer), in_step=walks_together(trainer))
    smallest = min(loader.batches, key=lambda batch: int(loader.lengths[batch].sum()))
    module.model.train()
    for batch in [*loader.batches[:REHEARSED], smallest]:
        assembled = loader.assemble(batch)
        for micro, pieces in zip(assembled["micro"], assembled["pieces"], strict=True):
            moved = trainer.strategy.batch_to_device(micro, module.device)
            with dropout.masked(module.masks(pieces)):
                with trainer.precision_plugin.train_step_context():
                    loss = module.through(module.loss_of, moved)
                loss.backward()
    module.zero_grad()
