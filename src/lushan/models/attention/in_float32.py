"""Attention in float32 where torch's kernel for processors takes longer in a smaller type.

It is made for many long rows. Forward and backward pass in ms, in bf16, and in float32 with the
conversion there and back (AMD EPYC with AVX512-BF16, one thread): 20 rows x 12 heads x 36 tokens,
32 wide, 33.2 and 6.6; 8 x 12 x 128, 64 wide, 43.1 and 24.2; 8 x 4 x 256 32.8 and 28.7; 4 x 4 x 480
45.9 and 47.3. Forward alone, one query for each of eight rows of 160 keys: 0.54 and 0.15; from four
queries on bf16 is faster.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LONGEST = 256
"""Keys up to which training takes less in float32."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Attends, given queries, keys, values and a mask: added to the scores, or true where permitted."""


def attended(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> Tensor:
    """Attend in float32 where that is faster; what is returned has the type that it had.

    Args:
        attend: Computes it.
        query: (B, F, L, D).
        key: (B, G, S, D), where G divides F.
        value: (B, G, S, D).
        mask: Broadcast to (B, F, L, S).
    """
    if not is_faster(query, key):
        return attend(query, key, value, mask)
    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    with torch.autocast("cpu", enabled=False):
        exact = attend(query.float(), key.float(), value.float(), mask)
    return exact.to(type_of(value))


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
