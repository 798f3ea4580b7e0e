"""Splits by fraction: seeded, stratified by label, copies of a text kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from lushan.data.encode import arrow
from lushan.data.field_roles import targets
from lushan.data.field_tables import classes, keys, present
from lushan.data.fields import Fields, Number
from lushan.errors import UserError

GROUP = "group"
"""A column of text whose rows stay together; see `data.group`."""
BINS = 10
"""Strata of numeric labels."""


def divide(
    table: pa.Table, fields: Fields, fractions: Mapping[str, float], seed: int, *, file: str
) -> dict[str, pa.Table]:
    """Take splits off a table; rows keep their order.

    Args:
        table: The rows of the training file.
        fields: What its columns hold.
        fractions: Split to its share of all rows.
        seed: The same seed, the same splits; it is not the run's seed.
        file: For the error.

    Returns:
        The splits, and what is left as `train`.

    Raises:
        UserError: A split would be empty.
    """
    groups = strata(table, fields)
    first = _first_of_copies(table, fields)
    originals = [i for i, j in enumerate(first) if i == j]
    sizes = {name: round(share * len(originals)) for name, share in fractions.items()}
    names = ["train", *fractions]
    chosen = _assign([groups[i] for i in originals], sizes, seed)
    by_row = dict(zip(originals, chosen, strict=True))
    owner = [by_row[j] for j in first]
    _bring_back(classes(table, fields), first, owner)
    splits = {}
    for name in names:
        rows = [i for i, split in enumerate(owner) if split == name]
        if not rows:
            share = "" if name == "train" else f" ({fractions[name]})"
            several = len(originals) < table.num_rows
            parts = f", in {len(originals)} parts that stay together" if several else ""
            raise UserError(
                f"nothing is left for {name}{share}: the file has {table.num_rows} examples{parts}",
                key=f"data.{name}",
                file=file,
                hint="Choose other fractions, or name a file.",
            )
        splits[name] = table.take(arrow.numbers(rows, pa.int64()))
    return splits


def sample(table: pa.Table, fields: Fields, size: int, seed: int) -> pa.Table:
    """Return `size` rows at most, each label with its share, in their order."""
    if size >= table.num_rows:
        return table
    owner = _assign(strata(table, fields), {"sample": size}, seed)
    return table.take(arrow.numbers(np.flatnonzero(np.equal(owner, "sample")), pa.int64()))


def part(table: pa.Table, fields: Fields, share: float, seed: int) -> pa.Table:
    """A share of the rows, one at least, in their order; each label has its share.

    All shares are beginnings of one line-up, so that a smaller one lies within a larger one.
    """
    rng = np.random.default_rng(seed)
    places = np.empty(table.num_rows)
    for members in _by_stratum(strata(table, fields)).values():
        # Each stratum is spread evenly over the line, beginning at a place of its own.
        steps = np.arange(len(members)) + rng.random()
        places[rng.permutation(members)] = steps / len(members)
    size = max(1, round(share * table.num_rows))
    rows = np.sort(np.argsort(places, kind="stable")[:size])
    return table.take(arrow.numbers(rows, pa.int64()))


def strata(table: pa.Table, fields: Fields) -> list[str]:
    """Return one key a row: its class, or the rarest of its classes; of numbers their tenth."""
    labels = classes(table, fields)
    if labels is not None:
        counts = Counter(label for row in labels for label in set(row))
        return [min(row, key=lambda label: (counts[label], label), default="") for row in labels]
    for name, field in present(targets(fields), table).items():
        if isinstance(field, Number):
            ranks = np.argsort(np.argsort(table.column(name).to_numpy(), kind="stable"))
            return [str(rank * BINS // table.num_rows) for rank in ranks.tolist()]
    return [""] * table.num_rows


def _assign(keys: Sequence[str], sizes: Mapping[str, int], seed: int) -> list[str]:
    """A split for each key: in each stratum the same shares, as near as whole rows allow."""
    rng = np.random.default_rng(seed)
    owner = np.full(len(keys), "train", dtype=object)
    members = _by_stratum(keys)
    # One line-up of all rows, strata one after the other, each shuffled. Taking every n-th row of
    # it gives each stratum its share, and the whole exactly the size that was asked for.
    line = np.concatenate(
        [np.asarray(rng.permutation(rows), dtype=np.int64) for rows in members.values()]
        or [np.zeros(0, dtype=np.int64)]
    )
    for name, wanted in sizes.items():
        free = line[owner[line] == "train"]
        if size := min(wanted, len(free)):
            offset = rng.random()
            places = np.floor((np.arange(size) + offset) * len(free) / size).astype(np.int64)
            owner[free[places]] = name
    return list(owner)


def _by_stratum(keys: Sequence[str]) -> dict[str, list[int]]:
    """Strata in the order of their names, to their rows."""
    members: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    return dict(sorted(members.items()))


def _first_of_copies(table: pa.Table, fields: Fields) -> list[int]:
    """Return of each row the first one of its copies, and of its group with their copies."""
    seen: dict[tuple[str, ...], int] = {}
    first = [seen.setdefault(key, i) for i, key in enumerate(keys(table, fields))]
    if GROUP not in table.column_names:
        return first
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, groups = np.unique(table.column(GROUP).to_pylist(), return_inverse=True)
    size = table.num_rows
    here = np.concatenate([np.arange(size), np.arange(size)])
    edges = here, np.concatenate([first, size + groups])
    graph = coo_array((np.ones(2 * size, np.int8), edges), shape=(2 * size, 2 * size))
    _, parts = connected_components(graph, directed=False)
    _, places, members = np.unique(parts[:size], return_index=True, return_inverse=True)
    return [int(place) for place in places[members]]


def _bring_back(labels: list[list[str]] | None, first: Sequence[int], owner: list[str]) -> None:
    """Return labels without a training row to training, with all copies of their rows' texts.

    Otherwise it could not be learned; and a copy that stayed would be evaluated, though learned.
    """
    if labels is None:
        return
    copies: dict[int, list[int]] = {}
    for i, j in enumerate(first):
        copies.setdefault(j, []).append(i)
    learned = {x for row, split in zip(labels, owner, strict=True) if split == "train" for x in row}
    for i, row in enumerate(labels):
        if owner[i] != "train" and not learned.issuperset(row):
            for copy in copies[first[i]]:
                owner[copy] = "train"
                learned.update(labels[copy])
