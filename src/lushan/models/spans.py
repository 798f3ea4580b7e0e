"""A model that scores where a span of a text starts and where it ends, and the best spans by it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lushan.models.backbone import Backbone


class SpanModel(nn.Module):
    """Encoder and a head with two scores a token: of a span's start, and of its end."""

    def __init__(self, encoder: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return scores (B, L, 2)."""
        return self.head(self.encoder(**batch))


def best_spans(
    scores: Tensor, mask: Tensor, count: int, longest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the spans with the highest sum of the scores of start and end.

    Args:
        scores: (B, L, 2), of starts and of ends.
        mask: Where a span may start or end, (B, L).
        count: How many spans.
        longest: Tokens of one, at most.

    Returns:
        First token, last token and sum of each, (B, count) or fewer; the sum of none is -inf.
    """
    first, last = scores.masked_fill(~mask[..., None], -torch.inf).unbind(-1)  # (B, L)
    longest = min(longest, last.shape[1])
    after = nn.functional.pad(last, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    total = (first[..., None] + after).flatten(1)  # (B, L * longest), of all spans
    sums, places = total.topk(min(count, total.shape[1]), dim=1)
    starts = places // longest
    return starts, (starts + places % longest).clamp(max=last.shape[1] - 1), sums
