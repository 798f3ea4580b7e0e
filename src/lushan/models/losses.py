"""Losses as sums over targets, in float32 also under autocast.

Sums and not means: the caller divides by the targets of the whole global batch, so that splitting
it over micro-batches and devices changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

IGNORED = -100
_LEAST = 1e-8
"""Below it, `(1 - p) ** gamma` has no useful slope, and for gamma < 1 an infinite one."""


def cross_entropy(
    scores: Tensor,
    labels: Tensor,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Tensor:
    """Cross-entropy of N targets, summed.

    Args:
        scores: (N, C), unnormalised.
        labels: (N,); -100 has no loss.
        weight: (C,), one factor a class.
        label_smoothing: Share of each target that is spread evenly over all classes.
        focal_gamma: Every target's loss times `(1 - p) ** gamma`, p being the probability of its
            class (Lin et al., 2017).
    """
    scores = wide(scores)
    weight = None if weight is None else weight.to(scores)
    options: dict[str, Any] = {"ignore_index": IGNORED, "label_smoothing": label_smoothing}
    if not focal_gamma:
        return F.cross_entropy(scores, labels, weight, **options, reduction="sum")
    each = F.cross_entropy(scores, labels, weight, **options, reduction="none")
    own = labels.clamp(min=0)[:, None]
    log_p = scores.log_softmax(-1).gather(-1, own).squeeze(-1)  # (N,)
    return (_focus(log_p, focal_gamma) * each).sum()  # `each` is 0 where ignored


def binary_cross_entropy(
    scores: Tensor, labels: Tensor, *, weight: Tensor | None = None, focal_gamma: float = 0.0
) -> Tensor:
    """Binary cross-entropy of every label of every text, summed.

    Args:
        scores: (N, C), unnormalised.
        labels: (N, C), 0 or 1.
        weight: (C,), one factor a label, for its presence and its absence alike.
        focal_gamma: As for `cross_entropy`, with the probability of what is true of the label.
    """
    scores = wide(scores)
    labels = labels.to(scores)
    weight = None if weight is None else weight.to(scores)
    if not focal_gamma:
        return F.binary_cross_entropy_with_logits(scores, labels, weight, reduction="sum")
    each = F.binary_cross_entropy_with_logits(scores, labels, weight, reduction="none")
    log_p = labels * F.logsigmoid(scores) + (1 - labels) * F.logsigmoid(-scores)
    return (_focus(log_p, focal_gamma) * each).sum()


def mse(scores: Tensor, labels: Tensor) -> Tensor:
    """Squared differences of (N,) and (N,), summed."""
    scores = wide(scores)
    return F.mse_loss(scores, labels.to(scores), reduction="sum")


def _focus(log_p: Tensor, gamma: float) -> Tensor:
    return (-torch.expm1(log_p)).clamp(min=_LEAST) ** gamma


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or in float64 where it has that."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def products(one: Tensor, other: Tensor) -> Tensor:
    """Return the products of rows (N, H) with rows (M, H), (N, M), in float32 also under autocast.

    Of thousands that are ranked by them, many are alike in the three digits of bfloat16.
    """
    with torch.autocast(one.device.type, enabled=False):
        return wide(one) @ wide(other).T


def with_all_weights(loss: Tensor, model: nn.Module) -> Tensor:
    """Return a loss that depends on every weight, where copies of a model learn together.

    They wait for one another's gradients, also where one of them has seen no image. A process that
    learns alone needs no more than `fill_gradients` after the last one.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return loss
    return loss + sum((w.sum() for w in _learned(model.parameters())), start=loss.new_zeros(())) * 0


def fill_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give weights that a step has not reached a gradient of 0.

    An optimizer leaves a weight without a gradient as it is, and moves one whose gradient is 0 by
    its momentum and decay.
    """
    for weight in _learned(weights):
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)


def _learned(weights: Iterable[nn.Parameter]) -> Iterator[nn.Parameter]:
    """Yield those that learn and are no part of a spread out one."""
    return (w for w in weights if w.requires_grad and not hasattr(w, "device_mesh"))
