"""Saves the state of a run, so that it resumes to the last bit, and its best weights.

State is saved at boundaries only (`lushan.engine.loops`): after a step with its validation, or
after an epoch, when everything has acted that acts there.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lushan.callbacks.boundary import AtBoundary
from lushan.callbacks.resume_facts import require_alike
from lushan.checkpoint.dtensor import all_finite
from lushan.checkpoint.io import write_weights
from lushan.checkpoint.states import require_readable
from lushan.checkpoint.weights import Damaged, is_in_shards, verify
from lushan.compat import lightning
from lushan.configurable import Within, configurable
from lushan.errors import Interrupted, RunFailed, UserError
from lushan.launch.signals import Signals
from lushan.run.artifacts import BEST

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

log = logging.getLogger(__name__)

LOSS = "val/loss"
"""Metric that decides between weights that are equal by the chosen one."""


@configurable
class Checkpoints(AtBoundary):
    """Saves state to resume from, and the best weights.

    Args:
        every_minutes: Minutes between two saves within an epoch; null saves only at the end of an
            epoch.
        every_n_steps: Also save after every N steps.
        keep: Number of checkpoints to keep for resuming; at least 2, so that there is an older one
            if the last is damaged.
        folder: Output folder; set by the run.
        monitor: Metric that selects the best weights, such as `val/entity_f1`; set by the run.
        higher_is_better: Whether a higher value of the metric is better; set by the run.
        signals: Pending signals; set by the run.
        facts: From a trainer to the settings that a resumed run must share, such as
            `trainer.devices`; set by the run. See `resume_facts.require_alike`.
        elastic: Whether a run can be resumed with other settings of devices; set by the run.

    Attributes:
        resumed: Notes of the other conditions in which the run was resumed.
    """

    def __init__(
        self,
        *,
        folder: Path,
        monitor: str | None,
        higher_is_better: bool,
        signals: Signals,
        facts: Callable[[Any], dict[str, Any]],
        elastic: bool = False,
        every_minutes: Annotated[float, Within(above=0)] | None = 10.0,
        every_n_steps: Annotated[int, Within(least=1)] | None = None,
        keep: Annotated[int, Within(least=2)] = 2,
    ) -> None:
        self.folder, self.monitor = folder, monitor
        self.sign = 1.0 if higher_is_better else -1.0
        self.signals, self.facts, self.elastic = signals, facts, elastic
        self.resumed: list[str] = []
        self.every_minutes, self.every_n_steps, self.keep = every_minutes, every_n_steps, keep
        self.best_rank: tuple[bool, float, float] | None = None
        self.best_step: int | None = None
        self._bests: dict[int, int | None] = {}  # of each state that is kept
        self.undefined = 0
        self._stopped = False
        self._metrics: dict[str, Tensor] = {}
        self._validated = False
        self._saved_at = time.monotonic()

    @property
    def state_key(self) -> str:
        """Lightning's name for the saved state; free of options, which may change."""
        return "Checkpoints"

    # Saving

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put back what was saved of the trainer; take the signals back from Lightning."""
        if self._stopped:
            trainer.should_stop = True
        lightning.restore_metrics(trainer, self._metrics)
        self.signals.install()
        self.signals.deferred = True
        self._saved_at = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once on a signal from here on."""
        self.signals.deferred = False

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop at once on a signal from here on."""
        self.signals.deferred = False

    def on_boundary(
        self, trainer: pl.Trainer, pl_module: LightningModule, *, epoch_over: bool
    ) -> None:
        """Save after an epoch, and inside one when it is time; then honour a signal."""
        pending = self._any_rank_stopped(trainer)
        if pending or epoch_over or self._due(trainer):
            self._save(trainer)
        if pending:
            raise Interrupted(pending)

    def _any_rank_stopped(self, trainer: pl.Trainer) -> int:
        """The signal that any rank has got, known to all of them; 0 if none."""
        pending = self.signals.pending or 0
        if trainer.world_size == 1:
            return pending
        shared = torch.tensor([pending], device=trainer.strategy.root_device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        return int(shared)

    def _due(self, trainer: pl.Trainer) -> bool:
        if self._validated:
            return True
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            return True
        if self.every_minutes is None:
            return False
        due = time.monotonic() - self._saved_at >= 60 * self.every_minutes
        # All ranks must agree: the first one's clock decides.
        return bool(trainer.strategy.broadcast(due)) if trainer.world_size > 1 else due

    def _save(self, trainer: pl.Trainer) -> None:
        self._validated = False
        module: Any = trainer.lightning_module
        module.settle()  # which names the step and its examples
        if not all_finite(module.model.parameters()):
            raise RunFailed(
                f"weights are not finite after step {trainer.global_step}; they were not saved; "
                f"the last checkpoint is finite\n  Try a lower optimizer.lr, "
                "trainer.gradient_clip_val=1.0 or trainer.precision=32."
            )
        trainer.save_checkpoint(self._state(trainer.global_step), weights_only=False)
        self._bests = self._bests_kept()
        if trainer.is_global_zero:
            self._remove_old()
        self._saved_at = time.monotonic()

    def _bests_kept(self) -> dict[int, int | None]:
        """Return the best step of each state that is kept once the one of this step is saved."""
        bests = {**self._bests, self._trainer.global_step: self.best_step}
        return {step: bests[step] for step in sorted(bests)[-self.keep :]}

    def _remove_old(self) -> None:
        """Remove all states but those that are kept, and best weights that none of them names.

        Not before a save: a run that dies between a validation and the save after it resumes from a
        state that names the best weights before.
        """
        kept = {self._state(step) for step in self._bests}
        kept |= {self.best_folder(step) for step in self._bests.values() if step is not None}
        for old in {*self.folder.glob("step-*"), *self.folder.glob(f"{BEST}-*")} - kept:
            shutil.rmtree(old, ignore_errors=True)

    def _state(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}"

    def best_folder(self, step: int) -> Path:
        """Return where the weights that were the best at a step are kept."""
        return self.folder / f"{BEST}-{step:09d}"

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse a callback's state that could be written, but not be read by a resumed run."""
        for name, state in checkpoint["callbacks"].items():
            require_readable(name, state)

    # The best weights

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keep the weights that were just evaluated, if they are the best so far."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._validated = True
        if self.monitor is None:
            return
        if self.monitor not in trainer.callback_metrics:
            raise UserError(
                "the metric for the best checkpoint is unknown",
                key="task.monitor",
                value=self.monitor,
                hint=f"choose one of {sorted(trainer.callback_metrics)}",
            )
        metrics = trainer.callback_metrics
        loss = float(metrics.get(LOSS, math.nan))
        if not self._is_best(float(metrics[self.monitor]), loss):
            return
        self.best_step = trainer.global_step
        best = self.best_folder(trainer.global_step)
        write_weights(best, pl_module.eval_weights(), first=trainer.is_global_zero)

    def _is_best(self, value: float, loss: float) -> bool:
        """Return whether these are the best numbers so far, and remember them if they are.

        The metric decides, and where it is the same, or undefined (a correlation of what does not
        vary), the loss; any number of the metric is better than none.
        """
        is_defined = not math.isnan(value)
        self.undefined += not is_defined
        against = -math.inf if math.isnan(loss) else -loss
        rank = (is_defined, self.sign * value if is_defined else 0.0, against)
        if self.best_rank is not None and not rank > self.best_rank:
            return False
        self.best_rank = rank
        return True

    def notes(self) -> list[str]:
        """Notes for the result: how the run was resumed, and how the best weights were chosen."""
        if not self.undefined:
            return self.resumed
        if self.best_rank is not None and self.best_rank[0]:
            note = f"was undefined at {self.undefined} validations, which cannot be the best"
        else:
            note = (
                "is undefined at every validation: the best checkpoint is the one with the lowest "
            )
            note += LOSS
        return [*self.resumed, f"{self.monitor} {note}"]

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {
            "best_rank": self.best_rank,
            "undefined": self.undefined,
            "best_step": self.best_step,
            "bests": self._bests_kept(),
            "stopped": bool(self._trainer.should_stop),
            # A callback that watches a metric may read it in an epoch without validation.
            "metrics": {k: v.detach().cpu() for k, v in self._trainer.callback_metrics.items()},
            "facts": self.facts(self._trainer),
            "resumed": self.resumed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state; refuse to resume if settings have changed."""
        found = require_alike(state["facts"], self.facts(self._trainer), elastic=self.elastic)
        self.resumed = list(dict.fromkeys([*state["resumed"], *found]))
        for note in found:
            log.warning("note: %s", note)
        self.best_rank, self.best_step = state["best_rank"], state["best_step"]
        self._bests = state["bests"]
        self._require_best()
        self.undefined = state["undefined"]
        self._stopped, self._metrics = state["stopped"], state["metrics"]

    def _require_best(self) -> None:
        """Make sure that the best weights so far are there before any more are trained."""
        if self.best_step is None:
            return
        path = self.best_folder(self.best_step)
        try:
            verify(path, share=(1, 1) if is_in_shards(path) else (0, 1))
        except Damaged as error:
            raise UserError(
                f"the best weights of the interrupted run are damaged: {error}",
                file=path,
                hint=f"Delete {self.folder} to start the run again.",
            ) from error

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remember the trainer, whose decision to stop and metrics are part of the state."""
        self._trainer = trainer
