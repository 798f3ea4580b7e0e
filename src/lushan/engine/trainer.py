"""Lightning's Trainer, with the defaults this framework stands on."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.plugins import DoublePrecision

from lushan.callbacks.compiled import Compiled
from lushan.common import memory
from lushan.config.build import build
from lushan.configurable import Within, configurable
from lushan.engine import loops
from lushan.engine.batch_plan import BatchPlan
from lushan.engine.devices import is_parallel, require_alone, require_devices
from lushan.engine.distributed.rank_launcher import environment
from lushan.engine.distributed.strategies import DDP, Sharded
from lushan.engine.limits import KEYS, TrainLimits
from lushan.errors import UserError, first_line
from lushan.models.precision import best_precision

OURS: dict[str, Any] = {
    "enable_checkpointing": False,  # lushan.callbacks.checkpoints saves
    "num_sanity_val_steps": 0,  # a resumed run would validate twice
    "use_distributed_sampler": False,  # the plan deals examples to the ranks
    "reload_dataloaders_every_n_epochs": 1,  # each epoch has its own plan
}
"""Arguments that exact resuming needs as they are; they cannot be configured."""

MINUTES_OF_A_YEAR = 525_600

Count = Annotated[int, Within(least=1)]
Share = Annotated[float, Within(above=0, most=1)]
Limit = Annotated[int, Within(least=0)] | Annotated[float, Within(least=0, most=1)]
"""Batches of an evaluation, or a share of them; none at 0."""

BOUNDS: dict[str, Any] = {
    "devices": list[int] | str | Literal[-1] | Count,
    "num_nodes": Count,
    "max_epochs": Count | None,
    "max_steps": Literal[-1] | Count,
    "max_time": str | dict[str, Annotated[int, Within(least=0)]] | None,
    "min_epochs": Count | None,
    "min_steps": Count | None,
    "limit_train_batches": Count | Share | None,
    "limit_val_batches": Limit | None,
    "limit_test_batches": Limit | None,
    "limit_predict_batches": Limit | None,
    "val_check_interval": Count | Share | str | None,
    "check_val_every_n_epoch": Count | None,
}
"""Values that Lightning's arguments take, where it checks them too late or not at all."""

POINTS = 20
"""Rows of training loss that a run has at least, if it has as many steps."""


