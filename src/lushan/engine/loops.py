"""Lightning's training loops with one more event: a boundary, where all has acted that acts.

Lightning has no hook that comes after all others: callbacks that watch a metric act after those
that do not, the module between them, `trainer.max_time` adds a callback of its own at the end, and
an epoch's numbers and counters are settled after the last hook. A state that is saved in any of
them misses what acts later. So the loops themselves report when a step or an epoch is over:

- after a step that is not its epoch's last, with the validation that came after it;
- after an epoch, with its validation and everything that acts at its end.

A state from a boundary has no hook half done, and resuming from it needs no repair of counters.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from lushan.callbacks.boundary import AtBoundary
from lushan.compat.lightning import FitLoop, TrainingEpochLoop
from lushan.data.batch.batching import mix
from lushan.engine.distributed.shares import data_share
from lushan.engine.seeding import seed_torch

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from lushan.compat.lightning import DataFetcher


class EpochLoop(FitLoop):
    """Walks the epochs."""

    @property
    def skip(self) -> bool:
        """Return whether there is nothing to train on.

        A run that was killed after its last state was saved has nothing to train either, but begins
        and ends as any other: callbacks act there, too.
        """
        return self.max_batches == 0 or self.trainer.limit_train_batches == 0

    def on_run_start(self) -> None:
        """Begin at a boundary: that of the state, or before the first step."""
        super().on_run_start()
        set_random_state(self.trainer)

    def on_advance_end(self) -> None:
        """Let everything act that acts at an epoch's end; then the boundary."""
        super().on_advance_end()
        reach_boundary(self.trainer, epoch_over=True)


class StepLoop(TrainingEpochLoop):
    """Walks the steps of an epoch."""

    def on_run_start(self, data_fetcher: DataFetcher) -> None:
        """Begin; a resumed epoch begins with a step, for its state is from a boundary."""
        super().on_run_start(data_fetcher)
        self.restarting = False

    def on_advance_end(self, data_fetcher: DataFetcher) -> None:
        """Validate, if it is time; then the boundary, but for the last step: its epoch has one."""
        super().on_advance_end(data_fetcher)
        if not self.done:
            reach_boundary(self.trainer, epoch_over=False)


def reach_boundary(trainer: Any, *, epoch_over: bool) -> None:
    """Call the callbacks that act at a boundary, in their order."""
    set_random_state(trainer)
    module = trainer.lightning_module
    for callback in trainer.callbacks:
        if isinstance(callback, AtBoundary):
            with trainer.profiler.profile(f"[Callback]{callback.state_key}.on_boundary"):
                callback.on_boundary(trainer, module, epoch_over=epoch_over)


def set_random_state(trainer: Any) -> None:
    """Make what callbacks draw before the next step a function of seed, step and rank.

    The module does the same for what the step itself draws. So nothing of it needs saving.
    """
    share = data_share(trainer)[0]
    seed = mix(trainer.lightning_module.batching.seed, trainer.global_step, share)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (what callbacks draw from is not ours to choose)
    seed_torch(seed)


def install(trainer: Trainer) -> None:
    """Give a trainer these loops in place of Lightning's, with the limits that it has set."""
    before: FitLoop = trainer.fit_loop
    steps = before.epoch_loop
    trainer.fit_loop = EpochLoop(
        trainer, min_epochs=before.min_epochs, max_epochs=before.max_epochs
    )
    trainer.fit_loop.epoch_loop = StepLoop(
        trainer, min_steps=steps.min_steps, max_steps=steps.max_steps
    )
