"""Inputs of the decoder of an encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.models.language import IGNORED


def with_decoder(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch with `decoder_input_ids`: its labels shifted to the right by the model's own rule.

    Args:
        model: With `.encoder.model`, an encoder-decoder of transformers.
        batch: With `labels` (B, L).
    """
    encoder: Any = model.encoder
    network, labels = encoder.model, batch["labels"]
    if hasattr(network, "prepare_decoder_input_ids_from_labels"):
        shifted = network.prepare_decoder_input_ids_from_labels(labels=labels)
    else:
        start = network.config.decoder_start_token_id
        if start is None:
            raise UserError(
                "this model's config has no start token for the decoder",
                key="model",
                hint="Set decoder_start_token_id.",
            )
        shifted = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], dim=1)
        shifted = shifted.masked_fill(shifted == IGNORED, network.config.pad_token_id)
    return {**batch, "decoder_input_ids": shifted}


def ended(ids: Tensor, ends: int | Sequence[int] | None) -> Tensor:
    """Generated tokens (B, L) as labels: what stands behind the first end of a text is ignored."""
    if ends is None:
        return ids
    is_end = torch.isin(ids, torch.tensor(ends, device=ids.device)).long()
    return ids.masked_fill(is_end.cumsum(1) - is_end > 0, IGNORED)
