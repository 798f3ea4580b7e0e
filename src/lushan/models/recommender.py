"""A causal model over items, whose vectors are their ids', those of their texts, or both.

What no user had in training is no wrong answer of it: it would be learned not to be wanted,
whatever its text says. Its id is left out. So are those of a share of all items in each step, if it
is asked for: texts learn to stand alone (DropoutNet, Volkovs et al., 2017). By ids alone nothing
can be known of such an item but that nobody had it, which is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lushan.models import projected_loss
from lushan.models.backbone import Backbone

By = Literal["id", "text", "both"]


class Recommender(nn.Module):
    """A causal transformer over items; its output is compared with the items' vectors.

    Args:
        encoder: The transformer. Its own embeddings are those of the ids.
        tokens: The token of each item, (I,).
        by: What an item's vector is made of.
        texts: Makes vectors of texts; None where `by` is `id`.
        learned: Which items occur in training, (I,). Where there are texts, the others have no
            vector of their id, and are no candidates of the loss.
        drop_ids: Share of the items whose ids are left out in a step of training, beside texts.
    """

    tokens: Tensor
    learned: Tensor
    candidates: Tensor
    places: Tensor

    def __init__(
        self,
        encoder: Backbone,
        tokens: Tensor,
        *,
        by: By,
        texts: nn.Module | None,
        learned: Tensor,
        drop_ids: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.by, self.texts, self.drop_ids = by, texts, drop_ids
        competing = torch.ones_like(learned) if texts is None else learned
        for name, value in (
            ("tokens", tokens),
            ("learned", learned.float()),
            ("candidates", competing.nonzero()[:, 0]),
            ("places", torch.where(competing, competing.cumsum(0) - 1, -1)),
        ):
            self.register_buffer(name, value, persistent=False)

    def items(self) -> Tensor:
        """Return the vectors of all items, (I, H)."""
        if self.by == "text":
            assert self.texts is not None
            return cast(Tensor, self.texts())
        ids = self._table()[self.tokens]
        if self.texts is None:
            return ids
        # Of one dimension it is no example's: all micro-batches of a step leave out the same ids.
        kept = F.dropout(self.learned, self.drop_ids, self.training)
        return ids * kept[:, None] + cast(Tensor, self.texts())

    def embeddings(self) -> Tensor:
        """Return the vectors of all tokens, (V, H): of items, and of what is special."""
        return self._table().index_copy(0, self.tokens, self.items())

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (B, L, H), each before the next item, and the items' vectors (I, H).

        Args:
            input_ids: Tokens, (B, L).
            attention_mask: (B, L).
        """
        table = self.embeddings()
        states = self.encoder(inputs_embeds=table[input_ids], attention_mask=attention_mask)
        return states, table[self.tokens]

    def loss(self, states: Tensor, items: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy among the candidates, summed over places with a label.

        Args:
            states: (B, L, H).
            items: (I, H).
            labels: Numbers of candidates, (B, L), or below 0 where nothing is learned.
        """
        there = labels >= 0
        # In one type: under autocast states may be of another than the vectors.
        kept = states[there].to(items.dtype)
        places = self.places[labels[there]]
        return projected_loss.cross_entropy(kept, items[self.candidates], None, places)

    def _table(self) -> Tensor:
        return cast(Tensor, self.encoder.model.get_input_embeddings().weight)


def ranks_of(scores: Tensor, right: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the ranks of right items, from 1; of even scores the lower number is first.

    Args:
        scores: (B, I), -inf where an item does not compete.
        right: Numbers of each row's right items.
    """
    found = []
    numbers = torch.arange(scores.shape[1], device=scores.device)
    for row, own in zip(scores, right, strict=True):
        before = [(row > row[i]) | ((row == row[i]) & (numbers < i)) for i in own]
        found.append(sorted(int(one.sum()) + 1 for one in before))
    return found


def without(scores: Tensor, seen: Tensor, right: Sequence[Sequence[int]]) -> Tensor:
    """Return scores with -inf for what each user had, less what is right.

    Args:
        scores: (B, I).
        seen: Numbers of items, (B, S), filled up with I.
        right: Of each row.
    """
    wider = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)
    found = wider.scatter(1, seen.to(scores.device), -torch.inf)[:, :-1]
    for row, own in enumerate(right):
        kept = [i for i in own if i < scores.shape[1]]
        found[row, kept] = scores[row, kept]
    return found
