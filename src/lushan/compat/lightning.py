"""Private names of Lightning."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from lightning_fabric.utilities.optimizer import _optimizers_to_device
from pytorch_lightning import callbacks
from pytorch_lightning.loops.fetchers import _DataFetcher as DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop as FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop as TrainingEpochLoop
from pytorch_lightning.strategies.launchers.subprocess_script import (
    _SubprocessScriptLauncher as SubprocessLauncher,
)
from torch import Tensor

__all__ = ["DataFetcher", "FitLoop", "SubprocessLauncher", "TrainingEpochLoop"]
# FitLoop, TrainingEpochLoop: no hook of a callback or module comes after all others; loops do.
# DataFetcher: what a loop of theirs hands to its hooks.
# SubprocessLauncher: the one that starts ranks with a command; `launch` is replaced, while the
# trainer looks for its class.


# The trainer and its module


def restore_metrics(trainer: pl.Trainer, metrics: Mapping[str, Tensor]) -> None:
    """Put metrics of before into `trainer.callback_metrics`, which is read-only."""
    connector: Any = trainer._logger_connector
    connector._callback_metrics.update(metrics)


def is_attached(module: pl.LightningModule) -> bool:
    """Return whether a module belongs to a trainer; `module.trainer` raises where it does not."""
    return module._trainer is not None


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, with methods for when and by what it decides, which has private ones only."""

    def before_check(self, trainer: pl.Trainer) -> None:
        """Called before each decision."""

    def decide(self, current: Tensor) -> tuple[bool, str | None]:
        """Return whether training stops at a value of the metric, and why."""
        return super()._evaluate_stopping_criteria(current)

    def _run_early_stopping_check(self, trainer: pl.Trainer) -> None:
        self.before_check(trainer)
        super()._run_early_stopping_check(trainer)

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        return self.decide(current)


# Processes


def require_first(launcher: SubprocessLauncher) -> None:
    """Make sure that this process may start the others.

    Raises:
        RuntimeError: It is not the first of its machine, or has started them before.
    """
    launcher._check_can_spawn_children()


def limit_threads(processes: int) -> None:
    """Share the cores among the processes of a machine, as Lightning's own launcher does."""
    _set_num_threads_if_needed(processes)


class ChildObserver(_ChildProcessObserver):
    """Lightning's thread that ends a run of which a rank has failed; it has no hook before."""

    @property
    def children(self) -> Sequence[subprocess.Popen[bytes]]:
        """The other ranks of this machine."""
        return self._child_processes

    def end_all(self) -> None:
        """End this process and its children."""
        super()._terminate_all()

    def _terminate_all(self) -> None:
        self.end_all()


# Strategies


class WithLauncher:
    """A strategy whose launcher is made by `make_launcher`: a mixin, before Lightning's class.

    The trainer asks for a launcher by a private method, and its result is read as `launcher`.
    """

    def make_launcher(self) -> Any:
        """Return the launcher of the other ranks."""
        raise NotImplementedError

    def _configure_launcher(self) -> None:
        self._launcher = self.make_launcher()


def timeout_of(strategy: Any) -> datetime.timedelta:
    """Return how long a process waits for the others; a strategy takes it and does not show it."""
    timeout: datetime.timedelta = strategy._timeout
    return timeout


def backend_of(strategy: Any) -> str:
    """Return `nccl` or `gloo`; the public `process_group_backend` is set with the group itself."""
    return str(strategy._get_process_group_backend())


def has_mesh(strategy: Any) -> bool:
    """Return whether the grid of processes is made; `device_mesh` raises where it is not."""
    return strategy._device_mesh is not None


def set_data_parallel_size(strategy: Any, size: int) -> None:
    """Set the rows of the grid once the number of processes is known.

    The constructor takes it before that, or `auto` for one a machine.
    """
    strategy._data_parallel_size = size


def optimizers_to_device(optimizers: Iterable[Any], device: torch.device) -> None:
    """Move the states of optimizers to a device, as Lightning's own strategies do."""
    _optimizers_to_device(optimizers, device)
