"""Private names of torch's sharded tensors, whose import takes seconds."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import ParallelStyle


def local_part(tensor: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of this process's part, and where in the whole it begins.

    `DTensor.to_local` gives the part without its place.
    """
    shape, start = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return tuple(shape), tuple(start)


class TensorParallelStyle(ParallelStyle):
    """A way to cut a module, for `parallelize_module`; its public base has a private method."""

    def apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        """Cut a module over the processes of a mesh."""
        raise NotImplementedError

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return self.apply(module, device_mesh)
