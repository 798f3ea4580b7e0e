"""A model cut for several processes: by layers and rows (FSDP2), and inside its matrices.

What a cut model computes is what the whole one does; only where its weights lie is another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from lushan.compat.dtensor import TensorParallelStyle
from lushan.compat.transformers import leave_generation_alone
from lushan.errors import UserError
from lushan.models.backbone import blocks

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Entry(nn.Module):
    """One way into a model: whatever is asked of it is one forward pass to FSDP2.

    A task computes its loss with parts of the model; FSDP2 must see one module being called, to
    know when weights are wanted and when they have been used.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[[nn.Module, Any], Any], batch: object) -> object:
        """Return the result of `call` on the model and a batch."""
        return call(self.model, batch)


def shard(model: nn.Module, mesh: DeviceMesh, *, half: bool = False) -> Entry:
    """Spread a model's weights, gradients and optimizer state over processes (FSDP2, ZeRO-3).

    Each layer is gathered when it computes; what is outside the layers (embeddings, the output
    projection, heads) is one more piece.

    Args:
        model: The whole one, on every process alike.
        mesh: The processes, in one dimension.
        half: Whether layers are gathered in bfloat16; their gradients are added up in float32.

    Returns:
        The way into it.
    """
    # Autocast casts what each operation is given; a cast of a whole layer's inputs would make
    # positions and norms coarser than they are on one device.
    thin = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    policy: dict[str, Any] = {"mp_policy": thin} if half else {}
    for block in blocks(model):
        fully_shard(block, mesh=mesh, **policy)
    entry = Entry(model)
    fully_shard(entry, mesh=mesh)
    inner: Any = getattr(getattr(model, "encoder", None), "model", None)
    if inner is not None:
        # transformers would let all processes generate in step; here each does so by itself, with
        # the whole model (`gathered`).
        leave_generation_alone(inner)
    return entry


@contextlib.contextmanager
def gathered(entry: Entry) -> Iterator[None]:
    """All of a sharded model on each process; all must begin and end it together.

    It must have been gone through before, for FSDP2 to know which module is the outermost.
    """
    parts = [m for m in entry.modules() if isinstance(m, FSDPModule) and id(m) != id(entry)]
    for module in parts:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in parts:
            module.reshard()
            module.set_reshard_after_forward(True, recurse=False)


# Tensor parallelism

_LEFT_WHOLE = ("embedding_rowwise", "embedding_colwise", "colwise_gather_output", "colwise_rep")
"""Plans for embeddings and the output projection; the loss takes the projection whole."""


class _PerHead(TensorParallelStyle):
    """A norm of each head by itself: its weight is whole, and sees this process's heads alone."""

    def apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        """Cut the norm."""

        def inputs(_: nn.Module, given: Any, mesh: DeviceMesh) -> Any:
            return (DTensor.from_local(given[0], mesh, [Shard(2)], run_check=False), *given[1:])

        def output(_: nn.Module, made: Any, _mesh: DeviceMesh) -> Any:
            return made.to_local()

        return distribute_module(module, device_mesh, _whole, inputs, output)


def _whole(_: str, module: nn.Module, mesh: DeviceMesh) -> None:
    for name, weight in list(module.named_parameters(recurse=False)):
        copies = distribute_tensor(weight.detach(), mesh, [Replicate()], src_data_rank=None)
        module.register_parameter(name, nn.Parameter(copies, weight.requires_grad))


_STYLES: dict[str, type[ParallelStyle]] = {
    "colwise": ColwiseParallel,
    "rowwise": RowwiseParallel,
    "replicated_with_grad_allreduce": _PerHead,
}
"""transformers' names for how a module is cut."""


def split(model: Any, mesh: DeviceMesh) -> None:
    """Cut a model's matrices over processes that all see the same batch, by its family's plan.

    Args:
        model: Of transformers, with a plan (`base_model_tp_plan` in its config).
        mesh: The processes, in one dimension.

    Raises:
        UserError: Its family has no plan, or the plan does not fit the number of processes.
    """
    plan = _plan(model)
    _require_even(model.config, mesh.size())
    parallelize_module(
        model, mesh, {name: _STYLES[style]() for name, style in plan.items()}, src_data_rank=None
    )


def _plan(model: Any) -> dict[str, str]:
    family = model.config.model_type
    plan = {n: s for n, s in (model.tp_plan or {}).items() if s not in _LEFT_WHOLE}
    if not plan:
        raise UserError(
            f"tensor parallelism does not support {family} models",
            key="trainer.tensor_parallel",
            hint="It supports Llama, Qwen, Mistral, Gemma and similar models. trainer=fsdp shards "
            "any model.",
        )
    unknown = sorted(set(plan.values()) - _STYLES.keys())
    if unknown:
        raise UserError(
            f"the plan of a {family} model has unsupported parts: {', '.join(unknown)}",
            key="trainer.tensor_parallel",
            hint="Write trainer=fsdp, which shards any model.",
        )
    modules = dict(model.named_modules())
    adapted = [n for n in modules if n.endswith(".base_layer")]
    if adapted:
        raise UserError(
            f"tensor parallelism does not support adapters inside matrices: {adapted[0]}",
            key="trainer.tensor_parallel",
            hint="Write trainer=fsdp, which shards any model.",
        )
    return plan


def _require_even(config: PreTrainedConfig, size: int) -> None:
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        count = getattr(config, name, None)
        if isinstance(count, int) and count % size:
            raise UserError(
                f"the model's {name}, {count}, cannot be divided evenly",
                key="trainer.tensor_parallel",
                value=size,
            )
