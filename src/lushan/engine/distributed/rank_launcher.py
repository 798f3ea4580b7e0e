"""Processes of a parallel run: how they are started, and errors when one of them has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from lushan.common.terminal import echo
from lushan.compat.lightning import (
    ChildObserver,
    SubprocessLauncher,
    limit_threads,
    require_first,
)
from lushan.engine.devices import in_slurm
from lushan.errors import RunFailed, UserError
from lushan.run import remote_code

if TYPE_CHECKING:
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from pytorch_lightning.strategies import Strategy

RUN_FOLDER = "LUSHAN_RUN"
"""Environment variable by which the other ranks know their run."""

GLOO = ("gloo", "Application timeout caused pair closure")
"""Texts in gloo's errors: the name of its source file, and the one error without it."""

GRACE = 3.0
"""Seconds that other processes of this machine have to end after the first one has failed."""

NOTICE = 15.0
"""Seconds that the first process has to notice that another one has failed."""


class Launcher(SubprocessLauncher):
    """Starts the other ranks of this machine with the run's own config, and ends them.

    Attributes:
        lost: Descriptions of those that failed, the first failure first.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lost: list[str] = []

    def launch(
        self,
        function: Callable[..., Any],
        *args: Any,
        trainer: object = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> Any:
        """Start them, and call the function here.

        Raises:
            UserError: The processes that others have started are not those of the config.
        """
        try:
            self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        except ValueError as error:
            raise UserError(
                f"these processes do not match the config: {error}", key="trainer.devices"
            ) from error
        if not self.cluster_environment.creates_processes_externally:
            self._start_children()
            Observer(os.getpid(), self.procs).start()
        limit_threads(self.num_processes)
        return function(*args, **kwargs)

    def _start_children(self) -> None:
        require_first(self)
        shared = {
            "MASTER_ADDR": self.cluster_environment.main_address,
            "MASTER_PORT": str(self.cluster_environment.main_port),
            "NODE_RANK": str(self.cluster_environment.node_rank()),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        os.environ.update(shared)
        # -P: the working folder is not searched for modules.
        command = [
            sys.executable,
            "-P",
            "-m",
            "lushan.engine.distributed.worker",
            *remote_code.flag(),
            os.environ[RUN_FOLDER],
        ]
        self.procs = [
            subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(rank)})
            for rank in range(1, self.num_processes)
        ]

    def end_children(self, grace: float) -> None:
        """Let the processes that were started here end by themselves, and then end them."""
        until = time.monotonic() + grace
        ranks = list(enumerate(self.procs, start=1))
        self.procs.clear()  # their end is in hand: the observer has nothing to do any more
        # Who was gone before may be why the others are.
        for rank, process in sorted(ranks, key=lambda pair: pair[1].poll() is None):
            try:
                code = process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.lost.append(f"rank {rank} did not respond and was terminated")
                continue
            if code < 0:
                self.lost.append(f"rank {rank} was ended by {signal.Signals(-code).name}")
            elif code > 0:
                self.lost.append(f"rank {rank} ended with exit code {code}")


class Observer(ChildObserver):
    """Ends a run when a rank has failed and the first process would wait for it forever.

    Lightning's own kills the first process at its first check, even while that one is reporting
    the very same failure.
    """

    def end_all(self) -> None:
        """Give the first process time to report the failure; then end what still waits."""
        time.sleep(NOTICE)
        if self.children:
            what = "another rank failed while this one waited for it: terminated"
            echo(f"error: {what}", err=True)
            super().end_all()


def environment(nodes: int, variables: Mapping[str, str] = os.environ) -> ClusterEnvironment | None:
    """Return what starts the processes of a parallel run, where Lightning would not find it.

    Args:
        nodes: Machines that the config wants.
        variables: Of the environment.

    Raises:
        UserError: The processes that are wanted were not started.
    """
    if TorchElasticEnvironment.detect():
        return None
    if in_slurm(variables) and int(variables["SLURM_NTASKS"]) > 1:
        if "SLURM_STEP_ID" not in variables:
            raise UserError(
                f"SLURM has {variables['SLURM_NTASKS']} processes for this job, but this one was "
                f"not started by srun",
                key="trainer.strategy",
                hint="Write srun before the command in the batch script.",
            )
        if "SLURM_NTASKS_PER_NODE" not in variables:
            raise UserError(
                "SLURM does not say how many processes each machine has",
                key="trainer.devices",
                hint="Write #SBATCH --ntasks-per-node=N instead of --ntasks.",
            )
        # Who is stopped is put back by the batch script (docs/scale.md): states are saved between
        # steps alone, and Lightning would save one wherever it is.
        return SLURMEnvironment(auto_requeue=False)
    if nodes > 1:
        raise UserError(
            "no process was started on another machine",
            key="trainer.num_nodes",
            value=nodes,
            hint="Start it on each machine with torchrun, or with srun in a SLURM job: see "
            "docs/scale.md.",
        )
    # A job of one task on several devices: its processes are started here.
    return LightningEnvironment() if in_slurm(variables) else None


@contextlib.contextmanager
def others_named(strategy: Strategy) -> Iterator[None]:
    """Replace the error of a lost connection by one that names the failed process and the reason.

    Raises:
        RunFailed: Instead of the library's error, which names an address.
    """
    try:
        yield
    except RuntimeError as error:
        lost = getattr(strategy, "lost", [])
        if not lost or not _is_lost_contact(error):
            raise
        raise RunFailed(f"{'; '.join(lost)}: see its error above") from error


def _is_lost_contact(error: RuntimeError) -> bool:
    """Return whether an error says only that another process does not answer any more."""
    return isinstance(error, dist.DistError) or any(words in str(error) for words in GLOO)
