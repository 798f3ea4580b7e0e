"""Several sources as one, mixed by weight."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data.batch.mixing import Measure, Mix, Stopping
from lushan.data.encode import arrow
from lushan.data.fields import Fields
from lushan.data.messages import alike
from lushan.data.source import SPLITS, Corpus, Source, hash_json
from lushan.errors import UserError, one_of


@configurable
@dataclasses.dataclass(kw_only=True)
class Mixture(Source):
    """Corpora side by side; the id of each example begins with the name of its corpus.

    Evaluation has all examples of all corpora. Of each source only what is read counts; batches are
    the mixture's.

    Args:
        sources: From a name to its source.
        weights: From a name to its sampling weight in training; null uses every example once an
            epoch. Weights need not sum to 1.
        weigh_by: Whether weights are shares of tokens or of examples.
        epoch_examples: Number of examples of an epoch; null depends on `stopping`.
        stopping: End an epoch when the first source is exhausted, or the last one. Exhausted
            sources are repeated until then.
        cache_dir: Cache folder of documents.
    """

    sources: dict[str, Source] = dataclasses.field(default_factory=dict)
    weights: dict[str, float] | None = None
    weigh_by: Measure = "tokens"
    epoch_examples: int | None = None
    stopping: Stopping = "all_exhausted"
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_positive("epoch_examples", self.epoch_examples)
        for split in SPLITS:
            if (value := getattr(self, split)) is not None:
                raise UserError(
                    "each source of a mixture sets its own splits",
                    key=f"data.{split}",
                    value=value,
                    hint=f"Write data.sources.NAME.{split}=FILE.",
                )
        self._require_weights()
        for name, source in self.sources.items():
            self._adopt(name, source)

    def _require_weights(self) -> None:
        for name, weight in (self.weights or {}).items():
            if name not in self.sources:
                raise UserError(
                    "unknown source",
                    key=f"data.weights.{name}",
                    value=weight,
                    hint=one_of(name, self.sources, colon=True),
                )
            if weight < 0:
                raise UserError("must be 0 or more", key=f"data.weights.{name}", value=weight)
        if self.weights is not None:
            if missing := [name for name in self.sources if name not in self.weights]:
                raise UserError(
                    f"the source {missing[0]!r} has no weight",
                    key="data.weights",
                    value=self.weights,
                    hint="Write 0 to exclude it from training.",
                )
            if not sum(self.weights.values()):
                raise UserError("all weights are 0", key="data.weights", value=self.weights)

    def _adopt(self, name: str, source: Source) -> None:
        # Not all sources keep documents, nor write ids themselves.
        if hasattr(source, "cache_dir"):
            source.cache_dir = self.cache_dir
        if hasattr(source, "prefix"):
            source.prefix = f"{name}/"
        if self.limit is not None and source.limit is None:
            source.limit = max(1, self.limit // len(self.sources))
        if self.train_share is not None and source.train_share is None:
            source.train_share = self.train_share

    def _require_sources(self) -> None:
        if not self.sources:
            raise UserError(
                "there is nothing to mix",
                key="data.sources",
                hint="List the sources in a file conf/data/mine.yaml; see conf/data/mixture.yaml.",
            )

    def read(self, fields: Fields | None = None, *, only: str | None = None) -> Corpus:
        """Read all sources; see `Source.read`."""
        self._require_sources()
        read = {
            name: source.read(fields, only=only)
            for name, source in self.sources.items()
            if only is None or only in (*source.names(), *source.shares())
        }
        if not read:
            raise UserError(f"no source has a {only} split", key="data.sources")
        splits = {}
        for split in SPLITS:
            tables = {n: c.splits[split] for n, c in read.items() if split in c.splits}
            if tables:
                splits[split] = joined({n: self._named(n, t) for n, t in tables.items()})
        schemes = {corpus.scheme for corpus in read.values()}
        return Corpus(
            splits=splits,
            fields={n: f for corpus in read.values() for n, f in corpus.fields.items()},
            scheme=schemes.pop() if len(schemes) == 1 else None,
            notes=[f"{name}: {note}" for name, corpus in read.items() for note in corpus.notes],
            mix=self._mix(read) if "train" in splits else None,
            named=[label for corpus in read.values() for label in corpus.named],
        )

    def _mix(self, read: dict[str, Corpus]) -> Mix | None:
        sizes = {n: c.splits["train"].num_rows for n, c in read.items() if "train" in c.splits}
        if self.weights is None and self.epoch_examples is None:
            return None
        return Mix(sizes, self.weights, self.weigh_by, self.epoch_examples, self.stopping)

    def _named(self, name: str, table: pa.Table) -> pa.Table:
        if hasattr(self.sources[name], "prefix"):
            return table
        ids = arrow.texts([f"{name}/{value}" for value in table.column("id").to_pylist()])
        return table.set_column(table.column_names.index("id"), "id", ids)

    def names(self) -> dict[str, str]:
        """Every split that a source has, and the sources that have it."""
        found: dict[str, list[str]] = {}
        for name, source in self.sources.items():
            for split in (*source.names(), *source.shares()):
                found.setdefault(split, []).append(name)
        return {split: "+".join(found[split]) for split in SPLITS if split in found}

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split of all sources."""
        corpus = self.read(fields, only=split)
        notes += corpus.notes
        return corpus.splits[split]

    def hash_of(self, split: str, name: str) -> str:
        """Return the hash of the sources' fingerprints of that split."""
        fingerprints = {n: source.fingerprint().get(split) for n, source in self.sources.items()}
        return hash_json(fingerprints)

    def fingerprint(self) -> dict[str, str]:
        """Return for each split a hash of the sources' fingerprints."""
        self._require_sources()
        return super().fingerprint()

    def options(self) -> dict[str, Any]:
        """Return the options of the sources: weights do not change what is encoded."""
        return {
            "reader": type(self).__name__,
            "sources": {name: source.options() for name, source in self.sources.items()},
        }


def joined(tables: dict[str, pa.Table]) -> pa.Table:
    """Tables one after the other, uncopied where their columns are of the same types.

    Raises:
        UserError: They have not the same columns.
    """
    if all("messages" in table.column_names for table in tables.values()):
        tables = dict(zip(tables, alike(list(tables.values())), strict=True))
    first, *others = tables
    names = tables[first].column_names
    for other in others:
        if different := set(names) ^ set(tables[other].column_names):
            raise UserError(
                f"{first} and {other} have different fields: one of them has no {min(different)}",
                key="data.sources",
                hint=f"{first} has {', '.join(names)}.",
            )
    same = [tables[first], *(tables[other].select(names) for other in others)]
    if any(table.schema != same[0].schema for table in same):
        same = [table.set_column(*_plain_file(table)) for table in same]
    return pa.concat_tables(same)


def _plain_file(table: pa.Table) -> tuple[int, str, pa.ChunkedArray]:
    return table.column_names.index("file"), "file", table.column("file").cast(pa.string())
