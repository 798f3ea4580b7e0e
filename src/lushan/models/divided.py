"""Causal attention of one document after the other, for rows of several on a processor.

A mask over whole rows is computed with all the same: of 512 tokens in documents of 200, two thirds
of what attention does is thrown away. Cut at their positions, documents need neither mask nor the
half above the diagonal, which torch's kernel for processors leaves out. On a card the pieces would
be too small to be worth a kernel each; there flash attention goes by positions.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NAME = "by_document"
"""What transformers calls this kind of attention, of which it is told by `register`."""
WHOLE = "sdpa"
"""The kind whose place it takes, and which does all that is no row of documents."""


def possible(config: Any, device: torch.device) -> bool:
    """Whether it may stand in for a model's own; that documents stay apart is to be tried still.

    Of images in a text a mask says what sees what, and here there is none.
    """
    kind, images = config._attn_implementation, getattr(config, "vision_config", None)
    return kind == WHOLE and device.type == "cpu" and images is None


@functools.cache
def register() -> None:
    """Tell transformers of it."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


def mask(
    *,
    q_length: int,
    kv_length: int,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Tensor | None:
    """None where each token sees all of its document before it; else the mask of `sdpa`."""
    from transformers.masking_utils import sdpa_mask

    plain = attention_mask is None and q_length == kv_length and not use_vmap
    if plain and (local_size or q_length) >= q_length and torch.device(device).type == "cpu":
        return None
    return sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        attention_mask=attention_mask,
        local_size=local_size,
        use_vmap=use_vmap,
        device=device,
        **options,
    )


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_ids: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls for each layer.

    Args:
        module: The layer's attention.
        query: (B, H, L, D).
        key: (B, G, L, D), where G divides H.
        value: (B, G, L, D).
        attention_mask: None where `mask` said that positions tell all.
        dropout: Share of attention that is dropped.
        scaling: Of the products; D**-0.5 where it is None.
        position_ids: (B, L) or (1, L), from 0 in each document.
        options: What else transformers passes on.

    Returns:
        The attended values (B, L, H, D), and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    lengths = None
    if attention_mask is None and position_ids is not None and query.shape[2] == key.shape[2]:
        lengths = _lengths(position_ids.expand(len(query), -1))
    if lengths is None or len(lengths) == len(query):
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            position_ids=position_ids,
            **options,
        )
    rows = [torch.split(_in_a_row(part), lengths, 2) for part in (query, key, value)]
    attend = functools.partial(
        F.scaled_dot_product_attention,
        dropout_p=dropout,
        scale=scaling,
        is_causal=module.is_causal,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    attended = torch.cat(
        [attend(*piece) for piece in zip(*rows, strict=True)], 2
    )  # (1, H, B * L, D)
    batch, heads, length, _ = query.shape
    return attended.transpose(1, 2).reshape(batch, length, heads, -1), None


def _lengths(position_ids: Tensor) -> list[int]:
    """Tokens of each document, row after row; a row begins a document wherever its places begin."""
    begins = torch.diff(position_ids, prepend=position_ids[:, :1]) != 1
    starts = begins.flatten().nonzero()[:, 0]
    return torch.diff(starts, append=starts.new_tensor([begins.numel()])).tolist()


def _in_a_row(states: Tensor) -> Tensor:
    """(B, H, L, D) as (1, H, B * L, D)."""
    batch, heads, length, size = states.shape
    return states.transpose(1, 2).reshape(1, batch * length, heads, size).transpose(1, 2)
