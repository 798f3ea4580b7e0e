"""Terminal output of a run: a progress bar, and one line per validation."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsFloat

import pytorch_lightning as pl
from tqdm import tqdm  # type: ignore[import-untyped]

from lushan.callbacks.csv_metrics import epochs_done
from lushan.common.terminal import is_quiet
from lushan.common.units import Measure, measure_of, text

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

log = logging.getLogger(__name__)


class Console(pl.Callback):
    """Progress bar over all steps on a terminal, and one line per validation.

    Args:
        total: Steps of the whole training.
        shown: Metrics in the line, in this order.
        measures: Unit of each metric, by its name without the split.
        bar: Show the bar; None means only where stderr is a terminal.
    """

    def __init__(
        self,
        total: int,
        shown: list[str],
        measures: Mapping[str, Measure],
        *,
        bar: bool | None = None,
    ) -> None:
        self.total, self.shown, self.measures = total, shown, measures
        self.wanted = (sys.stderr.isatty() if bar is None else bar) and not is_quiet()
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where the run stands."""
        if self.wanted and trainer.is_global_zero:
            self.bar = tqdm(
                total=self.total, initial=trainer.global_step, unit="step", dynamic_ncols=True
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Move the bar."""
        if self.bar is not None:
            self._show_metrics(trainer)
            self.bar.update(trainer.global_step - self.bar.n)

    def _show_metrics(self, trainer: pl.Trainer) -> None:
        """Write behind the bar what was logged for it: the training loss, and a callback's own."""
        assert self.bar is not None
        logged = trainer.progress_bar_metrics.items()
        values = {name: self._text(name, value) for name, value in logged}
        self.bar.set_postfix(values, refresh=False)

    def _text(self, name: str, value: SupportsFloat) -> str:
        return text(float(value), measure_of(self.measures, name))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One line."""
        if not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        metrics = trainer.callback_metrics
        values = "  ".join(f"{k} {self._text(k, metrics[k])}" for k in self.shown if k in metrics)
        epoch = epochs_done(trainer) + 1
        log.info("epoch %d  step %d/%d  %s", epoch, trainer.global_step, self.total, values)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar, and report training that ended before its plan."""
        if self.bar is not None:
            self._show_metrics(trainer)
            self.bar.close()
        if trainer.is_global_zero and trainer.should_stop and trainer.global_step < self.total:
            callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
            found = (getattr(callback, "stopping_reason_message", None) for callback in callbacks)
            reasons = "".join(f": {reason}" for reason in found if reason)
            where = f"step {trainer.global_step}/{self.total}"
            log.info("stopped early after %s%s", where, reasons)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
