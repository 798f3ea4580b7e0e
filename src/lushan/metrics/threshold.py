"""The threshold up to which a model answers, chosen by what answers and their absence are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_threshold(
    gaps: NDArray[np.float64], spans: NDArray[np.float64], none: NDArray[np.float64]
) -> float:
    """Return the gap up to which answering with a span scores highest in total.

    Args:
        gaps: Of each example, by how much "no answer" scores higher than the best span, (N,).
        spans: What the best span is worth, (N,).
        none: What no answer is worth, (N,).
    """
    order = np.argsort(gaps, kind="stable")
    # The first `i` in order answer with their span, the others with nothing.
    totals = np.append(0, np.cumsum(spans[order]))
    totals += np.append(np.cumsum(none[order][::-1])[::-1], 0)
    edges = np.concatenate([[gaps[order[0]] - 1], gaps[order], [gaps[order[-1]] + 1]])
    totals[edges[:-1] == edges[1:]] = -np.inf  # equal gaps lie on one side
    best = int(totals.argmax())
    return float((edges[best] + edges[best + 1]) / 2)
