"""Lengths in tokens against the model's limit, and characters that the tokenizer does not know."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.audit import texts
from lushan.data.encode import arrow
from lushan.data.fields import Fields

Features = Mapping[str, list[Any]]
Encode = Callable[[dict[str, list[Any]], int], Features]
"""(rows as columns, number of the first row) -> features as columns; the task's own."""
QUANTILES = (0.5, 0.9, 0.99)
SHOWN = 20
"""Characters of a split that are listed."""
_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Lengths of a split's texts in tokens, special ones included.

    Attributes:
        split: Its name.
        limit: Tokens of a feature at most.
        texts: Rows.
        mean: Of the lengths.
        quantiles: Share to length: the median, and so on.
        longest: The longest.
        over: Rows that are longer than the limit.
        cut: Rows of which the task leaves something out; the others that are too long it reads in
            several pieces.
        tokens: Of all rows.
        lost: Tokens that are left out.
        unknown: Tokens that the tokenizer writes for what it does not know.
        targets: Rows of pairs with a target that is cut, whose limit is the task's own.
    """

    split: str
    limit: int
    texts: int
    mean: float
    quantiles: dict[str, int]
    longest: int
    over: int
    cut: int
    tokens: int
    lost: int
    unknown: int
    targets: int


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Characters of a split that the tokenizer cannot write.

    Attributes:
        split: Its name.
        characters: Different ones.
        times: How often they stand there.
        texts: Rows with one.
        total: Rows.
        examples: The most frequent ones: character, times.
    """

    split: str
    characters: int
    times: int
    texts: int
    total: int
    examples: list[tuple[str, int]]


def lengths_of(
    split: str,
    table: pa.Table,
    *,
    whole: Encode,
    within: Encode,
    limit: int,
    unknown: int | None,
) -> Lengths:
    """Measure a split by the task's own encoding.

    Args:
        split: Its name.
        table: Its rows.
        whole: Encodes all of a text, in one feature or in pieces that do not overlap.
        within: Encodes as training or evaluation does.
        limit: Tokens of a feature.
        unknown: Id of the unknown token.
    """
    lengths = np.zeros(table.num_rows, np.int64)
    targets: set[int] = set()
    strange = 0
    for first, rows in _some(table):
        features = whole(rows, first)
        # Nothing is cut here but a target.
        targets.update(np.asarray(features["example"])[np.asarray(features["cut"]) > 0].tolist())
        for example, ids, length in _features(features):
            lengths[example] += length
            strange += int((ids == unknown).sum()) if unknown is not None else 0
    over = np.flatnonzero(lengths > limit)
    cut, lost = _lost(table, over, lengths, within)
    quantiles = np.quantile(lengths, QUANTILES, method="higher") if len(lengths) else ()
    return Lengths(
        split=split,
        limit=limit,
        texts=len(lengths),
        mean=round(float(lengths.mean()), 1) if len(lengths) else 0.0,
        quantiles={f"{q:g}": int(n) for q, n in zip(QUANTILES, quantiles, strict=False)},
        longest=int(lengths.max(initial=0)),
        over=len(over),
        cut=cut,
        tokens=int(lengths.sum()),
        lost=lost,
        unknown=strange,
        targets=len(targets),
    )


def _lost(
    table: pa.Table, over: NDArray[np.int64], lengths: NDArray[np.int64], within: Encode
) -> tuple[int, int]:
    """(rows that lose something, tokens that are lost) of those that are too long."""
    part = table.take(arrow.numbers(over, pa.int64()))
    kept = np.zeros(len(over), np.int64)
    cut = np.zeros(len(over), bool)
    for first, rows in _some(part):
        features = within(rows, first)
        for example, _, length in _features(features):
            kept[example] += length
        np.logical_or.at(cut, features["example"], np.asarray(features["cut"]) > 0)
    return int(cut.sum()), int(np.maximum(lengths[over] - kept, 0)[cut].sum())


def _features(features: Features) -> Iterator[tuple[int, NDArray[np.int64], int]]:
    """(row, ids, tokens that are read) of each feature; further references of a row are none."""
    ids = features["input_ids"] if "input_ids" in features else features["tokens"]
    references = features.get("reference") or [0] * len(ids)
    for example, tokens, length, reference in zip(
        features["example"], ids, features["length"], references, strict=True
    ):
        if not reference:
            # A target's tokens count in `length`, and the last token of a document does not.
            yield int(example), np.asarray(tokens), min(int(length), len(tokens))


def _some(table: pa.Table) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    for first in range(0, table.num_rows, _ROWS):
        yield first, table.slice(first, _ROWS).to_pydict()


# Characters


def unknown_characters(
    splits: Mapping[str, pa.Table],
    fields: Fields,
    known: Callable[[Sequence[str]], Sequence[bool]],
) -> list[Unknown]:
    """Characters that a tokenizer does not know, by split.

    Args:
        splits: Name to table.
        fields: What their columns hold.
        known: Returns of characters whether the tokenizer has a token for each.
    """
    counts = {split: Counter[str]() for split in splits}
    for split, table in splits.items():
        for parts in texts.parts_of(table, fields):
            counts[split].update("".join(parts))
    every = sorted(c for c in set().union(*counts.values()) if not c.isspace())
    lost = {c for c, has in zip(every, known(every), strict=True) if not has}
    return [_unknown(s, t, fields, counts[s], lost) for s, t in splits.items()]


def _unknown(
    split: str, table: pa.Table, fields: Fields, counts: Counter[str], lost: set[str]
) -> Unknown:
    here = Counter({c: n for c, n in counts.items() if c in lost})
    every = texts.parts_of(table, fields) if here else ()
    rows = sum(not lost.isdisjoint("".join(parts)) for parts in every)
    ordered = sorted(here.items(), key=lambda item: (-item[1], item[0]))
    return Unknown(split, len(here), here.total(), rows, table.num_rows, ordered[:SHOWN])
