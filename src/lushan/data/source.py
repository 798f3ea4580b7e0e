"""Sources of examples: their common interface, and the rows they return.

A source says cheaply what it would read (`fingerprint`), so that a finished run is answered without
reading, and reads everything at once into Arrow tables of one form, one a split.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.configurable import Within
from lushan.data import files, unpacking
from lushan.data.agreement import remarks, require_alike, require_fields
from lushan.data.batch.mixing import Mix
from lushan.data.field_roles import tagged
from lushan.data.field_tables import present, training_texts, usual
from lushan.data.fields import Fields
from lushan.data.folds import WithFolds
from lushan.data.label_names import with_named
from lushan.data.labels import has_classes, labels_of
from lushan.data.prints import rows_hash
from lushan.data.splits import divide, part, require_shares, sample
from lushan.errors import UserError
from lushan.run import hashes

SPLITS = ("train", "validation", "test")
Format = Literal["txt", "jsonl", "conll", "table", "images"]
"""Of new data: what a file holds, or a folder."""

AUTO: Literal["auto"] = "auto"
BATCH_TOKENS = 1024
"""Of a global batch, where the config names no size."""

_ELSEWHERE = {
    *("train", "validation", "test", "dir", "path", "longest_line", "largest_file", "cache_dir"),
    *("media", "folds", "fold", "fold_split"),
    *("max_length", "stride", "batch_tokens", "batch_examples"),
    *("micro_tokens", "eval_tokens", "bucket", "batch_by_group", "packing"),
}
"""Fields that do not decide what a row holds, or that the files' hashes or `Limits` stand for."""


@dataclasses.dataclass
class Corpus:
    """Examples by split.

    Attributes:
        splits: `train`, `validation`, `test` (those there are) to a table, with the columns id,
            line, file, and one for each field.
        fields: Name of a column to what it holds.
        scheme: The tag scheme of the files, for writing predictions as they were; None where there
            are no tags.
        notes: What was counted or repaired, for the reader of the numbers.
        labels: All labels of the training split before it was limited; None where not known yet.
        mix: Which rows of the training split an epoch has; None where each has all of them.
        windows: Where the training split continues beyond its table; None where it is whole.
        named: Labels that evaluation may have without the training split.
    """

    splits: dict[str, pa.Table]
    fields: Fields
    scheme: str | None
    notes: list[str]
    labels: list[str] | None = None
    mix: Mix | None = None
    windows: Windows | None = None
    named: Sequence[str] = ()

    def train_texts(self) -> Iterator[str]:
        """Yield the texts of the training split, from which a tokenizer may be trained."""
        return training_texts(self.splits["train"], self.fields)

    def fingerprint(self) -> dict[str, str]:
        """Return a hash of each split's rows, whatever the config calls their source.

        The rows of a stream have no end: the first one and the hash of all that is read stand for
        them.
        """
        found = {split: rows_hash(self._content(table)) for split, table in self.splits.items()}
        if self.windows is not None and "train" in found:
            first = rows_hash(self._content(self.splits["train"].slice(0, 1)))
            found["train"] = hash_json([first, self.windows.content_fingerprint()])
        return found

    def _content(self, table: pa.Table) -> pa.Table:
        """Return a table with what its values hold in place of where that lies."""
        for name, field in present(self.fields, table).items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, field.content(table.column(name)))
        return table


class Windows(Protocol):
    """A training split without end, in tables of bounded size; each is a function of its number."""

    def window(self, number: int) -> pa.Table:
        """One table, in a corpus's columns, numbered from 0; the first is the split's own."""

    def window_fingerprint(self, number: int) -> str:
        """A hash of what decides a table."""

    def content_fingerprint(self) -> str:
        """Return a hash of what all tables together are read from."""


