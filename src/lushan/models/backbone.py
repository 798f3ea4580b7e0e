"""An encoder and what stands on it, as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordModel(nn.Module):
    """Encoder and head over words: each word is its first subword's hidden state."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, inputs: dict[str, Tensor], positions: Tensor) -> Tensor:
        """Scores of every word.

        Args:
            inputs: What the encoder takes, each (B, L).
            positions: Where each word's first subword stands, (B, W).

        Returns:
            (B, W, C)
        """
        hidden = self.encoder(**inputs)  # (B, L, H)
        index = positions[..., None].expand(-1, -1, hidden.shape[-1])
        return self.head(torch.gather(hidden, 1, index))


class TextModel(nn.Module):
    """Encoder, pooling and head: one row of scores a text."""

    def __init__(self, encoder: nn.Module, pooler: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        # Both are fresh, and so learn at the head's rate.
        self.head = nn.ModuleDict({"pooler": pooler, "scores": head})

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Scores (B, C) of the texts in `inputs`, each entry (B, L)."""
        hidden = self.encoder(**inputs)  # (B, L, H)
        pooled = self.head["pooler"](hidden, inputs["attention_mask"])  # (B, H)
        return self.head["scores"](pooled)
