"""Early stopping that an undefined metric does not end."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason as Reason
from torch import Tensor

from lushan.common.units import Measure, measure_of, text
from lushan.common.wording import plural
from lushan.compat import lightning
from lushan.configurable import configurable

log = logging.getLogger(__name__)


@configurable
class EarlyStopping(lightning.EarlyStopping):
    """Lightning's; while the monitored metric is undefined, it watches the loss on validation.

    A correlation of what does not vary is no number: Lightning would end the training there, in
    which the loss may be falling.

    Args:
        measures: Unit of each metric, by its name without the split; set by the run.
        **options: Arguments of Lightning's `EarlyStopping`.

    Attributes:
        best_loss: The lowest loss that was seen while the metric was undefined.
    """

    def __init__(self, *, measures: Mapping[str, Measure] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.best_loss = math.inf
        self._loss = math.nan
        self._warned = False
        self._measure = measure_of(measures or {}, self.monitor)

    def state_dict(self) -> dict[str, Any]:
        """Return Lightning's state, with the loss."""
        return {**super().state_dict(), "best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore Lightning's state, with the loss."""
        rest = dict(state_dict)
        self.best_loss = rest.pop("best_loss")
        super().load_state_dict(rest)

    def before_check(self, trainer: pl.Trainer) -> None:
        """Note the loss on validation."""
        self._loss = float(trainer.callback_metrics.get("val/loss", math.nan))

    def decide(self, current: Tensor) -> tuple[bool, str | None]:
        """Return whether training stops, and why: by the metric, or by the loss in its place."""
        if not math.isnan(float(current)):
            stops, reason = super().decide(current)
            return stops, self._reason(float(current)) if stops else reason
        if self._loss < self.best_loss - abs(self.min_delta):
            self.best_loss, self.wait_count = self._loss, 0
        else:
            self.wait_count += 1
        if not self._warned:
            log.info("%s is undefined: early stopping monitors val/loss instead", self.monitor)
            self._warned = True
        if self.wait_count < self.patience:
            return False, None
        return True, f"{self.monitor} is undefined, and val/loss has not improved"

    def _reason(self, current: float) -> str:
        """Return why the training stops, in the words of its keys."""
        best = text(float(self.best_score), self._measure)
        now = f"{self.monitor} is {text(current, self._measure)}"
        times = plural(self.wait_count, "evaluation")
        words = {
            Reason.NON_FINITE_METRIC: f"{now}; the best was {best}",
            Reason.STOPPING_THRESHOLD: f"{now}, past stopping_threshold={self.stopping_threshold}",
            Reason.DIVERGENCE_THRESHOLD: (
                f"{now}, past divergence_threshold={self.divergence_threshold}"
            ),
        }
        patient = f"{self.monitor} did not improve in the last {times}; the best is {best}"
        return words.get(self.stopping_reason, patient)
