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

    The config continues to name what it did, and weights keep their names.
    """
    from transformers.activations import NewGELUActivation

    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is NewGELUActivation:
                setattr(parent, name, nn.GELU(approximate="tanh"))
            elif _is_rms_norm(child):
                setattr(parent, name, RMSNorm(child))


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
