"""Callbacks that act between optimizer steps, after all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytorch_lightning as pl

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


class AtBoundary(pl.Callback):
    """A callback that is called at boundaries between steps; see `lushan.engine.loops`.

    It may save, report or end the run. It must not change what is saved: of two such callbacks the
    first one saves, and what the second one changes would be lost.
    """

    def on_boundary(
        self, trainer: pl.Trainer, pl_module: LightningModule, *, epoch_over: bool
    ) -> None:
        """Act after a step or an epoch, when all else has acted."""
