"""Private names of torch."""

import subprocess
import sys

import pytest
import torch
from torch import nn

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


STEPS = """
import sys, torch
from lushan.compat.torch import without_compiler
def learned(around):
    torch.manual_seed(0)
    found = []
    for kind in (torch.optim.AdamW, torch.optim.SGD, torch.optim.Adafactor):
        layer = torch.nn.Linear(2, 2)
        optimizer = around(lambda: kind(layer.parameters(), lr=0.1))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        counted = []
        optimizer.register_step_post_hook(lambda *_: counted.append(1))
        for _ in range(3):
            layer(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        optimizer.load_state_dict(optimizer.state_dict())
        assert len(counted) == 3
        found += layer.weight.flatten().tolist()
    return found
light = learned(without_compiler)
assert "torch._dynamo" not in sys.modules
assert light == learned(lambda make: make())
assert "torch._dynamo" in sys.modules
assert light == learned(without_compiler)
"""


@pytest.mark.slow
def test_optimizers_import_no_compiler_and_learn_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