@dataclasses.dataclass(kw_only=True)
class Source(WithFolds, abc.ABC):
    """Splits, and how their examples become batches.

    Args:
        train: Training split: a file, or a name.
        validation: Validation split: a file, a name, or a share of the training split such as 0.1.
        test: Test split: as for `validation`.
        train_share: Share of the training split to train on, such as 0.1. It is stratified by
            label, and a smaller share is a subset of a larger one. Other splits do not change.
        seed: Random seed of all shares and of `limit`; independent of the run's seed.
        limit: Maximum number of examples of each split, stratified by label.
        max_length: Maximum number of tokens of an input; null is the limit of the encoder.
        stride: Overlap in tokens of windows over a long text; null truncates instead.
        batch_tokens: Size in tokens, padding included, of the global batch of one optimizer step.
            The default is 1024 if no size is set.
        batch_examples: Size of the global batch in examples, instead of `batch_tokens`.
        micro_tokens: Tokens of a micro-batch on one device. null is the whole batch; `auto` is the
            most that fits into its memory, measured before the first step. It does not change
            results.
        eval_tokens: Size of an evaluation batch in tokens.
        bucket: Number of batches in a pool that is sorted by length; 0 turns sorting off.
        batch_by_group: Whether a batch consists of whole groups (`data.group`), so that an image
            with ten questions is encoded once for all of them.
        packing: Whether to pack several examples into rows of `max_length` tokens, without
            attention between them. The default depends on the task.
    """

    train: str | None = None
    validation: str | float | None = None
    test: str | float | None = None
    train_share: float | None = None
    seed: Annotated[int, Within(least=0)] = 1
    limit: int | None = None
    max_length: int | None = None
    stride: int | None = None
    batch_tokens: int | None = None
    batch_examples: int | None = None
    micro_tokens: int | Literal["auto"] | None = None
    eval_tokens: int = 8192
    bucket: Annotated[int, Within(least=0)] = 50
    batch_by_group: bool = False
    packing: bool | None = None

    input_format: ClassVar[Format | None] = None
    """Format of its files, in which new data is read as its own is."""

    gives: ClassVar[Fields | None] = None
    """The fields of all that it reads; None where it looks for those that a task asks for."""

    def __post_init__(self) -> None:
        if self.batch_tokens is not None and self.batch_examples is not None:
            raise UserError(
                "set the batch size in tokens or in examples, not both",
                key="data.batch_examples",
                value=self.batch_examples,
                hint="Add data.batch_tokens=null.",
            )
        if self.batch_tokens is None and self.batch_examples is None:
            self.batch_tokens = BATCH_TOKENS
        for name in ("limit", "max_length", "batch_tokens", "batch_examples", "micro_tokens"):
            value = getattr(self, name)
            self._require_positive(name, value if isinstance(value, int) else None)
        self._require_positive("eval_tokens", self.eval_tokens)
        self._require_shares()
        self._require_train_share()
        self.require_folds()
        if self.folds is not None and type(self).read is not Source.read:
            raise UserError(
                "this data source does not support folds", key="data.folds", value=self.folds
            )

    def _require_positive(self, name: str, value: int | None) -> None:
        if value is not None and value < 1:
            raise UserError("must be 1 or more", key=f"data.{name}", value=value)

    def _require_shares(self) -> None:
        require_shares(self.shares(), self.train)

    def _require_train_share(self) -> None:
        if self.train_share is not None and not 0 < self.train_share <= 1:
            raise UserError(
                "a share of the training split must be between 0 and 1",
                key="data.train_share",
                value=self.train_share,
                hint="Write data.train_share=0.1, or null for all of it.",
            )

    def shares(self) -> dict[str, float]:
        """The splits that are taken from the training split."""
        pairs = (("validation", self.validation), ("test", self.test))
        return {k: float(v) for k, v in pairs if isinstance(v, int | float)}

    def taken(self) -> list[str]:
        """The same, with the one that a fold becomes."""
        return [*self.held_out(), *self.shares()]

    def names(self) -> dict[str, str]:
        """The splits that have a file or a name of their own."""
        return {s: v for s in SPLITS if isinstance(v := getattr(self, s), str)}

    @abc.abstractmethod
    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split, in a corpus's columns; tags may still be of any scheme.

        Args:
            split: Which.
            name: Of its file, or its own.
            notes: Takes what the reader of the numbers must know.
            fields: What is looked for; None finds what there is by the usual names.
        """

    @abc.abstractmethod
    def hash_of(self, split: str, name: str) -> str:
        """SHA-256 of what `load` would read."""

    def to_iob2(self, tables: dict[str, pa.Table], notes: list[str]) -> str:
        """Bring the tags of all splits into IOB2, in place; return the scheme they were in."""
        del tables, notes
        return "iob2"

    def read(self, fields: Fields | None = None, *, only: str | None = None) -> Corpus:
        """Read all splits.

        Args:
            fields: What a task reads; None is what there is by the usual names.
            only: The one split that is wanted; others are read as far as its rows depend on them.

        Raises:
            UserError: A file is missing or bad, or has not what a task reads; names file, line and,
                where it can, the column.
        """
        notes: list[str] = []
        if fields is not None and self.gives is not None:
            require_fields(fields, self.gives)
        tables = self._tables(only, notes, fields)
        found = require_alike(tables, fields)
        scheme = self.to_iob2(tables, notes) if tagged(found) else None
        if "train" in tables and (only is None or only in ("train", *self.taken())):
            tables |= self.cut(tables["train"], found, self.seed, notes)
        if self.shares() and (only is None or only in ("train", *self.shares())):
            file = str(tables["train"].column("file")[0])
            tables |= divide(tables["train"], found, self.shares(), self.seed, file=file)
        tables = {split: tables[split] for split in SPLITS if split in tables}
        notes += remarks(tables, found)
        corpus = with_named(Corpus(tables, found, scheme, notes), self)
        is_cut = self.limit is not None or self.train_share is not None
        if is_cut and "train" in tables and has_classes(tables["train"], found):
            corpus.labels = labels_of(corpus)
        if self.train_share is not None and "train" in tables:
            corpus.splits["train"] = part(tables["train"], found, self.train_share, self.seed)
            notes.append(self.note_on_share(corpus.splits["train"].num_rows))
        if self.limit is not None:
            fewer = functools.partial(sample, fields=found, size=self.limit, seed=self.seed)
            corpus.splits = {s: fewer(t) for s, t in corpus.splits.items()}
        if only is not None:
            corpus.splits = {s: t for s, t in corpus.splits.items() if s == only}
        return corpus

    def note_on_share(self, size: int) -> str:
        """Return the note on `train_share`."""
        used = plural(size, "example is", "examples are")
        return f"train: {used} used for training, a share of {self.train_share:g}"

    def named(self, only: str | None) -> dict[str, str]:
        """The splits with a name of their own, those that are needed for `only`.

        Raises:
            UserError: There is none.
        """
        names = self.names()
        if only is not None:
            origin = "train" if only in self.taken() else only
            names = {split: name for split, name in names.items() if split == origin}
        if not names:
            raise UserError(
                f"there is no {only} split" if only else "no split is given",
                key=f"data.{only or 'train'}",
                hint=f"Write data.{only or 'train'}=FILE.",
            )
        return names

    def _tables(
        self, only: str | None, notes: list[str], fields: Fields | None
    ) -> dict[str, pa.Table]:
        names = self.named(only)
        tables = {split: self.load(split, name, notes, fields) for split, name in names.items()}
        has_tags = tagged(fields or usual(next(iter(tables.values()))))
        if has_tags and "train" not in tables and self.train and self.asks_train_for_scheme():
            tables = {"train": self.load("train", self.train, notes, fields), **tables}
        return tables

    def asks_train_for_scheme(self) -> bool:
        """Return whether the training split decides how the tags of another are read."""
        return False

    def fingerprint(self) -> dict[str, str]:
        """Split to SHA-256 of what it is read from, without reading it.

        Raises:
            UserError: A file is missing.
        """
        found = {split: self.hash_of(split, name) for split, name in self.names().items()}
        if (media := self.media_fingerprint()) is not None:
            found = {split: hash_json([content, media]) for split, content in found.items()}
        if taken := self.taken():
            whole = found["train"]
            reading = self._reading()
            share = reading.pop("train_share", None)
            for split in ("train", *taken):
                own = {"train_share": share} if split == "train" and share is not None else {}
                found[split] = hash_json([split, whole, self.shares(), reading | own])
        return {split: found[split] for split in SPLITS if split in found}

    def media_fingerprint(self) -> object:
        """Return hashes of files beside the splits' own that decide what rows hold; None: none."""
        return None

    def options(self) -> dict[str, Any]:
        """The fields that decide what the rows hold, and the version of the code that reads."""
        return {**self._reading(), "code": code_hash("data")}

    def _reading(self) -> dict[str, Any]:
        """Return the fields that decide what rows hold, as far as they are not the defaults.

        So an option that is added later leaves the fingerprints of earlier runs as they are.
        """
        values = ((f, getattr(self, f.name)) for f in dataclasses.fields(self))
        kept = {f.name: v for f, v in values if f.name not in _ELSEWHERE and v != f.default}
        kept |= {"held_out": held} if (held := self.held_out()) else {}
        return {"reader": type(self).__name__, **kept, "shares": self.shares()}


