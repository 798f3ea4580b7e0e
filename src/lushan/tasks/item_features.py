"""Histories of items as features: whole, in windows to learn, or their ends to evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lushan.data.catalogue import Catalogue, ItemCorpus
from lushan.data.demo import demo_corpus
from lushan.data.item_fields import HISTORIES
from lushan.tasks.batches import IGNORED, Limits


def encoded(
    rows: Mapping[str, Any],
    numbers: Mapping[str, int],
    tokens: NDArray[np.int64],
    begin: int,
    limits: Limits,
) -> Iterator[dict[str, Any]]:
    """Yield the features of rows, each with the place of its `row`.

    Args:
        rows: Columns `history` and, where it is known, `target`.
        numbers: Of the items, by their ids.
        tokens: Of each item.
        begin: The token before a history.
        limits: With a stride, a history is divided into windows; without, its end is read.
    """
    size, count = limits.max_length, len(numbers)
    nothing: list[list[str]] = [[] for _ in rows["history"]]
    pairs = zip(rows["history"], rows.get("target") or nothing, strict=True)
    for row, (had, target) in enumerate(pairs):
        seen = [numbers[item] for item in had if item in numbers]
        # What is not in the catalogue is never found: it is ranked behind all.
        right = [numbers.get(item, count) for item in target]
        inputs = [begin, *tokens[seen].tolist()]
        learned = right[0] if right and right[0] < count else IGNORED
        labels = [*seen, learned]
        step = size if limits.stride is not None else len(inputs)
        for end in reversed(range(len(inputs), 0, -step)):
            start = max(0, end - size)
            yield {
                "row": row,
                "input_ids": inputs[start:end],
                "labels": labels[start:end],
                "seen": seen,
                "right": right,
                "last": int(end == len(inputs)),
                "length": end - start,
                "targets": max(1, sum(n >= 0 for n in labels[start:end])),
                "cut": int(limits.stride is None and start > 0),
                "unknown": len(had) - len(seen) + right.count(count),
            }


def demo() -> ItemCorpus:
    """Return two series that are read in order, by four readers."""
    titles = [f"{colour} {thing}" for colour in ("red", "blue") for thing in "abcdef"]
    ids = [f"i{n}" for n in range(len(titles))]
    orders = ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [5, 0, 1, 2, 3, 4], [11, 6, 7, 8, 9])
    columns = {
        "user": [f"u{n}" for n in range(len(orders))],
        "history": [[ids[n] for n in order[:-1]] for order in orders],
        "target": [[ids[order[-1]]] for order in orders],
    }
    made = demo_corpus(HISTORIES, columns)
    return ItemCorpus(**vars(made), items=Catalogue(ids, titles, titles))
