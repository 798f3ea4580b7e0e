"""A trial of a search that ends early where it has no hope."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from lushan.callbacks.boundary import AtBoundary
from lushan.common.units import Measure, text
from lushan.errors import Pruned
from lushan.search.trials import Ongoing

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from pytorch_lightning import LightningModule


class Pruning(AtBoundary):
    """Reports each validation to the search, and ends the run if the pruner decides so.

    It stands behind the callback that saves: a pruned run has a checkpoint, and the same config
    resumes from there when it is started outside of the search. After the last validation there
    is nothing to save, and the run completes.
    """

    def __init__(self, metric: str, measure: Measure, trial: Ongoing, pruner: BasePruner) -> None:
        self.measure = measure
        self.metric, self.trial, self.pruner = metric, trial, pruner
        self.validations = 0
        self._hopeless: str | None = None

    @property
    def state_key(self) -> str:
        """Lightning's name for the saved state."""
        return "Pruning"

    def state_dict(self) -> dict[str, Any]:
        """The number of validations so far, and the pruner's decision after the last one."""
        return {"validations": self.validations, "hopeless": self._hopeless}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the count."""
        self.validations = int(state["validations"])
        self._hopeless = state["hopeless"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and ask; the first rank does it for all."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.validations += 1
        value = float(trainer.callback_metrics[self.metric])
        hopeless = False
        if trainer.is_global_zero and not math.isnan(value):
            self.trial.report(self.validations, value)
            hopeless = self.trial.is_hopeless(self.pruner)
        if trainer.world_size > 1:
            hopeless = bool(trainer.strategy.broadcast(hopeless))
        reason = f"{self.metric} {text(value, self.measure)} at validation {self.validations}"
        self._hopeless = reason if hopeless else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End where the run was killed between the saving of its state and its end."""
        self._end_if_hopeless(trainer)

    def on_boundary(
        self, trainer: pl.Trainer, pl_module: LightningModule, *, epoch_over: bool
    ) -> None:
        """End, once the state is saved."""
        self._end_if_hopeless(trainer)

    def _end_if_hopeless(self, trainer: pl.Trainer) -> None:
        if self._hopeless is None or trainer.fit_loop.done:
            return
        if trainer.is_global_zero:
            self.trial.mark_pruned(self._hopeless)
        raise Pruned(f"pruned by its search: {self._hopeless}")
