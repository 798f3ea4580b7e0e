"""One vector a text, out of one a token."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["cls", "last", "mean", "max", "attention"]


def pooler(kind: Kind, width: int) -> nn.Module:
    """A module (hidden (B, L, H), attention_mask (B, L)) -> (B, H); padding has no part in it."""
    plain = {"cls": Cls, "last": Last, "mean": Mean, "max": Max}
    return Attention(width) if kind == "attention" else plain[kind]()


class Cls(nn.Module):
    """The first token, `[CLS]`."""

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:  # noqa: ARG002
        """(B, L, H) -> (B, H)."""
        return hidden[:, 0]


class Last(nn.Module):
    """The last token, which a causal model reads all others before; padding follows it."""

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, H) -> (B, H)."""
        rows = torch.arange(len(hidden), device=hidden.device)
        return hidden[rows, attention_mask.sum(1) - 1]


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, H) -> (B, H)."""
        share = attention_mask / attention_mask.sum(1, keepdim=True).clamp(min=1)  # (B, L)
        return (hidden * share[..., None].to(hidden.dtype)).sum(1)


class Max(nn.Module):
    """The largest value over the tokens, feature by feature."""

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, H) -> (B, H)."""
        # The lowest number and not -inf: a row without any token stays finite.
        lowest = torch.finfo(hidden.dtype).min
        return hidden.masked_fill(attention_mask[..., None] == 0, lowest).amax(1)


class Attention(nn.Module):
    """A learned weighting of the tokens: softmax of one linear score each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)  # a bias would cancel in the softmax
        nn.init.normal_(self.score.weight, std=0.02)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, H) -> (B, H)."""
        scores = self.score(hidden).squeeze(-1).float()  # (B, L)
        scores = scores.masked_fill(attention_mask == 0, torch.finfo(scores.dtype).min)
        return (hidden * scores.softmax(-1)[..., None].to(hidden.dtype)).sum(1)
