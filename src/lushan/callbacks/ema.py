"""Validation and the best checkpoint have an exponential moving average of the weights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import pytorch_lightning as pl
from torch import Tensor

from lushan.configurable import Within, configurable
from lushan.models.ema import EMA

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


@configurable
class WeightAverage(pl.Callback):
    """Average the weights (Polyak and Juditsky, 1992); the average is evaluated, not the last ones.

    Args:
        decay: Decay: weight of the old average at each step.
        warmup: Whether to limit the decay at the start to `(1 + step) / (10 + step)`.
    """

    def __init__(
        self, decay: Annotated[float, Within(least=0, most=1)] = 0.999, *, warmup: bool = True
    ) -> None:
        self.decay, self.warmup = decay, warmup
        self.ema: EMA | None = None
        self._saved: dict[str, Any] | None = None
        self._swapped: contextlib.AbstractContextManager[Any] | None = None

    @property
    def state_key(self) -> str:
        """Lightning's name for the saved state."""
        return "WeightAverage"

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin the average, or take the saved one over."""
        self.ema = EMA(pl_module.model, decay=self.decay, warmup=self.warmup)
        if self._saved is not None:
            self.ema.load_state_dict(self._saved)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Move the average."""
        assert self.ema is not None
        self.ema.update(pl_module.model)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Put the average in the model."""
        if self.ema is not None and trainer.state.fn == "fit":
            self._swapped = self.ema.applied_to(pl_module.model)
            self._swapped.__enter__()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        if self._swapped is not None:
            self._swapped.__exit__(None, None, None)
            self._swapped = None

    def averages(self) -> dict[str, Tensor]:
        """Return the averages by the names of the model's weights; none before training begins."""
        return {} if self.ema is None else self.ema.averages()

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {} if self.ema is None else self.ema.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep the saved average until the model is there."""
        self._saved = state or None
