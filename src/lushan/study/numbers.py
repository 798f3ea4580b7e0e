"""Numbers of a test as text."""

from __future__ import annotations

import math


def p_text(p: float) -> str:
    """A p as it is printed: `p = 0.041`, `p < 0.001`."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
