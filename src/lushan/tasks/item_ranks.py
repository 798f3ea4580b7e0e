"""Ranks of what is right for a user: among all items, and of cold ones, which nobody had, apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lushan.models.recommender import ranks_of

RANKS = ("ranks", "ranked", "cold_ranks", "ranks_among_cold", "cold_ranked")
"""Entries of what `ranked` returns."""


def ranked(
    scores: Tensor, right: Sequence[Sequence[int]], cold: Sequence[bool]
) -> list[dict[str, Any]]:
    """Return what metrics take of each row of scores.

    Args:
        scores: (B, I), -inf where an item does not compete.
        right: Numbers of each row's right items; I is one that is not in the catalogue.
        cold: Which items no user had in training, (I,).

    Returns:
        `ranks` of what is right, sorted, and how many items are `ranked`; `cold_ranks` of those
        right ones that are cold. Their `ranks_among_cold` are those among the cold ones alone, of
        which `cold_ranked` compete.
    """
    count, is_cold = scores.shape[1], torch.tensor(cold, device=scores.device)
    inside = [[n for n in own if n < count] for own in right]
    cold_right = [[n for n in own if cold[n]] for own in inside]
    apart = scores.masked_fill(~is_cold, -torch.inf)
    columns = (
        right,
        ranks_of(scores, inside),
        (scores > -torch.inf).sum(1).tolist(),
        ranks_of(scores, cold_right),
        ranks_of(apart, cold_right),
        (apart > -torch.inf).sum(1).tolist(),
    )
    return [
        # What is not in the catalogue is never found: it stands behind all.
        dict(zip(RANKS, ([*own, *([count + 1] * (len(whole) - len(own)))], *more), strict=True))
        for whole, own, *more in zip(*columns, strict=True)
    ]


def shown(row: Mapping[str, Any], counts: NDArray[np.int64], users: int) -> dict[str, Any]:
    """Return what metrics take of a user.

    Args:
        row: What `ranked` returns, and perhaps `top`: numbers of the first items.
        counts: How many users had each item in training, (I,).
        users: How many there are.
    """
    top = row.get("top", ())
    return {
        **{name: row[name] for name in RANKS},
        "top": top,
        "bits": [-np.log2((counts[n] + 1) / (users + 1)) for n in top],
        "items": len(counts),
    }
