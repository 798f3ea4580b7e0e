"""Metrics of a run in its own file, `metrics.csv`, and what is passed on to the trackers."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lushan.run.files import appending, atomic_write
from lushan.run.metrics_csv import read_rows

FIXED = ["step", "epoch", "seconds", "lr", "train/loss", "train/epoch_loss"]


class Record(pl.Callback):
    """Writes one row each `log_every_n_steps` and one each validation.

    The file is complete whatever becomes of a tracker, and after a resume holds each step once.

    Args:
        path: The CSV file.
        metrics: Names of the validation metrics, `val/...`: the columns after the fixed ones.
    """

    def __init__(self, path: Path, metrics: list[str]) -> None:
        self.path = path
        self.metrics, self.columns = metrics, FIXED + metrics
        self.seconds = 0.0
        self._since: float | None = None

    @property
    def state_key(self) -> str:
        """Lightning's name for the saved state."""
        return "Record"

    def state_dict(self) -> dict[str, Any]:
        """Seconds trained so far."""
        return {"seconds": self.trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the seconds trained."""
        self.seconds = float(state["seconds"])

    @property
    def trained(self) -> float:
        """Seconds of training with its validations, interruptions left out."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self.seconds + running

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the file, or drop the rows that are about to be made again."""
        self._since = time.monotonic()
        if not trainer.is_global_zero:
            return
        kept = [row for row in read_rows(self.path) if int(row["step"]) <= trainer.global_step]
        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        atomic_write(self.path, out.getvalue())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self.seconds, self._since = self.trained, None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """A row every so many steps."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every:
            return
        rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        row = {"train/loss": pl_module.take_running(), "lr": rate}
        self._write(trainer, row)
        pl_module.log("train/loss", row["train/loss"], prog_bar=True, logger=False)
        self._send(trainer, row)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """A row with the validation's metrics.

        Lightning would send them with the number of the step before, which W&B ignores.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k in self.metrics}
        row = values | {"train/epoch_loss": pl_module.take_running("epoch_")}
        self._write(trainer, row)
        self._send(trainer, row)

    def _send(self, trainer: pl.Trainer, row: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({**row, "epoch": epochs_done(trainer)}, step=trainer.global_step)

    def _write(self, trainer: pl.Trainer, values: dict[str, Any]) -> None:
        if not trainer.is_global_zero:
            return
        row = {
            "step": trainer.global_step,
            "epoch": epochs_done(trainer),
            "seconds": round(self.trained, 3),
            **values,
        }
        with appending(self.path, newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)


def epochs_done(trainer: pl.Trainer) -> int:
    """Epochs that have been trained to their end."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)
