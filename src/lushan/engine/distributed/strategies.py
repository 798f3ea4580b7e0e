"""Strategies to train one model in several processes: copies (DDP), or parts (FSDP2, tensors).

Lightning joins the processes; what is ours is what every strategy owes the module: which share of
the data a process sees, one way into the model, states that are saved and read by all together.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn

from lushan.checkpoint.dtensor import any_sharded
from lushan.compat import lightning
from lushan.engine.distributed.rank_launcher import GRACE, Launcher
from lushan.errors import UserError
from lushan.launch.cores import usable_threads

if TYPE_CHECKING:
    from torch.optim import Optimizer


class _Ours(lightning.WithLauncher):
    """Methods that our strategies share."""

    def __init__(self, *, minutes: float, **options: Any) -> None:
        super().__init__(timeout=datetime.timedelta(minutes=minutes), **options)  # type: ignore[call-arg]

    def setup_environment(self) -> None:
        """Join the group; ranks on one processor share its cores instead of fighting for them."""
        here: Any = self
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and not dist.is_initialized():
            self._join_apart()
        super().setup_environment()  # type: ignore[misc]
        if here.root_device.type == "cpu":
            torch.set_num_threads(max(1, usable_threads() // here.num_processes))

    def _join_apart(self) -> None:
        """Join a group of torchrun's under a name that processes it had before did not have.

        It keeps one store of addresses when it starts processes again, and those of the dead are
        still in it: a process that asks there for the others may wait for one that has ended.
        """
        here: Any = self
        here.accelerator.setup_device(here.root_device)
        here.set_world_ranks()
        cluster, device = here.cluster_environment, here.root_device
        address, port = cluster.main_address, cluster.main_port
        store = dist.TCPStore(  # type: ignore[attr-defined]
            address, port, is_master=False, timeout=lightning.timeout_of(here)
        )
        attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
        dist.init_process_group(
            lightning.backend_of(here),
            store=dist.PrefixStore(f"attempt-{attempt}", store),  # type: ignore[attr-defined]
            rank=here.global_rank,
            world_size=here.world_size,
            timeout=lightning.timeout_of(here),
            device_id=None if device.type == "cpu" else device,
        )

    def make_launcher(self) -> Launcher:
        """Return the launcher of the other ranks."""
        here: Any = self
        assert here.cluster_environment is not None
        return Launcher(here.cluster_environment, here.num_processes, here.num_nodes)

    def on_exception(self, exception: BaseException) -> None:
        """End the processes started here, which would wait for this one forever."""
        here: Any = self
        super().on_exception(exception)  # type: ignore[misc]
        here.launcher.end_children(GRACE)

    @property
    def lost(self) -> list[str]:
        """Descriptions of failed processes that were started here, the first failure first."""
        here: Any = self
        return list(here.launcher.lost)


class DDP(_Ours, DDPStrategy):
    """Lightning's DDP whose other ranks read the run's own config.

    Lightning starts them with the first one's command line, which in a sweep is that of many runs.
    Buffers are not broadcast: evaluation may give one rank a batch more than another.

    Args:
        minutes: How long a process waits for the others before it gives up.
        options: Of Lightning's.
    """

    def __init__(self, *, minutes: float = 10.0, **options: Any) -> None:
        super().__init__(minutes=minutes, **{"broadcast_buffers": False, **options})


class Sharded(_Ours, ModelParallelStrategy):
    """FSDP2 and tensor parallelism: each process holds a part of the weights.

    Processes form a grid: those of a row see one batch and share its matrices
    (`tensor_parallel`), those of a column see different batches and share the layers.

    Args:
        tensor_parallel: Processes of a row.
        reduce_often: Whether gradients are added up after each micro-batch. It takes more
            messages, and less memory: left until the step's end, they are whole on each process.
        minutes: How long a process waits for the others before it gives up.
    """

    def __init__(
        self, *, tensor_parallel: int = 1, reduce_often: bool = False, minutes: float = 10.0
    ) -> None:
        super().__init__(minutes=minutes, tensor_parallel_size=tensor_parallel)
        self.tensor_parallel, self.reduce_often = tensor_parallel, reduce_often
        self.entry: Any = None
        self._cut = False

    # The grid

    @property
    def data_ranks(self) -> int:
        """Number of shares of a global batch."""
        return self.world_size // self.tensor_parallel

    @property
    def data_rank(self) -> int:
        """Number of the share that this process sees."""
        return self.global_rank // self.tensor_parallel

    def setup_environment(self) -> None:
        """Join the group and make the grid, once: the cut model belongs to it."""
        if lightning.has_mesh(self):
            return
        if self.world_size % self.tensor_parallel:
            raise UserError(
                f"the number of processes, {self.world_size}, is not a multiple of it",
                key="trainer.tensor_parallel",
                value=self.tensor_parallel,
            )
        lightning.set_data_parallel_size(self, self.data_ranks)
        super().setup_environment()

    # The model

    def setup(self, trainer: pl.Trainer) -> None:
        """Cut the model, then make its optimizer."""
        module: Any = self.model
        self.accelerator.setup(trainer)  # type: ignore[union-attr]
        self.model = self.precision_plugin.convert_module(module)
        if not self._cut:
            self._cut_model(module)
            self._cut = True
        self.model_to_device()
        self.barrier()
        fitting = trainer.state.fn == TrainerFn.FITTING
        if fitting:
            self.setup_optimizers(trainer)
            _refuse_whole_matrices(self.optimizers)
        self.setup_precision_plugin()
        if fitting:
            lightning.optimizers_to_device(self.optimizers, self.root_device)

    def _cut_model(self, module: Any) -> None:
        from lushan.models import parallel

        if module.adaptation is not None and module.adaptation.method == "adalora":
            raise UserError(
                "AdaLoRA needs whole matrices, but here each process has only a part of them",
                key="trainer.strategy",
                value="fsdp",
                hint="Write trainer=ddp, or peft=lora.",
            )
        if self.tensor_parallel > 1:
            parallel.split(module.model.encoder.model, self.device_mesh["tensor_parallel"])
        if self.data_ranks > 1:
            # Layers of T5 return views; nothing here changes them in place.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
            # Norms on a processor want their weights to be of their input's type.
            half = (
                self.precision_plugin.precision == "bf16-mixed" and self.root_device.type == "cuda"
            )
            self.entry = parallel.shard(module.model, self.device_mesh["data_parallel"], half=half)

    def run(
        self,
        call: Callable[[nn.Module, Any], Any],
        model: nn.Module,
        batch: object,
        *,
        freely: bool = False,
    ) -> Any:
        """Return the result of `call` on the model and a batch: the one way into a sharded model.

        Args:
            call: The function to call.
            model: The whole.
            batch: Given to `call`.
            freely: Whether a process may go through the model as often as it likes, as it must to
                generate text. The whole model then lies on each of them for the time.
        """
        if self.entry is None:
            return call(model, batch)
        from lushan.models import parallel

        gathered = parallel.gathered(self.entry) if freely else contextlib.nullcontext()
        # Layers may be gathered in bfloat16.
        with gathered, self.precision_plugin.forward_context():
            found = self.entry(call, batch)
        if not torch.is_grad_enabled():
            # Without a backward pass, what is outside the layers would stay as it was gathered,
            # also when weights change.
            self.entry.reshard()
        return found

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients stay where they are for now."""
        if self.entry is None or self.reduce_often:
            yield
            return
        self.entry.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.entry.set_requires_gradient_sync(True)

    # The state

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Every process's part."""
        return self.lightning_module.state_dict()  # type: ignore[union-attr]

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Every process's part."""
        return getattr(optimizer, "optimizer", optimizer).state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: object = None
    ) -> None:
        """Write a state together."""
        del storage_options
        from lushan.checkpoint import sharded

        folder = Path(self.broadcast(filepath))
        if any_sharded(checkpoint["state_dict"].values()):
            sharded.save(checkpoint, folder, self._names())
        elif self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, folder)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the newest whole state together."""
        del weights_only
        from lushan.checkpoint import sharded

        folder = sharded.newest_together(Path(self.broadcast(checkpoint_path)).parent)
        optimizer = self.optimizers[0] if self.optimizers else None
        module: Any = self.lightning_module
        return sharded.load(folder, module, optimizer, self._names())

    def _names(self) -> list[str]:
        """Return the names of the optimizer's weights, in its order."""
        module: Any = self.lightning_module
        names = {id(p): name for name, p in module.named_parameters()}
        groups = self.optimizers[0].param_groups if self.optimizers else []
        return [names[id(p)] for group in groups for p in group["params"]]


def _refuse_whole_matrices(optimizers: Iterable[Any]) -> None:
    inner = [getattr(optimizer, "optimizer", optimizer) for optimizer in optimizers]
    for part in (part for each in inner for part in getattr(each, "parts", (each,))):
        kind = type(part)
        if kind.__name__ in ("Adafactor", "Muon"):
            raise UserError(
                f"{kind.__name__} needs whole matrices, but here each process has only a part of "
                f"them",
                key="trainer.strategy",
                value="fsdp",
                hint="Write trainer=ddp, or optimizer=adamw.",
            )
