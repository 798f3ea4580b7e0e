"""Cross-entropy over a vocabulary, whose logits are never held all at once.

A piece of the places at a time: logits, softmax, and right away the gradients, so that nothing of
the vocabulary's size is kept for the backward pass but the gradient of the projection. Products are
taken in the type of the hidden states; softmax, loss and all sums over places are in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lushan.models.losses import wide

_HELD = 2**24
"""Bytes of logits that are held at a time: what stays near a processor, and fills a card."""
_LEAST = 256
"""Places whose logits are held together, however large the vocabulary."""


def piece(vocabulary: int, dtype: torch.dtype) -> int:
    """Return how many places are projected together."""
    # In half precision logits and slopes are held in float32 and in their own type.
    size = 4 if dtype == torch.float32 else 8
    return max(_LEAST, _HELD // (size * vocabulary))


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of a projection, summed, in float32 (float64 for states in float64).

    Its backward pass can be taken once, and has no gradient of its own.

    Args:
        hidden: (T, H); the projection is computed in its type.
        weight: (V, H).
        bias: (V,), or None.
        labels: (T,), each below V.
        weights: (T,), what each label's loss is multiplied by; None is 1.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        with torch.autocast(hidden.device.type, enabled=False):
            return cross_entropy(hidden, weight, bias, labels, weights)
    found: Tensor = _Projected.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, labels, weights
    )
    return found


class _Projected(torch.autograd.Function):
    """Loss and gradients in one pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        dtype, (of_hidden, of_weight, of_bias) = hidden.dtype, ctx.needs_input_grad[:3]
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        narrow = weight.to(dtype)
        offset = None if bias is None else bias.to(dtype)
        factors = hidden.new_ones(len(labels), dtype=exact) if weights is None else weights
        factors = factors.to(exact)
        total = hidden.new_zeros((), dtype=exact)
        slopes: list[Tensor | None] = [
            torch.empty_like(hidden) if of_hidden else None,
            torch.zeros_like(weight, dtype=exact) if of_weight else None,
            torch.zeros_like(bias, dtype=exact) if bias is not None and of_bias else None,
        ]
        size = piece(len(weight), dtype)
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            scores = wide(F.linear(hidden[part], narrow, offset))  # (n, V)
            total += _softmax_(scores, labels[part], factors[part])
            _add_slopes(slopes, scores, hidden, narrow, part)
        ctx.slopes, ctx.types = slopes, (dtype, weight.dtype, exact if bias is None else bias.dtype)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slopes, ctx.slopes = ctx.slopes, None  # scaled in place, for once
        if slopes is None:
            raise RuntimeError("the loss over a vocabulary can go backward once only")
        scaled = [
            None if slope is None else slope.mul_(gradient).to(dtype)
            for slope, dtype in zip(slopes, ctx.types, strict=True)
        ]
        return (*scaled, None, None)


def _softmax_(scores: Tensor, labels: Tensor, factors: Tensor) -> Tensor:
    """Turn scores (n, V) into the slopes of their loss, in place, and return the loss."""
    scores -= scores.amax(-1, keepdim=True)
    own = scores.gather(-1, labels[:, None])[:, 0]
    sums = scores.exp_().sum(-1)
    scores *= (factors / sums)[:, None]
    scores.scatter_add_(-1, labels[:, None], -factors[:, None])
    return torch.dot(sums.log() - own, factors)


def _add_slopes(
    slopes: list[Tensor | None], scores: Tensor, hidden: Tensor, narrow: Tensor, part: slice
) -> None:
    """Add a piece's gradients, from the slopes of its scores (n, V)."""
    of_hidden, of_weight, of_bias = slopes
    if of_bias is not None:
        of_bias += scores.sum(0)
    scores = scores.to(narrow.dtype)
    if of_hidden is not None:
        torch.mm(scores, narrow, out=of_hidden[part])
    if of_weight is not None and of_weight.dtype == scores.dtype:
        of_weight.addmm_(scores.T, hidden[part])
    elif of_weight is not None:
        of_weight += torch.mm(scores.T, hidden[part])
