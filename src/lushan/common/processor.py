"""What the processor has, by Linux's own account; nothing is known of it elsewhere."""

from __future__ import annotations

import functools


@functools.cache
def flags() -> frozenset[str]:
    """Return the names of the processor's features: `avx2`, `amx_bf16`; empty where not known."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[2].split())


def has_bf16() -> bool:
    """Return whether the processor multiplies in bf16 (AVX512-BF16 or AMX)."""
    return not flags().isdisjoint({"avx512_bf16", "amx_bf16"})
