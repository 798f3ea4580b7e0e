"""Attention of one new token to those before it, on a processor and below float32.

torch's kernel for processors is made for many queries. One query for each of eight texts of 160
tokens takes it 539 us in bf16, and in float32 153 with the conversion of all keys and values; from
four queries on its own type is faster (AMD EPYC with AVX512-BF16, one thread).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lushan.compat.transformers import attention_of, set_attention

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NAME = "one_query"
"""Name of this kind of attention in transformers."""
WHOLE = "sdpa"
"""The kind whose place it takes, and which does all that is not a single query."""


@contextlib.contextmanager
def one_query(config: PreTrainedConfig, device: torch.device) -> Iterator[None]:
    """Compute single queries of a model in float32, on a processor, where it runs on `sdpa`."""
    text = config.get_text_config(decoder=True)
    if device.type != "cpu" or attention_of(text) != WHOLE:
        yield
        return
    _register()
    set_attention(text, NAME)
    try:
        yield
    finally:
        set_attention(text, WHOLE)


@functools.cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attention(
    module: nn.Module,
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
        key: (B, G, K, D), where G divides H.
        value: (B, G, K, D).
        attention_mask: As `sdpa` takes it.
        options: The same.

    Returns:
        The attended values (B, L, H, D), in the type of the values, and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    mixed = torch.is_autocast_enabled("cpu")
    if query.shape[2] > 1 or not (mixed or value.dtype != torch.float32):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    with torch.autocast("cpu", enabled=False):
        attended, _ = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), attention_mask, **options
        )
    return attended.to(value.dtype), None
