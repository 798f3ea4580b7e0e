"""Private names of torch's sharded tensors."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module

from lushan.compat import dtensor as private


@pytest.fixture
def mesh(tmp_path):
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_the_place_of_a_part(mesh) -> None:
    tensor = distribute_tensor(torch.zeros(4, 3), mesh, [Shard(0)])
    assert private.local_part(tensor) == ((4, 3), (0, 0))


def test_a_style_cuts_a_module(mesh) -> None:
    cut = []

    class Style(private.TensorParallelStyle):
        def apply(self, module, device_mesh):
            cut.append((module, device_mesh))
            return module

    model = nn.Sequential(nn.Linear(2, 2))
    parallelize_module(model, mesh, {"0": Style()})
    assert cut == [(model[0], mesh)]
