"""Attention in float32 where torch's kernel for processors takes longer in a smaller type.

It is made for many long rows. Forward and backward pass in ms, in bf16, and in float32 with the
conversion there and back (AMD EPYC with AVX512-BF16, one thread): 20 rows x 12 heads x 36 tokens,
32 wide, 33.2 and 6.6; 8 x 12 x 128, 64 wide, 43.1 and 24.2; 8 x 4 x 256 32.8 and 28.7; 4 x 4 x 480
45.9 and 47.3. Forward alone, one query for each of eight rows of 160 keys: 0.54 and 0.15; from four
queries on bf16 is faster.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 256
"""Keys up to which training takes less in float32."""

_attention = F.scaled_dot_product_attention


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute what `torch.nn.functional.scaled_dot_product_attention` does, in the same type.

    Args:
        query: (B, F, L, D).
        key: (B, G, S, D), where G divides F.
        value: (B, G, S, D).
        attn_mask: Added to the scores, or true where attention is permitted.
        dropout_p: Share of the probabilities that is dropped.
        is_causal: Whether a query sees the keys before it only.
        scale: Factor of the scores.
        enable_gqa: Whether queries share keys.
    """
    options: dict[str, Any] = {
        "dropout_p": dropout_p,
        "is_causal": is_causal,
        "enable_gqa": enable_gqa,
    }
    if not is_faster(query, key):
        return _attention(query, key, value, attn_mask, scale=scale, **options)
    before = type_of(value)
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.float()
    with torch.autocast("cpu", enabled=False):
        exact = _attention(
            query.float(), key.float(), value.float(), attn_mask, scale=scale, **options
        )
    return exact.to(before)


def is_faster(query: Tensor, key: Tensor) -> bool:
    """Return whether it takes less time to convert states, and to compute in float32."""
    if query.device.type != "cpu" or type_of(query) not in (torch.bfloat16, torch.float16):
        return False
    queries, keys = query.shape[-2], key.shape[-2]
    return queries == 1 or (torch.is_grad_enabled() and keys <= LONGEST)


def type_of(states: Tensor) -> torch.dtype:
    """Return the type in which attention is computed of some states."""
    mixed = torch.is_autocast_enabled("cpu") and states.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if mixed else states.dtype
