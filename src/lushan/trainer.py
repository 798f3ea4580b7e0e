"""Lightning's Trainer, with the defaults this framework stands on."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from lushan.runs.cores import usable_threads

OURS: dict[str, Any] = {
    "enable_checkpointing": False,  # lushan.callbacks.checkpoints saves
    "num_sanity_val_steps": 0,  # a resumed run would validate twice
    "use_distributed_sampler": False,  # the plan deals examples to the ranks
    "reload_dataloaders_every_n_epochs": 1,  # each epoch has its own plan
}
"""Arguments that exact resuming needs as they are; they cannot be configured."""


class Trainer(pl.Trainer):
    """`pytorch_lightning.Trainer`; takes the same arguments, but for these.

    Args:
        precision: Also `auto`: bf16-mixed where the processor or card computes in bf16, else 32.
        gradient_clip_val: Largest norm of the gradient of a whole global batch.
        max_epochs: As Lightning's; the number of steps follows from the plan of batches.
        max_steps: Optimizer steps; the last epoch is cut short there.
        strategy: As Lightning's; `ddp`, also where `auto` leads to it, is our `DDP`.
        enable_progress_bar: Lightning's own bar, beside the console's.
        enable_model_summary: Lightning's table of layers.
        **options: Everything else goes to Lightning as it is.
    """

    def __init__(
        self,
        *,
        precision: Any = "auto",
        gradient_clip_val: float | None = None,
        max_epochs: int | None = None,
        max_steps: int = -1,
        strategy: Any = "auto",
        enable_progress_bar: bool = False,
        enable_model_summary: bool = False,
        **options: Any,
    ) -> None:
        self.clip_norm = gradient_clip_val
        self.wanted_epochs, self.wanted_steps = max_epochs, max_steps if max_steps > 0 else None
        if max_epochs is None and self.wanted_steps is None:
            self.wanted_epochs = 3
        self.wanted_train_limit = options.pop("limit_train_batches", None)
        accelerator = options.get("accelerator", "auto")
        if precision == "auto":
            precision = best_precision(accelerator)
        devices, nodes = options.get("devices", "auto"), options.get("num_nodes", 1)
        if strategy == "ddp" or (strategy == "auto" and is_parallel(accelerator, devices, nodes)):
            strategy = DDP()
        # The plan ends the training; Lightning's own limit is set to it in `follow`.
        super().__init__(
            precision=precision,
            max_epochs=self.wanted_epochs or 1,
            max_steps=-1,
            strategy=strategy,
            enable_progress_bar=enable_progress_bar,
            enable_model_summary=enable_model_summary,
            **OURS,
            **options,
        )

    def observe(self, callback: pl.Callback) -> None:
        """Add a callback that comes before all others."""
        callbacks: list[pl.Callback] = self.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, callback)

    def follow(self, epochs: int) -> None:
        """Train as many epochs as the plan has."""
        self.fit_loop.max_epochs = epochs


RUN_FOLDER = "LUSHAN_RUN"
"""Environment variable that tells the other ranks which run they take part in."""


class DDP(DDPStrategy):
    """Lightning's DDP whose other ranks read the run's own config.

    Lightning starts them with the first one's command line, which in a sweep is that of many runs.
    Buffers are not broadcast: evaluation may give one rank a batch more than another.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"broadcast_buffers": False, **options})

    def setup_environment(self) -> None:
        """Join the group; ranks on one processor share its cores instead of fighting for them."""
        super().setup_environment()
        if self.root_device.type == "cpu":
            torch.set_num_threads(max(1, usable_threads() // self.num_processes))

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


class _Launcher(_SubprocessScriptLauncher):
    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        shared = {
            "MASTER_ADDR": self.cluster_environment.main_address,
            "MASTER_PORT": str(self.cluster_environment.main_port),
            "NODE_RANK": str(self.cluster_environment.node_rank()),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        os.environ.update(shared)
        command = [sys.executable, "-m", "lushan.worker", os.environ[RUN_FOLDER]]
        self.procs = [
            subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(rank)})
            for rank in range(1, self.num_processes)
        ]


def is_parallel(accelerator: str, devices: Any, nodes: int) -> bool:
    """Whether more than one process will train."""
    if nodes > 1:
        return True
    if isinstance(devices, list):
        return len(devices) > 1
    if devices in ("auto", -1, "-1"):
        return accelerator in ("auto", "gpu", "cuda") and torch.cuda.device_count() > 1
    return str(devices).isdigit() and int(devices) > 1


def best_precision(accelerator: str) -> str:
    """bf16-mixed where it is native, else 32-true."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if accelerator in ("auto", "cpu") and cpu_has_bf16():
        return "bf16-mixed"
    return "32-true"


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies in bf16 (AVX512-BF16 or AMX)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _signature() -> inspect.Signature:
    """The configurable arguments: Lightning's less those in `OURS`, with the changes above."""
    lightning = inspect.signature(pl.Trainer.__init__).parameters
    own = inspect.signature(Trainer.__init__).parameters
    parameters = [
        own[name] if name in own and name != "self" else parameter
        for name, parameter in lightning.items()
        if name not in OURS and name not in ("self", "kwargs", "accumulate_grad_batches")
    ]
    return inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters])


# Config is checked against this, so that there is no second list of Lightning's arguments.
Trainer.__signature__ = _signature()  # type: ignore[attr-defined]
