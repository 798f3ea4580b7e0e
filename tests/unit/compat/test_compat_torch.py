"""Private names of torch."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module

from lushan.compat import torch as private


def test_lists_of_tensors() -> None:
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([2.0])
    assert [float(n) for n in private.norms([a, b])] == [5.0, 2.0]
    private.multiply([a, b], torch.tensor(2.0))
    assert [a.tolist(), b.tolist()] == [[6.0, 8.0], [4.0]]
    private.interpolate([a, b], [torch.zeros(2), torch.zeros(1)], 0.5)
    assert [a.tolist(), b.tolist()] == [[3.0, 4.0], [2.0]]
    private.copy([b], [torch.tensor([9.0])])
    assert b.tolist() == [9.0]


def test_a_child_is_replaced_without_a_change_of_order() -> None:
    parent = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    child = nn.Identity()
    private.replace_child(parent, "0", child)
    assert list(parent.named_children()) == [("0", child), ("1", parent[1])]


def test_settings_of_the_compiler() -> None:
    from torch._dynamo import config as dynamo
    from torch._functorch import config as functorch
    from torch._inductor import config as inductor

    with (
        dynamo.patch(recompile_limit=3, optimize_ddp=True),
        functorch.patch(enable_autograd_cache=True),
        inductor.patch(fx_graph_cache=True),
    ):
        private.compile_any_sizes(recompile_limit=64)
        assert (dynamo.recompile_limit, dynamo.optimize_ddp) == (64, False)
        assert not functorch.enable_autograd_cache
        assert not inductor.fx_graph_cache


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
