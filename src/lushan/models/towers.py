"""Two towers, one for images and one for texts, whose vectors are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lushan.errors import UserError
from lushan.models.losses import wide


class Towers(nn.Module):
    """The backbone of a CLIP of transformers.

    Args:
        model: Of transformers.
        bias: Begin of a learned bias of the products of vectors, for `sigmoid_losses`; None: none.

    Raises:
        UserError: It has not both towers.
    """

    new_weights: Sequence[str] = ()

    def __init__(self, model: Any, bias: float | None = None) -> None:
        super().__init__()
        if not all(hasattr(model, name) for name in ("text_projection", "visual_projection")):
            raise UserError(
                f"a {model.config.model_type} does not have an image tower and a text tower",
                key="model",
                hint="Write model=clip_tiny, or model=pretrained with the path of a CLIP model.",
            )
        self.model, self.config = model, model.config
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        self.width = int(model.config.projection_dim)
        self.max_length = int(model.config.text_config.max_position_embeddings)

    def of_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the vector of each text, (B, H): of its last token, as CLIP reads it.

        Args:
            input_ids: (B, L), padded at the end.
            attention_mask: (B, L).
        """
        states = self.model.text_model(input_ids=input_ids, attention_mask=attention_mask)
        rows = torch.arange(len(input_ids), device=input_ids.device)
        last = states.last_hidden_state[rows, attention_mask.sum(1) - 1]
        return self._scaled(self.model.text_projection(last))

    def of_images(self, pixel_values: Tensor) -> Tensor:
        """Return the vector of each image (B, C, S, S), (B, H)."""
        states = self.model.vision_model(pixel_values=pixel_values.to(self.model.dtype))
        return self._scaled(self.model.visual_projection(states.pooler_output))

    def _scaled(self, vectors: Tensor) -> Tensor:
        """Return vectors whose products are cosines times the scale, which is learned by that."""
        return F.normalize(wide(vectors), dim=-1) * (self.model.logit_scale / 2).exp()


def paired_losses(one: Tensor, other: Tensor, hidden: Tensor) -> Tensor:
    """Return the loss of each pair, (N,), among all pairs, in both directions.

    The mean of the cross-entropies of either side's own partner (CLIP: Radford et al., 2021,
    arXiv:2103.00020).

    Args:
        one: (N, H), scaled.
        other: (N, H), of the same pairs.
        hidden: (N, N), which pairs are no negatives of one another.
    """
    scores = (one @ other.T).masked_fill(hidden, -torch.inf)
    targets = torch.arange(len(one), device=one.device)
    ways = [F.cross_entropy(s, targets, reduction="none") for s in (scores, scores.T)]
    return (ways[0] + ways[1]) / 2


def sigmoid_losses(one: Tensor, other: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
    """Return the loss of each pair, (N,): whether its text goes with each of the images.

    A binary cross-entropy of each text with each image, summed over the images (SigLIP: Zhai et
    al., 2023, arXiv:2303.15343, algorithm 1).

    Args:
        one: (N, H), scaled.
        other: (N, H), of the same pairs.
        hidden: (N, N), which pairs are no negatives of one another.
        bias: (N,), added to the products of each row.
    """
    signs = 2 * torch.eye(len(one), device=one.device, dtype=one.dtype) - 1
    scores = signs * (one @ other.T + bias[:, None])
    return -F.logsigmoid(scores).masked_fill(hidden, 0).sum(1)
