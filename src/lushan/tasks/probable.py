"""The most probable of very many classes: memory does not grow with examples times classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.tasks.evaluation import Records

WIDE = 1000
"""Classes beyond which only the most probable ones of each text are kept."""
KEPT = {"single": 20, "multilabel": 100}
"""How many, by the kind of classification."""


def averaged(parts: Records, kept: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the most probable classes of a text, first to last, and their probabilities.

    Args:
        parts: `classes` and `scores` of each of its windows; a class that a window has not kept
            counts as 0 there.
        kept: How many classes.
    """
    windows = parts or [{"classes": np.arange(kept), "scores": np.zeros(kept)}]
    classes = np.concatenate([window["classes"] for window in windows])
    found, place = np.unique(classes, return_inverse=True)
    totals = np.zeros(len(found))
    np.add.at(totals, place, np.concatenate([window["scores"] for window in windows]))
    best = np.argsort(-totals, kind="stable")[:kept]
    return found[best], totals[best] / len(windows)


def notes(joined: Records, classes: int, kept: int | None) -> list[str]:
    """Return what the reader of predictions must know, where not all classes were kept.

    Args:
        joined: One record a text.
        classes: How many there are.
        kept: How many are kept of each text; None for all.
    """
    if kept is None:
        return []
    found = [
        f"of {classes:,} classes, only the probabilities of the {kept} most probable are stored "
        f"for each text"
    ]
    full = sum(isinstance(p := row["predicted"], list) and len(p) == kept for row in joined)
    if full:
        found.append(
            f"{full:,} of {len(joined):,} texts have {kept} labels at or above task.threshold, "
            f"which is the maximum that is predicted"
        )
    return found
