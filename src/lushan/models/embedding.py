"""Vectors of texts, and the loss that brings those of a query and its passage together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lushan.models.backbone import Backbone
from lushan.models.losses import wide
from lushan.models.pooling import Kind, pooler


class EmbeddingModel(nn.Module):
    """An encoder and what makes one vector of a text's hidden states."""

    def __init__(self, encoder: Backbone, pooling: Kind) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler(pooling, encoder.width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a vector a text, (B, H), in float32 and of any length.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L).
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return wide(self.pooler(states, attention_mask))


def contrastive_losses(
    queries: Tensor,
    candidates: Tensor,
    hidden: Tensor,
    *,
    temperature: float,
    dims: Sequence[int] = (),
) -> Tensor:
    """Return the cross-entropy of each query's own passage among all candidates, (N,).

    InfoNCE (van den Oord et al., 2018, arXiv:1807.03748) over cosines; with several widths the mean
    over them (Matryoshka: Kusupati et al., 2022, arXiv:2205.13147).

    Args:
        queries: (N, H).
        candidates: (C, H), whose first N are the queries' own passages.
        hidden: (N, C), which candidates are none for a query: further right ones.
        temperature: The cosines are divided by it.
        dims: Widths; none is the whole.
    """
    targets = torch.arange(len(queries), device=queries.device)
    losses = []
    for width in dims or (queries.shape[1],):
        one, other = (F.normalize(part[:, :width], dim=-1) for part in (queries, candidates))
        scores = (one @ other.T / temperature).masked_fill(hidden, -torch.inf)  # (N, C)
        losses.append(F.cross_entropy(scores, targets, reduction="none"))
    return torch.stack(losses).mean(0)