@configurable
class Trainer(pl.Trainer):
    """`pytorch_lightning.Trainer`; takes the same arguments, but for these.

    In a config the limits (`max_epochs`, `max_steps`, `max_time`, `limit_train_batches`, ...) are
    keys as Lightning has them; `TrainLimits` parses them before there is a trainer.

    Args:
        limits: Length of the training, and share of each split to evaluate; set by the run.
        plan: Batch plan of the training; set by the run, and None if nothing is trained.
        precision: As in Lightning, and `auto`: bf16-mixed if the CPU or GPU supports bf16, else 32.
        gradient_clip_val: Maximum gradient norm of the whole global batch.
        strategy: As in Lightning. `ddp` (also if `auto` selects it) and `fsdp` (FSDP2) are
            implementations of lushan.
        tensor_parallel: Number of processes that share each batch and split its matrices (tensor
            parallelism). The strategy `fsdp` shards the layers over the other processes.
        reduce_often: Whether `fsdp` reduces gradients after each micro-batch; see `Sharded`.
        group_timeout: Timeout in minutes of a process that waits for the others.
        elastic: Whether an interrupted run can resume with another number of processes. The batches
            stay the same; numbers differ in the last digits.
        compile: Whether to compile the model's layers for training; see `Compiled`.
        log_every_n_steps: Steps between two logged training losses; null is 50, or less in a short
            run.
        enable_progress_bar: Lightning's progress bar, in addition to the console output.
        enable_model_summary: Lightning's summary of layers.
        **options: Other arguments of Lightning's Trainer.
    """

    def __init__(
        self,
        *,
        limits: TrainLimits | None = None,
        plan: BatchPlan | None = None,
        precision: Any = "auto",
        gradient_clip_val: Annotated[float, Within(above=0)] | None = None,
        strategy: Any = "auto",
        tensor_parallel: Count = 1,
        reduce_often: bool = False,
        group_timeout: Annotated[float, Within(above=0, most=MINUTES_OF_A_YEAR)] = 10.0,
        elastic: bool = False,
        compile: bool = False,
        log_every_n_steps: Count | None = None,
        enable_progress_bar: bool = False,
        enable_model_summary: bool = False,
        **options: Any,
    ) -> None:
        # Read from the config by the plan and the checkpoints; here they are for the signature.
        del gradient_clip_val, elastic
        accelerator = options.get("accelerator", "auto")
        if precision == "auto":
            precision = best_precision(accelerator)
        devices, nodes = options.get("devices", "auto"), options.get("num_nodes", 1)
        plugins = list(options.pop("plugins", None) or [])
        if tensor_parallel < 1:
            key = "trainer.tensor_parallel"
            raise UserError("must be 1 or more", key=key, value=tensor_parallel)
        if strategy == "fsdp" or tensor_parallel > 1:
            strategy = Sharded(
                tensor_parallel=tensor_parallel, reduce_often=reduce_often, minutes=group_timeout
            )
            if precision == "64-true":  # Lightning does not accept it by name
                plugins.append(DoublePrecision())
                precision = None
        elif strategy == "ddp" or (strategy == "auto" and is_parallel(accelerator, devices, nodes)):
            strategy = DDP(minutes=group_timeout)
        if isinstance(strategy, DDP | Sharded):
            plugins += filter(None, [environment(nodes)])
        else:
            require_alone()
        require_devices(accelerator, devices, nodes)
        if compile:
            options["callbacks"] = [Compiled(), *(options.get("callbacks") or [])]
        super().__init__(
            precision=precision,
            max_epochs=_epochs(plan),  # the plan ends the training
            max_steps=-1,
            strategy=strategy,
            plugins=plugins,
            log_every_n_steps=log_every_n_steps,
            enable_progress_bar=enable_progress_bar,
            enable_model_summary=enable_model_summary,
            **OURS,
            **options,
            **(limits or TrainLimits()).of_lightning(),
        )
        loops.install(self)
        self.machine = machine(self.strategy.root_device)
        if self.strategy.root_device.type == "cpu":
            memory.keep_freed()
        if log_every_n_steps is None and plan is not None:
            usual: int = self.log_every_n_steps  # type: ignore[has-type]
            self.log_every_n_steps = min(usual, max(1, plan.total_steps // POINTS))

    @property
    def shards(self) -> bool:
        """Return whether each process holds a part of the weights."""
        return isinstance(self.strategy, Sharded)

    @property
    def facts(self) -> dict[str, Any]:
        """Resolved values that a resumed run must share to end with the same bits."""
        ours = self.strategy if isinstance(self.strategy, Sharded) else None
        usual = "ddp" if self.world_size > 1 else "auto"
        return {
            "trainer.accelerator": self.strategy.root_device.type,
            "trainer.precision": str(self.precision),
            "trainer.devices": self.world_size,
            "trainer.strategy": "fsdp" if ours else usual,
            "trainer.tensor_parallel": ours.tensor_parallel if ours else 1,
        }

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Fit as Lightning does, which checks some of its arguments only here."""
        with refused():
            super().fit(*args, **kwargs)

    def test(self, *args: Any, **kwargs: Any) -> list[Mapping[str, float]]:
        """Test as Lightning does, with the same checks as `fit`."""
        with refused():
            return super().test(*args, **kwargs)


def make_trainer(
    node: Mapping[str, Any], limits: TrainLimits, plan: BatchPlan | None = None, **given: Any
) -> Trainer:
    """Make the trainer of a checked config.

    Args:
        node: The config's `trainer`.
        limits: Parsed from it.
        plan: Batch plan of the training; set by the run, and None if nothing is trained.
        given: Callbacks, loggers, plugins and folder.
    """
    own = {name: value for name, value in node.items() if name not in KEYS}
    trainer: Trainer = build(own, limits=limits, plan=plan, **given)
    return trainer


def machine(device: torch.device) -> dict[str, Any]:
    """Return what of this machine decides in which order sums are taken.

    Returns:
        `threads`, `device`, `kernels` (the processor's instructions that torch uses) and `matmul`
        (the precision of products in float32).
    """
    return {
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "matmul": torch.get_float32_matmul_precision(),
    }


def _epochs(plan: BatchPlan | None) -> int:
    """Return how many epochs a plan has; of a stream, so many at most."""
    if plan is None:
        return 1
    return plan.total_steps if plan.epochs is None else plan.epochs


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Turn Lightning's own refusal of a trainer's argument into the user's mistake that it is.

    Raises:
        UserError: Lightning refuses an argument, and names it.
    """
    try:
        yield
    except (MisconfigurationException, ValueError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals.get("__name__", "")).startswith("pytorch_lightning."):
            raise
        problem = f"Lightning rejects it: {first_line(error).strip()}"
        raise UserError(problem, key="trainer") from error


def _signature() -> inspect.Signature:
    """The configurable arguments: Lightning's less those in `OURS`, with the changes above."""
    left_out = {*OURS, "self", "kwargs", "options", "accumulate_grad_batches"}
    lightning = dict(inspect.signature(pl.Trainer.__init__).parameters)
    both = lightning | dict(inspect.signature(Trainer.__init__).parameters)
    parameters = [parameter for name, parameter in both.items() if name not in left_out]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [p.replace(kind=keyword, annotation=BOUNDS.get(p.name, p.annotation)) for p in parameters]
    )


# Config is checked against this, so that there is no second list of Lightning's arguments.
Trainer.__signature__ = _signature()  # type: ignore[attr-defined]
