"""The precision that a device computes best in, and that a product is taken in."""

from __future__ import annotations

import torch
from torch import Tensor


def best_precision(accelerator: str) -> str:
    """Return `bf16-mixed` where it is native, else `32-true`."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if accelerator in ("auto", "cpu") and cpu_has_bf16():
        return "bf16-mixed"
    return "32-true"


def cpu_has_bf16() -> bool:
    """Return whether the processor multiplies in bf16 (AVX512-BF16 or AMX)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def in_autocast(states: Tensor) -> Tensor:
    """Return states as a product under autocast takes them; outside of it as they are."""
    kind = states.device.type
    narrow = torch.is_autocast_enabled(kind) and states.dtype == torch.float32
    return states.to(torch.get_autocast_dtype(kind)) if narrow else states
