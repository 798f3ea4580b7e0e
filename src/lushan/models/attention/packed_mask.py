"""Rows of several documents: a mask that keeps each token within its own.

Causal models of transformers find such rows by their positions, which restart with each
document. Bidirectional ones do not; they are given the mask here, in the form that each takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lushan.compat.transformers import attention_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MASKABLE = ("eager", "sdpa")
"""Kinds of attention that take a mask of their own; flash attention goes by positions alone."""


def takes_rows(config: PreTrainedConfig) -> bool:
    """Return whether a bidirectional model can be kept within documents at all.

    Flex attention wants masks of its own kind, and DeBERTa multiplies its embeddings by the mask.
    """
    kind = attention_of(config) or ""
    return (kind in MASKABLE or "flash" in kind) and not config.model_type.startswith("deberta")


def begins(position_ids: Tensor) -> Tensor:
    """Mark where documents begin in a row, (B, L): at its start, and where positions go back."""
    return torch.diff(position_ids, prepend=position_ids[:, :1]) != 1


def attention_mask(
    config: PreTrainedConfig, position_ids: Tensor, dtype: torch.dtype
) -> Tensor | dict[str, Tensor] | None:
    """Return the `attention_mask` of a bidirectional model for rows of several documents.

    Args:
        config: Of the model.
        position_ids: (B, L), from 0 in each document.
        dtype: Of the hidden states.

    Returns:
        None where the kind of attention goes by positions; else a mask in the model's form.
    """
    if attention_of(config) not in MASKABLE:
        return None
    number = begins(position_ids).cumsum(-1)
    together = number[:, :, None] == number[:, None, :]  # (B, L, L)
    if getattr(config, "layer_types", None) is None:
        return _additive(together, dtype)
    places = torch.arange(position_ids.shape[1], device=position_ids.device)
    near = (places[:, None] - places[None, :]).abs() <= config.sliding_window
    return {
        "full_attention": _additive(together, dtype),
        "sliding_attention": _additive(together & near, dtype),
    }


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, L, L): 0 where a token may look, the least number elsewhere."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]
