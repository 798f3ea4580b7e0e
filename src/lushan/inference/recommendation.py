"""Items for a user, and lists of candidates to be ranked again by `task=rank`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.config.build import source_of
from lushan.data.catalogue import Catalogue
from lushan.errors import UserError, did_you_mean
from lushan.inference.load import Loaded, load
from lushan.inference.prediction import autocast, writing
from lushan.run.progress import over
from lushan.tasks.batches import Batch

AT_ONCE = 256
"""Histories whose scores are held together."""
MODEL = "model"
"""Feature of a candidate: the score of the run's model."""
Scores = NDArray[np.float32]


@runtime_checkable
class Recommends(Protocol):
    """A task that scores items: its fields are `user`, `history` and `target`.

    Attributes:
        items: All that are scored, (I).
    """

    items: Catalogue

    def item_scores(self, model: nn.Module, batch: Batch, /) -> Tensor:
        """Return the scores of all items after each history, (B, I)."""

    def seen(self, table: pa.Table, /) -> tuple[list[list[int]], list[list[int]]]:
        """Return the histories of rows by items' numbers, and all that is known with them."""

    def counted(self, table: pa.Table, /) -> Iterator[tuple[str, Scores]]:
        """Yield each baseline's name and its scores (N, I)."""


def load_recommender(run: str | Path) -> tuple[Loaded, Recommends]:
    """Load a run whose task scores items.

    Raises:
        UserError: It is another.
    """
    loaded = load(run)
    if not isinstance(loaded.task, Recommends):
        raise UserError(
            "this run is not a recommender",
            key="RUN",
            value=run,
            hint="Use a run of task=recommend.",
        )
    return loaded, loaded.task


def recommend(
    run: str | Path, *, user: str | None = None, history: str | None = None, top_k: int = 10
) -> dict[str, Any]:
    """Return the best items that a user has not had.

    Args:
        run: A run folder.
        user: One of the run's data, with all that it has had there.
        history: Titles or ids, the latest last, with `;` between them.
        top_k: How many.

    Returns:
        `history` and `items`, each with `item`, `title`, and of the latter `score`.

    Raises:
        UserError: There is no such user or item.
    """
    loaded, task = load_recommender(run)
    if user is not None:
        had = _of_user(loaded, user)
    else:
        named = [part for part in (history or "").split(";") if part.strip()]
        if not named:
            raise UserError("a history needs at least one item", key="--history", value=history)
        had = [task.items.ids[task.items.find(part, key="--history")] for part in named]
    scores = scores_of(loaded, task, [had])[0]
    numbers = task.items.numbers()
    scores[[numbers[item] for item in had if item in numbers]] = -np.inf
    best = [n for n in np.argsort(-scores, kind="stable")[:top_k].tolist() if scores[n] > -np.inf]
    titles = [task.items.titles[numbers[i]] if i in numbers else i for i in had]
    return {
        "history": [{"item": i, "title": t} for i, t in zip(had, titles, strict=True)],
        "items": [
            {"item": task.items.ids[n], "title": task.items.titles[n], "score": float(scores[n])}
            for n in best
        ],
    }


def _of_user(loaded: Loaded, user: str) -> list[str]:
    """Return all that a user has had in the run's data, in order."""
    corpus = source_of(loaded.cfg).read(loaded.task.fields)
    longest: list[str] = []
    users: set[str] = set()
    for table in corpus.splits.values():
        columns = [table.column(name).to_pylist() for name in ("user", "history", "target")]
        for name, history, target in zip(*columns, strict=True):
            users.add(name)
            if name == user and len(history) + len(target) > len(longest):
                longest = [*history, *target]
    if not longest:
        raise UserError(
            "unknown user: not in the run's data",
            key="--user",
            value=user,
            hint=did_you_mean(user, sorted(users)) or "--history takes titles instead.",
        )
    return longest


@torch.inference_mode()
def scores_of(loaded: Loaded, task: Recommends, histories: Sequence[Sequence[str]]) -> Scores:
    """Return the model's scores of all items after each history, (N, I)."""
    found = []
    for start in over(range(0, len(histories), AT_ONCE), "histories"):
        rows = {"history": [list(own) for own in histories[start : start + AT_ONCE]]}
        features = loaded.task.encode(rows, 0, loaded.processor, loaded.limits)
        count = len(features["length"])
        batch = [{n: np.asarray(v[row]) for n, v in features.items()} for row in range(count)]
        collated = loaded.task.collate(loaded.task.transform(batch, 0))
        with autocast(loaded, "cpu"):  # as the run has evaluated
            found.append(task.item_scores(loaded.model, collated).float().numpy())
    return np.concatenate(found)


def candidates(
    run: str | Path, *, split: str, output: str | Path, top_k: int = 50
) -> tuple[int, int]:
    """Write a JSON line for each user of a split: candidates with features, and what was right.

    Candidates are the `top_k` best of the model and of each baseline, together.

    Args:
        run: A run folder.
        split: `validation` or `test`. The training split is known to the model by heart.
        output: A file, or `-`.
        top_k: Items of each recommender.

    Returns:
        How many lists there are, and how many hold what was right.
    """
    loaded, task = load_recommender(run)
    split = {"val": "validation"}.get(split, split)
    if split not in ("validation", "test"):
        raise UserError(
            "candidates must come from a split that was not used for "
            "training", key="--split", value=split,
            hint="Write --split validation, to train task=rank, or --split test.",
        )  # fmt: skip
    table = source_of(loaded.cfg).read(loaded.task.fields, only=split).splits[split]
    scores = {MODEL: scores_of(loaded, task, table.column("history").to_pylist())}
    scores |= dict(task.counted(table))
    lists = right = 0
    with writing(output) as sink:
        for row in _lists(table, task, scores, top_k):
            sink.write(json.dumps(row, ensure_ascii=False) + "\n")
            lists += 1
            right += not set(row["target"]).isdisjoint(row["candidates"])
    return lists, right


def _lists(
    table: pa.Table, task: Recommends, scores: Mapping[str, Scores], top_k: int
) -> Iterator[dict[str, Any]]:
    had, _ = task.seen(table)
    ids = task.items.ids
    for row, example in enumerate(table.to_pylist()):
        chosen: dict[int, None] = {}
        for own in scores.values():
            left = own[row].copy()
            left[had[row]] = -np.inf
            best = np.argsort(-left, kind="stable")[:top_k]
            chosen |= dict.fromkeys(n for n in best.tolist() if left[n] > -np.inf)
        places = sorted(chosen)
        yield {
            "id": example["id"],
            "user": example["user"],
            "candidates": [ids[n] for n in places],
            "features": {
                name: [float(f"{v:.9g}") for v in own[row][places].tolist()]
                for name, own in scores.items()
            },
            "target": example["target"],
        }
