"""Interactions of users with items: a table of who had what and when, and one of the items."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.configurable import configurable
from lushan.data import files
from lushan.data.catalogue import Catalogue, ItemCorpus, with_items
from lushan.data.fields import Fields
from lushan.data.formats.samples import Chance, Sample
from lushan.data.formats.table import Table
from lushan.data.histories import How, Visits, divided, table_of
from lushan.data.interaction_times import number_at, time_at, without_times
from lushan.data.item_fields import HISTORIES, name_of
from lushan.data.labelled import require_column
from lushan.data.raw_columns import Columns
from lushan.data.source import SPLITS, Format, Source, WholeFiles, hash_json
from lushan.data.which import first_usual, of_one_column, which
from lushan.errors import UserError
from lushan.run import hashes

USERS = ("user", "userid", "user_id", "uid", "reviewerid", "customer", "customer_id")
ITEMS = ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "product_id")
TIMES = ("time", "timestamp", "ts", "date", "unixreviewtime")
TITLES = ("title", "name")
LEAST_LISTS = 2
"""Shares that `data.cuts` holds."""


class _WithItems(Source):
    """A source whose rows name items."""

    gives: ClassVar[Fields | None] = HISTORIES

    def catalogue(self) -> Catalogue:
        """Return the items."""
        raise NotImplementedError

    def read(self, fields: Fields | None = None, *, only: str | None = None) -> ItemCorpus:
        """Read all splits, and the items that they name; see `Source.read`."""
        return with_items(super().read(fields, only=only), self.catalogue())


@dataclasses.dataclass(kw_only=True)
class _ItemTable(Table):
    """The table of items, whose columns have names of their own."""

    columns_key: ClassVar[str] = "data.item_columns"
    header_key: ClassVar[str] = "data.item_header"


@configurable
@dataclasses.dataclass(kw_only=True)
class Interactions(WholeFiles, _WithItems):
    """Users' histories from a table of interactions, a row each, in any order.

    Nothing is divided at random: see `split`. The same item twice by one user counts once, at its
    first time.

    Args:
        dir: Base folder of file names.
        train: Table of interactions: CSV, TSV, JSON or Parquet. All splits come from it.
        items: Table of items; null has only their ids.
        tags: Table of tags that users gave to items, one a row.
        user: Column of the users; null detects it by name, as for the next three.
        item: Column of the items, in all tables.
        time: Column of the times: numbers, or ISO 8601 dates.
        title: Column of the titles of items.
        texts: More columns of the items' table with descriptions.
        tag: Column of the tags in `tags`.
        rating: Column of ratings. Only interactions with `least_rating` or more are used.
        least_rating: Lowest rating to use; null uses all interactions.
        split: `leave_last_out`: the last interaction of each user is the test, the one before it
            the validation. `time`: evaluates interactions after a point in time, the same for all
            users.
        cuts: For `time`: the shares of all interactions before validation and before the test.
        columns: Column names of `train`, for a file without a header.
        item_columns: Column names of `items`, for a file without a header.
        header: Whether the first row of `train` is a header, whose names `columns` replaces; null
            refuses a row that looks like one.
        item_header: The same for `items` and `item_columns`.
        separator: Field separator of all tables; null detects it for each.
    """

    items: str | None = None
    tags: str | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    title: str | None = None
    texts: list[str] | None = None
    tag: str = "tag"
    rating: str = "rating"
    least_rating: float | None = None
    split: How = "leave_last_out"
    cuts: list[float] = dataclasses.field(default_factory=lambda: [0.8, 0.9])
    columns: list[str] | None = None
    item_columns: list[str] | None = None
    header: bool | None = None
    item_header: bool | None = None
    separator: str | None = None

    input_format: ClassVar[Format | None] = "jsonl"

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if (value := getattr(self, name)) is not None:
                raise UserError(
                    "interactions are split by data.split, never at random",
                    key=f"data.{name}",
                    value=value,
                    hint=f"Write data.{name}=null, and data.split=leave_last_out or time.",
                )
        if len(self.cuts) != LEAST_LISTS or not 0 < self.cuts[0] < self.cuts[1] < 1:
            raise UserError(
                "must be two shares between 0 and 1, in rising order",
                key="data.cuts",
                value=self.cuts,
                hint="Write data.cuts=[0.8,0.9].",
            )
        super().__post_init__()

    def names(self) -> dict[str, str]:
        """Return the one file as that of all splits."""
        return {} if self.train is None else dict.fromkeys(SPLITS, self.train)

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Return one split."""
        if split == next(iter(self.names())):  # what was counted is said once
            notes += self._read[2]
        return table_of(self._read[0][split], split, str(self.path_of(split, name)))

    def media_fingerprint(self) -> object:
        """Return hashes of the tables beside that of the interactions."""
        others = ((key, getattr(self, key)) for key in ("items", "tags"))
        return [
            hashes.sha256(files.find(name, self.dir, key=f"data.{key}"))
            for key, name in others
            if name is not None
        ]

    def catalogue(self) -> Catalogue:
        """Return all items, those that no user has had, too."""
        return self._read[1]

    @functools.cached_property
    def _read(self) -> tuple[Mapping[str, Any], Catalogue, list[str]]:
        """Splits, items and notes, from all tables."""
        notes: list[str] = []
        assert self.train is not None
        columns = self._columns("train", self.train, notes)
        visits = self._visits(columns, notes)
        items = self._items(visits, columns, notes)
        return divided(visits, self.split, self.cuts, notes), items, notes

    def _columns(self, key: str, name: str, notes: list[str]) -> Columns:
        kind = _ItemTable if key == "items" else Table
        reader = kind(
            columns={"train": self.columns, "items": self.item_columns}.get(key),
            header={"train": self.header, "items": self.item_header}.get(key),
            separator=self.separator,
            longest_line=self.longest_line,
            largest_file=self.largest_file,
        )
        return reader.raw_columns(files.find(name, self.dir, key=f"data.{key}"), key, notes)

    def _column(self, columns: Columns, key: str, known: Sequence[str]) -> str:
        """Return the name of a column: the one that the config names, or one of the usual names."""
        with of_one_column(columns.values):
            return self._found(columns, key, known)

    def _found(self, columns: Columns, key: str, known: Sequence[str]) -> str:
        if (chosen := getattr(self, key)) is not None:
            require_column(chosen, list(columns.values), f"data.{key}", columns.file)
            return str(chosen)
        found = first_usual(columns.values, known)
        if found is None:
            header = "data.columns=[...] (of data.items: data.item_columns)"
            more = without_times(columns) if key == "time" else ""
            raise which(
                f"the {key}", f"data.{key}", columns.values, columns.file, header=header, more=more
            )
        return found

    def _ids(self, columns: Columns, key: str, known: Sequence[str]) -> list[str]:
        """Return the names in a column of users or items.

        Raises:
            UserError: A row has none.
        """
        name = self._column(columns, key, known)
        found = []
        for row, value in enumerate(columns.values[name]):
            if (one := name_of(value)) is None:
                raise columns.fail(f"the {name} is missing", row, value=value)
            found.append(one)
        return found

    def _visits(self, columns: Columns, notes: list[str]) -> list[Visits]:
        users = self._ids(columns, "user", USERS)
        items = self._ids(columns, "item", ITEMS)
        column = self._column(columns, "time", TIMES)
        times = [time_at(columns, column, row) for row in range(len(users))]
        kept = self._rated(columns, notes)
        order = sorted(kept, key=lambda row: times[row])  # stable: rows of one time stay in order
        by_user: dict[str, dict[str, int]] = {user: {} for user in users}
        for row in order:
            by_user[users[row]].setdefault(items[row], row)
        distinct = sum(map(len, by_user.values()))
        if distinct < len(order):
            what = plural(len(order) - distinct, "interaction", "interactions")
            notes.append(f"{what} repeat an item of the same user: only the first one counts")
        return [
            Visits(
                user, list(own), [times[r] for r in own.values()], columns.lines[min(own.values())]
            )
            for user, own in by_user.items()
            if own
        ]

    def _rated(self, columns: Columns, notes: list[str]) -> list[int]:
        """Return the rows that count."""
        every = list(range(len(columns.lines)))
        if self.least_rating is None:
            return every
        require_column(self.rating, list(columns.values), "data.rating", columns.file)
        values = columns.values[self.rating]
        kept = [row for row in every if number_at(columns, self.rating, row) >= self.least_rating]
        notes.append(
            f"{len(values) - len(kept):,} of {len(values):,} interactions are rated below "
            f"{self.least_rating:g}: left out"
        )
        if not kept:
            raise UserError("nothing is left", key="data.least_rating", value=self.least_rating)
        return kept

    def _items(self, visits: Sequence[Visits], columns: Columns, notes: list[str]) -> Catalogue:
        had = dict.fromkeys(item for user in visits for item in user.items)
        if self.items is None:
            ids = list(had)
            return Catalogue(ids, ids, [""] * len(ids))
        rows = self._columns("items", self.items, notes)
        ids = self._ids(rows, "item", ITEMS)
        _require_once(rows, ids)
        titles = _texts(rows, self._column(rows, "title", TITLES))
        more = []
        for name in self.texts or ():
            require_column(name, list(rows.values), "data.texts", rows.file)
            more.append([text.replace("|", " ") for text in _texts(rows, name)])
        tags = self._tags(notes)
        texts = [" ".join(filter(None, parts)) for parts in zip(titles, *more, strict=True)]
        texts = [f"{text} {tags[name]}".strip() for name, text in zip(ids, texts, strict=True)]
        missing = sum(not title for title in titles)
        if missing:
            notes.append(f"{missing} items have no title; their ids are used instead")
        titles = [title or name for name, title in zip(ids, titles, strict=True)]
        there = set(ids)
        without = [item for item in had if item not in there]
        if len(without) == len(had):
            raise UserError(
                f"none of the items of {columns.file} is in this table, for example {without[0]!r}",
                key="data.items",
                file=rows.file,
            )
        if without:
            notes.append(
                f"{len(without)} items are not in the table of items; only their ids are known"
            )
        blank = [""] * len(without)
        return Catalogue([*ids, *without], [*titles, *without], [*texts, *blank])

    def _tags(self, notes: list[str]) -> Mapping[str, str]:
        """Return the different tags of each item, in their order."""
        if self.tags is None:
            return collections.defaultdict(str)
        columns = self._columns("tags", self.tags, notes)
        require_column(self.tag, list(columns.values), "data.tag", columns.file)
        found: dict[str, dict[str, None]] = collections.defaultdict(dict)
        pairs = zip(self._ids(columns, "item", ITEMS), _texts(columns, self.tag), strict=True)
        for item, text in pairs:
            found[item][text] = None
        return collections.defaultdict(str, {i: " ".join(texts) for i, texts in found.items()})


