"""Ranks of right documents, from scores; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranking(scores: NDArray[Any], right: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the ranks of each query's right documents, from 1, in ascending order.

    Documents with the same score stand in the order of their numbers.

    Args:
        scores: (queries, documents).
        right: Numbers of the right documents of each query.
    """
    counts = [len(own) for own in right]
    rows = np.repeat(np.arange(len(right)), counts)
    columns = np.array([number for own in right for number in own], dtype=np.int64)
    found = np.empty(len(rows), dtype=np.int64)
    numbers = np.arange(scores.shape[1])
    for start in range(0, len(rows), 256):
        row, column = rows[start : start + 256], columns[start : start + 256]
        own = scores[row, column][:, None]
        before = (scores[row] > own) | ((scores[row] == own) & (numbers < column[:, None]))
        found[start : start + 256] = before.sum(1) + 1
    ends = np.cumsum(counts)[:-1]
    return [sorted(ranks.tolist()) for ranks in np.split(found, ends)] if len(right) else []
