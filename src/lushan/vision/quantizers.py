"""Quantizers: vectors to codes of a finite codebook, with gradients that pass straight through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MARGIN = 1e-3
"""Keeps tanh, at its ends, from rounding to a level that there is not."""


class FSQ(nn.Module):
    """Finite scalar quantization (Mentzer et al., 2023, arXiv:2309.15505): a grid and no codebook.

    Each dimension is bounded and rounded to one of a few levels. There is nothing that can
    collapse, and no loss beside that of the reconstruction.

    Args:
        levels: Number of levels of each dimension, each 2 or more.

    Attributes:
        size: Number of codes, the product of the levels.
        width: D, the number of dimensions.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.size, self.width = math.prod(levels), len(levels)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize vectors (..., D).

        Returns:
            The quantized vectors (..., D), their codes int64 (...), and the loss of each (...).
        """
        levels = self._levels(states).to(states.dtype)
        half = (levels - 1) * (1 + _MARGIN) / 2
        # With an even number of levels, none lies at 0.
        offset = (1 - levels % 2) / 2
        bounded = (states + torch.atanh(offset / half)).tanh() * half - offset
        places = bounded.detach().round().long() + (levels // 2).long()
        codes = (places * self._basis(states)).sum(-1)
        found = bounded / (levels // 2)
        found = found + (self.vectors(codes) - found).detach()
        return found, codes, torch.zeros_like(states[..., 0])

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the quantized vectors (..., D) of codes (...)."""
        levels = self._levels(codes).long()
        places = codes[..., None] // self._basis(codes) % levels
        return (places - levels // 2) / (levels // 2)

    def _levels(self, like: Tensor) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float32, device=like.device)

    def _basis(self, like: Tensor) -> Tensor:
        steps = [math.prod(self.levels[:i]) for i in range(self.width)]
        return torch.tensor(steps, device=like.device)


class VQ(nn.Module):
    """Vector quantization (van den Oord et al., 2017, arXiv:1711.00937) by cosine.

    Vectors and codebook have length 1 and few dimensions, so that more codes are used (ViT-VQGAN,
    Yu et al., 2021, arXiv:2110.04627).

    Args:
        size: Number of codes.
        width: D, the number of dimensions.
        commitment: Weight of the loss that keeps vectors near their codes.
    """

    def __init__(self, size: int, width: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.size, self.width, self.commitment = size, width, commitment
        self.codebook = nn.Embedding(size, width)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `FSQ.forward`."""
        states = F.normalize(states, dim=-1)
        with torch.no_grad():
            codes = (states @ F.normalize(self.codebook.weight, dim=-1).T).argmax(-1)
        found = self.vectors(codes)
        apart = (found - states.detach()).square().mean(-1)
        loss = apart + self.commitment * (found.detach() - states).square().mean(-1)
        return states + (found - states).detach(), codes, loss

    def vectors(self, codes: Tensor) -> Tensor:
        """See `FSQ.vectors`."""
        return F.normalize(self.codebook(codes), dim=-1)
