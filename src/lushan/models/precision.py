"""The precision that a device computes best in, and that a product is taken in."""

from __future__ import annotations

import torch
from torch import Tensor

from lushan.common.processor import has_bf16


def best_precision(accelerator: str) -> str:
    """Return `bf16-mixed` where it is native, else `32-true`."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if accelerator in ("auto", "cpu") and has_bf16():
        return "bf16-mixed"
    return "32-true"


def in_autocast(states: Tensor) -> Tensor:
    """Return states as a product under autocast takes them; outside of it as they are."""
    kind = states.device.type
    narrow = torch.is_autocast_enabled(kind) and states.dtype == torch.float32
    return states.to(torch.get_autocast_dtype(kind)) if narrow else states
