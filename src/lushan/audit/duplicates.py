"""Copies within splits and across them: exact ones in a normal form, and near-duplicates."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.audit import near, texts
from lushan.audit.texts import Place
from lushan.data.fields import Fields


@dataclasses.dataclass(frozen=True)
class Within:
    """Copies within one split.

    Attributes:
        split: Its name.
        texts: Rows whose text is not empty.
        empty: Rows whose text is.
        exact: Rows that repeat an earlier one.
        near: Rows with a near-duplicate in this split that is no copy; None where it was not
            looked for.
    """

    split: str
    texts: int
    empty: int
    exact: int
    near: int | None


@dataclasses.dataclass(frozen=True)
class Across:
    """Rows of one split that another, which is learned from or chosen by, has too.

    Attributes:
        split: Whose rows are counted.
        other: Where they are looked for.
        texts: Rows of `split` that are not empty.
        exact: Rows with a copy in `other`.
        near: Rows without a copy there, but with a near-duplicate; None where not looked for.
    """

    split: str
    other: str
    texts: int
    exact: int
    near: int | None


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two rows that are copies, or nearly so; `jaccard` is 1.0 only of copies and look-alikes."""

    first: Place
    second: Place
    exact: bool
    jaccard: float


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Duplicates that were found.

    Attributes:
        form: In which texts are compared.
        threshold: Of near-duplicates.
        unit: Of their shingles; None where they were not looked for.
        capped: See `near.Near`.
        within: By split.
        across: By pair of splits.
        pairs: Those across splits: for each row that has a copy or near-duplicate in another
            split, the first or the nearest one. Then those within splits that are near.
    """

    form: str
    threshold: float
    unit: str | None
    capped: int
    within: list[Within]
    across: list[Across]
    pairs: list[Pair]


@dataclasses.dataclass(frozen=True)
class Forms:
    """The distinct texts of all splits, numbered in their order.

    Attributes:
        texts: Each once, with blanks between its parts.
        of_rows: Split to the number of each row's text, -1 where it is empty, shape (N,).
        counts: How often each text stands in each split, shape (texts, splits).
        fields: What the columns hold.
    """

    texts: list[str]
    of_rows: dict[str, NDArray[np.int64]]
    counts: NDArray[np.int64]
    fields: Fields


def duplicates_of(
    splits: Mapping[str, pa.Table], forms: Forms, threshold: float = near.THRESHOLD
) -> Duplicates:
    """Find copies and near-duplicates."""
    small = sum(map(len, forms.texts)) <= near.MOST_CHARACTERS
    found = near.near_duplicates(forms.texts, threshold) if small else None
    neighbours = _neighbours(found)
    examined = found is not None
    names = list(splits)
    within = [_within(s, i, forms, neighbours, examined=examined) for i, s in enumerate(names)]
    ordered = list(itertools.combinations(range(len(names)), 2))
    across = [_across(names[b], names[a], forms, neighbours, examined=examined) for a, b in ordered]
    return Duplicates(
        form=texts.FORM,
        threshold=threshold,
        unit=found.unit if found else None,
        capped=found.capped if found else 0,
        within=within,
        across=across,
        pairs=_pairs(splits, forms, neighbours),
    )


def forms_of(splits: Mapping[str, pa.Table], fields: Fields) -> Forms:
    """Number the distinct texts of all splits."""
    numbers: dict[str, int] = {}
    of_rows = {}
    for split, table in splits.items():
        keys = map(texts.key_of, texts.parts_of(table, fields))
        rows = [numbers.setdefault(key, len(numbers)) if key else -1 for key in keys]
        of_rows[split] = np.asarray(rows, np.int64)
    counts = [np.bincount(r[r >= 0], minlength=len(numbers)) for r in of_rows.values()]
    plain = [key.replace(texts.BETWEEN, " ") for key in numbers]
    return Forms(plain, of_rows, np.stack(counts, axis=1), fields)


Neighbours = Mapping[int, list[tuple[int, float]]]


def _neighbours(found: near.Near | None) -> Neighbours:
    """Return for each text those that are near to it, nearest first."""
    lists: dict[int, list[tuple[int, float]]] = defaultdict(list)
    if found is not None:
        for (a, b), similar in zip(found.pairs.tolist(), found.jaccard.tolist(), strict=True):
            lists[a].append((b, similar))
            lists[b].append((a, similar))
    return {i: sorted(them, key=lambda pair: (-pair[1], pair[0])) for i, them in lists.items()}


def _within(
    split: str, number: int, forms: Forms, neighbours: Neighbours, *, examined: bool
) -> Within:
    counts = forms.counts[:, number]
    total = len(forms.of_rows[split])
    filled = int(counts.sum())
    close = [counts[i] for i, them in neighbours.items() if any(counts[other] for other, _ in them)]
    near_rows = int(sum(close)) if examined else None
    return Within(split, filled, total - filled, filled - int((counts > 0).sum()), near_rows)


def _across(
    split: str, other: str, forms: Forms, neighbours: Neighbours, *, examined: bool
) -> Across:
    names = list(forms.of_rows)
    here, there = forms.counts[:, names.index(split)], forms.counts[:, names.index(other)]
    close = [
        here[i]
        for i, them in neighbours.items()
        if not there[i] and any(there[other] for other, _ in them)
    ]
    near_rows = int(sum(close)) if examined else None
    return Across(split, other, int(here.sum()), int(here[there > 0].sum()), near_rows)


def _pairs(splits: Mapping[str, pa.Table], forms: Forms, neighbours: Neighbours) -> list[Pair]:
    names = list(splits)
    first = {s: _first_rows(rows, len(forms.texts)) for s, rows in forms.of_rows.items()}

    def pair(split: str, row: int, other: str, form: int, similar: float, exact: bool) -> Pair:
        here = texts.place(split, row, splits[split], forms.fields)
        there = texts.place(other, int(first[other][form]), splits[other], forms.fields)
        return Pair(here, there, exact, round(similar, 4))

    found, nearby, inside = [], [], []
    for b, split in enumerate(names):
        for row, form in enumerate(forms.of_rows[split].tolist()):
            if form < 0:
                continue
            for other in names[:b]:
                if first[other][form] >= 0:
                    found.append(pair(split, row, other, form, 1.0, exact=True))
                    continue
                them = [(f, s) for f, s in neighbours.get(form, ()) if first[other][f] >= 0]
                if them:
                    nearby.append(pair(split, row, other, *them[0], exact=False))
            if row == first[split][form]:
                them = [x for x in neighbours.get(form, ()) if 0 <= first[split][x[0]] < row]
                inside += [pair(split, row, split, *x, exact=False) for x in them[:1]]
    return found + nearby + inside


def _first_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first row that each text stands in; -1 where there is none."""
    first = np.full(count, -1, np.int64)
    filled = np.flatnonzero(rows >= 0)[::-1]  # the last assignment of several stays
    first[rows[filled]] = filled
    return first
