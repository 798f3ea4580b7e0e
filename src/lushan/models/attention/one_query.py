"""Attention of one new token to those before it: in float32 on a processor, where that is faster.

transformers makes several queries of one where they share keys, so that torch is not asked for one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lushan.compat.transformers import attention_of, set_attention
from lushan.models.attention import in_float32

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
        The attended values (B, L, H, D), in the type that `sdpa` computes in, and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(*states: Tensor | None) -> Tensor:
        found: Tensor = sdpa_attention_forward(module, *states, **options)[0]  # type: ignore[arg-type]
        return found

    return in_float32.attended(attend, query, key, value, attention_mask), None
