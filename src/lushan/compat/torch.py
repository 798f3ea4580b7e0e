"""Private names of torch."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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


def without_compiler(make: Callable[[], Optimizer]) -> Optimizer:
    """Make an optimizer that does not import `torch._dynamo` to keep itself from being compiled.

    That import takes seconds, and without it nothing is compiled. Methods of an optimizer look for
    their uncompiled selves where torch keeps them after the first call, and its step only tells
    the compiler to stop there. Where the compiler is imported, the optimizer is torch's own.

    Args:
        make: Makes an optimizer of torch, or another.
    """
    if "torch._dynamo" in sys.modules:
        return make()
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        function = getattr(Optimizer, name).__wrapped__
        setattr(function, "__dynamo_disable", function)
    optimizer = make()
    step: Any = type(optimizer).step
    while step is not None and step.__code__.co_name != "_use_grad":
        step = getattr(step, "__wrapped__", None)
    if step is not None and not optimizer.defaults.get("differentiable"):
        own = Optimizer.profile_hook_step(torch.no_grad()(step.__wrapped__))
        optimizer.step = types.MethodType(own, optimizer)  # type: ignore[method-assign]
    return optimizer


def packed(weight: Tensor) -> Tensor | None:
    """Return a weight (out, in) in the layout of oneDNN's products; None where there is no such.

    torch's compiler packs weights by this operation. `torch.utils.mkldnn` does so in public, and
    converts what goes in and comes out of each product, which takes longer than few rows do.
    """
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not there or weight.dtype not in (torch.float32, torch.bfloat16):
        return None
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    rows = 8  # the layout serves any number of them; of 1, float32 is packed worse
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
    return found


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor has been written to; there is none in inference mode."""
    return tensor._version


def multiply_packed(given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply (..., in) by a packed weight (out, in), and add a bias (out,) if there is one."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(given, weight, bias, "none", [], "")
    return found