def _texts(columns: Columns, name: str) -> list[str]:
    return ["" if value is None else str(value).strip() for value in columns.values[name]]


def _require_once(columns: Columns, ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if (before := first.setdefault(name, row)) != row:
            raise columns.fail(f"item {name} is already in {columns.place(before)}", row)


_SERIES = "River|Mountain|Kitchen|Night|Harbour|Garden|Railway|Winter"
_VISITORS = 120
_PARTS = 6


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleInteractions(Sample, _WithItems):
    """Invented readers of eight series of books, mostly read in order."""

    name: ClassVar[str] = "sample_interactions"

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Make one split."""
        rows = divided(_readers(), "leave_last_out", (), notes)
        return table_of(rows[split], split, f"{self.name}/{split}")

    def hash_of(self, split: str, name: str) -> str:
        """Return a hash of the rows of a split."""
        rows = self.load(split, name, []).select([1, 2, 3]).to_pylist()
        return hash_json([rows, self.catalogue().as_dict()])

    def catalogue(self) -> Catalogue:
        """Return the books; the last of each series is new, and has no reader yet."""
        titles = [f"{name} {part}" for name in _SERIES.split("|") for part in range(1, _PARTS + 2)]
        texts = [f"{title} {'new ' * title.endswith(str(_PARTS + 1))}book" for title in titles]
        return Catalogue([f"b{n}" for n in range(len(titles))], titles, texts)


def _readers() -> list[Visits]:
    """Each reader goes through two or three series, now and then between them."""
    chance = Chance(71)
    series = range(len(_SERIES.split("|")))
    found = []
    for number in range(_VISITORS):
        chosen = list(dict.fromkeys(chance.pick(series) for _ in range(3)))
        read: list[str] = []
        places = dict.fromkeys(chosen, 0)
        while any(place < _PARTS for place in places.values()) and len(read) < 2 * _PARTS:
            one = chance.pick(chosen[:1] * 4 + chosen)
            if places[one] == _PARTS:
                chosen = [other for other in chosen if places[other] < _PARTS]
                continue
            read.append(f"b{one * (_PARTS + 1) + places[one]}")
            places[one] += 1
        found.append(Visits(f"reader {number + 1}", read, list(_counted(read)), number + 1))
    return found


def _counted(values: Iterable[Any]) -> Iterable[float]:
    return (float(place) for place, _ in enumerate(values))
