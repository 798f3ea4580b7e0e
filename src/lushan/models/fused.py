"""Operations of transformers' models in fewer passes over memory than they are written in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_CLOSE = 1e-5
"""By how much two forms of a norm may differ."""


def fuse(model: nn.Module) -> None:
    """Replace GPT-2's GELU and norms by the root of the mean square, of many operations each.

    Where nothing is learned, GELU needs no room of its own (`OverwritingGELU`). The config
    continues to name what it did, and weights keep their names.
    """
    from transformers.activations import GELUActivation, NewGELUActivation

    known: dict[type, bool] = {}
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is NewGELUActivation:
                child = nn.GELU(approximate="tanh")  # noqa: PLW2901
                setattr(parent, name, child)
            elif type(child) is GELUActivation and child.act is nn.functional.gelu:
                child = nn.GELU()  # noqa: PLW2901
            elif _is_rms_norm(child):
                setattr(parent, name, RMSNorm(child))
            if type(child) is nn.GELU and _is_all_that_reads(parent, name, child, known):
                setattr(parent, name, OverwritingGELU(child.approximate))


class OverwritingGELU(nn.GELU):
    """GELU of states that nothing else reads: where nothing is learned, it takes their place.

    They are the largest of a layer, and memory is what a processor waits for: a feed-forward layer
    takes four fifths of the time.
    """

    def forward(self, states: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(states)
        found: Tensor = torch.ops.aten.gelu_(states, approximate=self.approximate)
        return found


def _is_all_that_reads(
    parent: nn.Module, name: str, gelu: nn.GELU, known: dict[type, bool]
) -> bool:
    """Return whether a module has no other use for what it gives to its GELU.

    It is asked: the feed-forward layer, or its first half, is given states and gives the same with
    either GELU, and leaves the states alone.

    Args:
        parent: The module.
        name: Of its GELU.
        gelu: What computes it.
        known: The answers of other modules, by class.
    """
    if type(parent) not in known:
        before = getattr(parent, name)
        found = []
        for one in (gelu, OverwritingGELU(gelu.approximate)):
            setattr(parent, name, one)
            found.append(_answer(parent))
        setattr(parent, name, before)
        first, second = found
        known[type(parent)] = (
            first is not None and second is not None and torch.equal(first, second)
        )
    return known[type(parent)]


@torch.no_grad()
def _answer(module: nn.Module) -> Tensor | None:
    """Return what a module makes of some states, and the states; None where it takes no states."""
    layer = next((m for m in module.children() if isinstance(m, nn.Linear)), None)
    if layer is None or layer.weight.is_meta:
        return None
    weight = layer.weight
    states = torch.linspace(-1, 2, 2 * layer.in_features, device=weight.device, dtype=weight.dtype)
    states = states.view(1, 2, -1)
    training = [m for m in module.modules() if m.training]
    try:
        found = module.eval()(states)
    except (TypeError, ValueError, RuntimeError):  # it takes something else
        return None
    finally:
        for one in training:
            one.training = True
    return torch.cat([found, states], -1) if isinstance(found, Tensor) else None


class RMSNorm(nn.Module):
    """RMSNorm (Zhang and Sennrich, 2019), whose training takes half as long on a processor.

    Args:
        norm: Of transformers, with `weight` and `variance_epsilon`; its weight is used.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight: Tensor = norm.weight  # type: ignore[assignment]
        self.variance_epsilon = float(norm.variance_epsilon)  # type: ignore[arg-type]

    def forward(self, states: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        if self._on_processor(states):
            found: Tensor = _Normed.apply(  # type: ignore[no-untyped-call]
                states, self.weight, self.variance_epsilon
            )
            return found
        exact = states.to(torch.float32)
        scale = torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * (exact * scale).to(states.dtype)

    def _on_processor(self, states: Tensor) -> bool:
        """Return whether a processor trains it in half or single precision, and uncompiled."""
        own = states.device.type == "cpu" and states.dtype != torch.float64
        spread = hasattr(self.weight, "device_mesh")
        return own and not spread and torch.is_grad_enabled() and not torch.compiler.is_compiling()


class _Normed(torch.autograd.Function):
    """The norm in float32, rounded to the states' type before it is multiplied by the weight."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        exact = states.to(torch.float32)
        scale = exact.pow(2).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, scale)
        normed = (exact * scale).to(states.dtype)
        return normed.mul_(weight) if weight.dtype == normed.dtype else normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        states, weight, scale = ctx.saved_tensors
        slope, exact = gradient.to(torch.float32), weight.to(torch.float32)
        normed = states.to(torch.float32) * scale
        products = slope * normed
        of_weight = products.flatten(0, -2).sum(0)
        mean = (products @ exact).div_(states.shape[-1]).unsqueeze(-1)
        of_states = torch.mul(slope, exact, out=products)
        of_states.addcmul_(normed, mean, value=-1).mul_(scale)
        return of_states.to(states.dtype), of_weight.to(weight.dtype), None


@torch.no_grad()
def _is_rms_norm(module: nn.Module) -> bool:
    """Return whether a module computes what `RMSNorm` does; Gemma's adds 1 to its weight."""
    weight = getattr(module, "weight", None)
    names = [name for name, _ in module.named_parameters()]
    if names != ["weight"] or not isinstance(weight, Tensor) or weight.ndim != 1:
        return False
    if not hasattr(module, "variance_epsilon") or weight.is_meta:
        return False
    states = torch.linspace(-1, 2, 2 * len(weight), device=weight.device, dtype=weight.dtype)
    states = states.view(2, -1)
    return torch.allclose(module(states), RMSNorm(module)(states), atol=_CLOSE)