@dataclasses.dataclass(kw_only=True)
class FileSource(Source):
    """A source whose splits are files.

    Args:
        dir: Base folder of file names.
        longest_line: Maximum size in bytes of a line.
    """

    dir: str | None = None
    longest_line: int = files.LONGEST_LINE

    def path_of(self, split: str, name: str) -> Path:
        """The file of a split."""
        return files.find(name, self.dir, key=f"data.{split}")

    def hash_of(self, split: str, name: str) -> str:
        """SHA-256 of a split's file."""
        return hashes.sha256(self.path_of(split, name))


@dataclasses.dataclass(kw_only=True)
class WholeFiles(FileSource):
    """A source that holds its files in memory.

    Args:
        largest_file: Maximum size in bytes of a file after decompression. null is 2 GiB; a
            compressed file can expand to 50 times its size, or to 64 MiB.
    """

    largest_file: int | None = None

    def pieces_of(self, path: Path) -> Iterator[bytes]:
        """Return a file's bytes, unpacked, in pieces."""
        return unpacking.bounded(path, self.largest_file)


def hash_json(value: object) -> str:
    """SHA-256 of a plain value."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


@functools.cache
def code_hash(package: str) -> str:
    """Return the SHA-256 of the code of `lushan.<package>`: what other code has made is stale."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parents[1] / package).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
