"""Splits by fraction: seeded, stratified by label, copies of a text kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lushan.common.arrays import np, pa
from lushan.common.wording import plural
from lushan.data.encode import arrow
from lushan.data.field_roles import targets
from lushan.data.field_tables import classes, classified, keys, present
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
    drawn, labels = set(owner), classes(table, fields)
    _bring_back(labels, first, owner)
    splits = {}
    for name in names:
        rows = [i for i, split in enumerate(owner) if split == name]
        if not rows:
            share = "" if name == "train" else f" ({fractions[name]})"
            several = len(originals) < table.num_rows
            held = plural(table.num_rows, "example")
            parts = f", in {len(originals)} parts that stay together" if several else ""
            why, hint = f"the file has {held}{parts}", "Choose other fractions"
            if name in drawn and labels is not None and (found := classified(table, fields)):
                why = _all_alone(labels)
                hint = f"Check {found[1].setting}: examples share a few labels"
            raise UserError(
                f"nothing is left for {name}{share}: {why}",
                key=f"data.{name}",
                file=file,
                hint=f"{hint}, or name a file.",
            )
        splits[name] = table.take(arrow.numbers(rows, pa.int64()))
    return splits


def _all_alone(labels: Sequence[Sequence[str]]) -> str:
    """Return why no example could be held out: what training has not seen cannot be evaluated."""
    counts = Counter(label for row in labels for label in set(row))
    alone = sum(any(counts[label] == 1 for label in row) for row in labels)
    return (
        f"{alone:,} of {len(labels):,} examples have a unique label and stay in the training split"
    )


def hold_out(
    table: pa.Table, fields: Fields, fold: int, folds: int, seed: int, *, file: str
) -> tuple[pa.Table, pa.Table, int]:
    """Divide a table into what is learned from and one of its folds; rows keep their order.

    Every row is in one fold, and copies and groups are in the same. Each label is spread evenly
    over the folds, and so are all rows, as near as groups allow. Rows of a label that no other fold
    has stay in training, with their copies: it could not be learned.

    Args:
        table: The rows of the training file.
        fields: What its columns hold.
        fold: Which is held out, from 1.
        folds: How many there are.
        seed: The same seed, the same folds; it is not the run's seed.
        file: For the error.

    Returns:
        What is learned from, the fold, and how many of its rows stayed in training.

    Raises:
        UserError: There are fewer parts that stay together than folds.
    """
    first = _first_of_copies(table, fields)
    sizes = Counter(first)
    if len(sizes) < folds:
        raise UserError(
            f"{table.num_rows} examples, in {len(sizes)} parts that stay together, are too few",
            key="data.folds",
            value=folds,
            file=file,
        )
    owner = _dealt(sizes, strata(table, fields), folds, seed)
    sides = ["held out" if owner[i] == fold else "train" for i in first]
    before = sides.count("held out")
    _bring_back(classes(table, fields), first, sides)
    held = np.equal(sides, "held out")
    learned, evaluated = (
        table.take(arrow.numbers(np.flatnonzero(which), pa.int64())) for which in (~held, held)
    )
    return learned, evaluated, before - int(held.sum())


def _dealt(
    sizes: Mapping[int, int], groups: Sequence[str], folds: int, seed: int
) -> dict[int, int]:
    """Return the fold, from 1, of each part that stays together.

    Args:
        sizes: The first row of a part to the number of its rows.
        groups: The stratum of each row; a part has that of its first one.
        folds: How many.
        seed: Of what is left to chance.
    """
    rng = np.random.default_rng(seed)
    parts, rows, found = list(sizes), np.zeros(folds, np.int64), {}
    for places in _by_stratum([groups[i] for i in parts]).values():
        own = np.zeros(folds, np.int64)
        shuffled = [parts[places[i]] for i in rng.permutation(len(places))]
        for part in sorted(shuffled, key=lambda i: -sizes[i]):  # large ones while there is room
            fold = int(np.lexsort((rng.permutation(folds), rows, own))[0])
            found[part] = fold + 1
            own[fold] += sizes[part]
            rows[fold] += sizes[part]
    return found


def require_shares(shares: Mapping[str, float], train: str | None) -> None:
    """Check the splits that are taken from the training split.

    Raises:
        UserError: A share is none, or there is nothing to take it of.
    """
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(
                "a share of the training split must be between 0 and 1",
                key=f"data.{name}",
                value=share,
                hint=f"Write data.{name}=0.1, or the name of a file.",
            )
        if train is None:
            raise UserError(
                "there is no training split to take a share of",
                key=f"data.{name}",
                value=share,
                hint="Write data.train=FILE.",
            )
    if sum(shares.values()) >= 1:
        raise UserError(
            "the shares leave no example for training",
            key="data.validation",
            value=shares,
        )


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
