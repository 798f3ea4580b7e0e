"""Layers compiled for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from lushan.compat.torch import compile_any_sizes
from lushan.models.backbone import blocks

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


class Compiled(pl.Callback):
    """Compile the model's layers (`torch.compile`) when training begins.

    Each layer is compiled by itself: all share one compiled graph, and embeddings, heads and the
    loss stay as they are. Sizes of batches may change: the first one gets a graph of its own, the
    second a graph for all sizes. Names of weights stay what they are, and evaluation runs
    uncompiled, so that `lushan eval` finds the same numbers.

    What a compiled graph computes in the last bits may depend on the sizes it was first made for.
    So the first batches of the *run* are passed through it before the first step, also where a run
    resumes in the middle: it gets the same graphs again.
    """

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Compile before the strategy cuts the model."""
        if stage != "fit":
            return
        # Beyond the limit a layer would run uncompiled, without a word: each size of one, each kind
        # of mask and training itself have their graphs.
        compile_any_sizes(recompile_limit=64)
        for block in blocks(pl_module.model.encoder):
            block.compile()
        pl_module.model.encoder.compiled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Make the graphs, from what the run begins with."""
        pl_module.rehearse()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Use the uncompiled layers."""
        _use(pl_module, compiled=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Compiled again."""
        _use(pl_module, compiled=True)

    def on_test_start(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Use the uncompiled layers."""
        _use(pl_module, compiled=False)

    def on_test_end(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Use the compiled layers again."""
        _use(pl_module, compiled=True)


def _use(pl_module: Any, *, compiled: bool) -> None:
    """Run the layers as they were compiled, or as they are evaluated everywhere else."""
    torch.compiler.set_stance("default" if compiled else "force_eager")
    pl_module.model.encoder.compiled = compiled
