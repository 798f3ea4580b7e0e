"""Private names of torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import ParallelStyle

# Operations on lists of tensors in one kernel: torch's optimizers use them, and public functions
# take one tensor at a time, which costs a launch for each weight of a model.


def multiply(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiply tensors by a scalar, in place."""
    torch._foreach_mul_(list(tensors), factor)


def norms(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the Euclidean norm of each tensor."""
    return torch._foreach_norm(list(tensors))


def interpolate(tensors: Sequence[Tensor], ends: Sequence[Tensor], weight: float) -> None:
    """Move tensors towards others by a share of the distance, in place."""
    torch._foreach_lerp_(list(tensors), list(ends), weight)


def copy(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors of the same shapes."""
    torch._foreach_copy_(list(targets), list(values))


def local_part(tensor: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of this process's part, and where in the whole it begins.

    `DTensor.to_local` gives the part without its place.
    """
    shape, start = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return tuple(shape), tuple(start)


def replace_child(parent: nn.Module, name: str, child: nn.Module) -> None:
    """Put another module in a module's place.

    `nn.Module.__setattr__` and `set_submodule` run hooks of FSDP2 and forget the order of modules.
    """
    parent._modules[name] = child


def compile_any_sizes(recompile_limit: int) -> None:
    """Set what `torch.compile` has no options for.

    Graphs on disk are not used, as one that was made for other sizes would serve for these, too.
    DDP does not cut graphs, which would compile what is around them.

    Args:
        recompile_limit: Graphs of a function; beyond it runs uncompiled.
    """
    torch._inductor.config.fx_graph_cache = False
    torch._functorch.config.enable_autograd_cache = False
    torch._dynamo.config.recompile_limit = recompile_limit
    torch._dynamo.config.optimize_ddp = False


class TensorParallelStyle(ParallelStyle):
    """A way to cut a module, for `parallelize_module`; its public base has a private method."""

    def apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        """Cut a module over the processes of a mesh."""
        raise NotImplementedError

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return self.apply(module, device_mesh)
