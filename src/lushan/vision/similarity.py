"""Structural similarity of images (SSIM)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""Pixels of a side and deviation of the Gaussian window."""


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Return the structural similarity of pairs of images (Wang et al., 2004), float32 (B,).

    Images are mirrored at their edges, as torchmetrics does, so that all pixels count. One that is
    smaller than half a window has a smaller window.

    Args:
        one: (B, C, H, W), from 0 to 1.
        other: Likewise.
    """
    one, other = one.float(), other.float()
    channels, *sides = one.shape[1:]
    size = min(WINDOW, *(2 * side - 1 for side in sides))
    places = torch.arange(size, dtype=one.dtype, device=one.device) - (size - 1) / 2
    bell = torch.exp(-(places**2) / (2 * SIGMA**2))
    kernel = torch.outer(bell, bell) / bell.sum() ** 2
    kernel = kernel.expand(channels, 1, size, size)
    parts = torch.cat([one, other, one * one, other * other, one * other])
    parts = F.pad(parts, [size // 2] * 4, mode="reflect")
    x, y, xx, yy, xy = F.conv2d(parts, kernel, groups=channels).chunk(5)
    first, second = 0.01**2, 0.03**2
    likeness = (2 * x * y + first) * (2 * (xy - x * y) + second)
    total = (x * x + y * y + first) * ((xx - x * x).clamp(0) + (yy - y * y).clamp(0) + second)
    return (likeness / total).flatten(1).mean(1)
