"""Causal attention of one document after the other, for rows of several on a processor.

A mask over whole rows is computed with all the same: of 512 tokens in documents of 200, two thirds
of what attention does is thrown away. Cut at their positions, documents need neither mask nor the
half above the diagonal, which torch's kernel for processors leaves out. On a card the pieces would
be too small to be worth a kernel each; there flash attention goes by positions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lushan.compat.transformers import attention_of, set_attention
from lushan.models import dropout
from lushan.models.attention.packed_mask import begins

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NAME = "by_document"
"""Name of this kind of attention in transformers, registered by `choose`."""
WHOLE = "sdpa"
"""The kind whose place it takes, and which does all that is no row of documents."""


def possible(config: PreTrainedConfig, device: torch.device) -> bool:
    """Return whether it may replace a model's attention; whether documents stay apart is probed.

    Of images in a text a mask says what sees what, and here there is none.
    """
    kind, images = attention_of(config), getattr(config, "vision_config", None)
    return kind == WHOLE and device.type == "cpu" and images is None


def choose(config: PreTrainedConfig, by_document: bool) -> None:
    """Have a model attend to documents one by one, or under its own mask again."""
    if by_document:
        _register()
    if attention_of(config) in (NAME, WHOLE):
        set_attention(config, NAME if by_document else WHOLE)


@functools.cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


def mask(**asked: Any) -> Tensor | None:
    """Return None where each token sees all of its document before it; else the mask of `sdpa`.

    Args:
        asked: What transformers asks `sdpa_mask` for; all of it goes there.
    """
    from transformers.masking_utils import sdpa_mask

    length = asked["q_length"]
    whole = asked["kv_length"] == length <= (asked.get("local_size") or length)
    plain = asked.get("attention_mask") is None and not asked.get("use_vmap")
    on_processor = torch.device(asked.get("device", "cpu")).type == "cpu"
    return None if whole and plain and on_processor else sdpa_mask(**asked)


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Compute the attention of a layer; transformers calls it.

    Args:
        module: The layer's attention.
        query: (B, H, L, D).
        key: (B, G, L, D), where G divides H.
        value: (B, G, L, D).
        attention_mask: None where `mask` found that positions suffice.
        options: As `sdpa` takes them; here `position_ids`, (B, L) or (1, L), from 0 in each
            document, `dropout` and `scaling` count.

    Returns:
        The attended values (B, L, H, D), and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    batch, heads, length, _ = query.shape
    positions, lengths = options.get("position_ids"), None
    if attention_mask is None and positions is not None and key.shape[2] == length:
        lengths = _lengths(positions.expand(batch, -1))
    if lengths is None or len(lengths) == batch:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    rows = [torch.split(_in_a_row(part), lengths, 2) for part in (query, key, value)]
    attend = _attend(module, options, lengths, grouped=key.shape[1] != heads)
    attended = torch.cat([f(*piece) for f, *piece in zip(attend, *rows, strict=True)], 2)
    return attended.transpose(1, 2).reshape(batch, length, heads, -1), None


def _attend(
    module: Any, options: dict[str, Any], lengths: list[int], *, grouped: bool
) -> list[Callable[..., Tensor]]:
    """Return what attends within each document."""
    share, scale, causal = options.get("dropout", 0.0), options.get("scaling"), module.is_causal
    masks = dropout.active()
    if masks is None or not share:
        attend = functools.partial(
            F.scaled_dot_product_attention,
            dropout_p=share,
            scale=scale,
            is_causal=causal,
            enable_gqa=grouped,
        )
        return [attend] * len(lengths)
    drop = [functools.partial(masks.drop_within, keys=k, p=share) for k in masks.split(lengths)]
    return [
        functools.partial(dropout.attend, mask=None, drop=d, scale=scale, causal=causal)
        for d in drop
    ]


def _lengths(position_ids: Tensor) -> list[int]:
    """Tokens of each document, row after row."""
    starts = begins(position_ids).flatten().nonzero()[:, 0]
    return torch.diff(starts, append=starts.new_tensor([position_ids.numel()])).tolist()


def _in_a_row(states: Tensor) -> Tensor:
    """(B, H, L, D) as (1, H, B * L, D)."""
    batch, heads, length, size = states.shape
    return states.transpose(1, 2).reshape(1, batch * length, heads, size).transpose(1, 2)
