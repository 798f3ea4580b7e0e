"""Sets that do not fit on the disk: read from the hub, or from files, window by window."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.common.arrays import np, pa
from lushan.configurable import configurable
from lushan.data import corpora, documents, files, folders, unpacking
from lushan.data.agreement import require_fields
from lushan.data.batch.streaming import Stream as Rows
from lushan.data.corpora import KEY, Documents, corpus_schema
from lushan.data.documents import require_text, usual_field
from lushan.data.encode import arrow
from lushan.data.encode.store import write_table
from lushan.data.fields import DOCUMENTS, Fields
from lushan.data.formats.hub import CONVERTED, HubSet, builder_of, load_from_hub, load_here
from lushan.data.json_rows import is_array, rows_of
from lushan.data.json_shapes import SUFFIXES
from lushan.data.raw_columns import Columns, require_short
from lushan.data.source import SPLITS, Corpus, hash_json
from lushan.errors import UserError
from lushan.run import hashes
from lushan.run.caches import remove
from lushan.text import hub

if TYPE_CHECKING:
    from datasets import IterableDataset
    from numpy.typing import NDArray

KEPT = 2
"""Windows that stay on the disk: this one and the one before, for ranks that are still there."""


@configurable
@dataclasses.dataclass(kw_only=True)
class Stream(HubSet):
    """Documents of a set of the hub, or of files that `datasets` reads, never all of them at once.

    The training split comes in windows of `window_documents` documents in the set's order. Each is
    encoded, shuffled and trained on like a small epoch, and then forgotten. Behind the last one the
    set starts over. A window is a function of its number: a resumed run continues in its window,
    and no document is repeated or left out.

    Args:
        path: A Hub id; or a file, a file pattern or a folder of Parquet, JSONL, CSV or lines of
            text.
        validation: Name of a split; or a number of documents from the beginning of the training
            split, which are then excluded from training together with their duplicates.
        test: As for `validation`; a number of documents follows those of validation.
        text: Field of the texts; null detects it by name.
        window_documents: Number of documents of a window.
        evaluation_documents: Maximum number of documents of a named split.
        longest_part: Maximum length in characters of a text; longer texts are split at line ends.
        cache_dir: Cache folder of the last windows; null keeps them in memory.
    """

    gives: ClassVar[Fields | None] = DOCUMENTS

    validation: str | float | None = None
    test: str | float | None = None
    text: str | None = None
    window_documents: int = 10_000
    evaluation_documents: int = 1000
    longest_part: int = documents.LONGEST_PART
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window_documents", "evaluation_documents", "longest_part"):
            self._require_positive(name, getattr(self, name))
        self._streams: dict[str, Rows] = {}
        self._windows: int | None = None  # in the whole set, once its end was seen
        if self.limit is not None:
            self.window_documents = min(self.limit, self.window_documents)
            self._windows = 1

    def _require_shares(self) -> None:
        for name, count in self.shares().items():
            if count < 1 or count != int(count):
                raise UserError(
                    "a stream needs a number of documents, not a share",
                    key=f"data.{name}",
                    value=count,
                    hint=f"Write data.{name}=1000, or the name of a split.",
                )

    def _require_train_share(self) -> None:
        if self.train_share is not None:
            raise UserError(
                "the length of a stream is unknown, so a share of it is not possible",
                key="data.train_share",
                value=self.train_share,
                hint="Write trainer.max_steps=N, or data.limit=N for the first N documents.",
            )

    # Splits

    def read(self, fields: Fields | None = None, *, only: str | None = None) -> Corpus:
        """Read the first window and the evaluation splits; see `Source.read`."""
        require_fields(fields or DOCUMENTS, DOCUMENTS)
        wanted = [s for s in SPLITS if s in (*self.names(), *self.shares()) and only in (None, s)]
        if not wanted:
            raise UserError(f"there is no {only} split", key=f"data.{only}")
        splits, notes = {}, []
        for split in wanted:
            if split == "train":
                splits[split] = self.window(0)
                notes.append(f"train: read in windows of {self.window_documents:,} documents")
            else:
                splits[split] = self._evaluation(split)
        windows = self if "train" in splits else None
        return Corpus(splits, DOCUMENTS, None, notes, windows=windows)

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split; of the training split the first window."""
        return self.window(0) if split == "train" else self._evaluation(split)

    def _evaluation(self, split: str) -> pa.Table:
        start, stop = self._taken().get(split, (0, self.evaluation_documents))
        origin = "train" if split in self.shares() else split
        count = min(stop - start, self.limit or stop)
        rows = self._read(origin, start, count)
        if not rows:
            raise files.empty(self._name(origin), "the split has no rows")
        return self.table_of(self._columns(rows, start, origin), split, [])

    def _taken(self) -> dict[str, tuple[int, int]]:
        """The rows that evaluation takes from the training split's beginning."""
        places, start = {}, 0
        for split, count in self.shares().items():
            places[split] = (start, start + int(count))
            start += int(count)
        return places

    # Windows

    def window(self, number: int) -> pa.Table:
        """The documents of a window, numbered from 0; behind the set's end it begins again."""
        place = None
        if self.cache_dir is not None:
            place = self._folder() / f"window-{number}.arrow"
            for old in place.parent.glob("window-*.arrow"):
                # Every start inspects the first one: the tokenizer is trained on it.
                if 0 < int(old.stem.partition("-")[2]) <= number - KEPT:
                    remove(old)
        return Documents(*write_table(place, corpus_schema(), self._window(number))).table

    def window_fingerprint(self, number: int) -> str:
        """A hash of what decides a window."""
        return hash_json([self._identity(), number])

    def content_fingerprint(self) -> str:
        """Return a hash of the files or the commit, and of how much of them is read."""
        return hash_json([self.hash_of("train", str(self.train)), self.limit])

    def _window(self, number: int) -> Iterator[pa.RecordBatch]:
        held_out = self._held_out()
        place = corpus_schema().get_field_index(KEY)
        for batch in self._batches(self._rows(number)):
            keys = arrow.as_numpy(batch.column(place))
            kept = np.flatnonzero(~np.isin(keys, held_out))
            yield batch.take(arrow.numbers(kept, pa.int64())) if len(kept) < len(keys) else batch

    def _rows(self, number: int) -> Columns:
        first = sum(int(count) for count in self.shares().values())
        size = self.window_documents
        turn = number if self._windows is None else number % self._windows
        rows = self._read("train", first + turn * size, size)
        if rows:
            return self._columns(rows, first + turn * size, "train")
        end = self._stream("train").end or 0
        if end <= first:
            raise files.empty(self._name("train"), "all rows of the split would be held out")
        self._windows = -(-(end - first) // size)
        return self._rows(number)

    def _held_out(self) -> NDArray[np.uint64]:
        """The keys of the documents that evaluation has taken from the training split."""
        found = self.__dict__.get("_keys")
        if found is None:
            count = sum(int(count) for count in self.shares().values())
            rows = self._read("train", 0, count) if count else []
            batches = self._batches(self._columns(rows, 0, "train")) if rows else ()
            keys = [arrow.as_numpy(batch.column(KEY)) for batch in batches]
            found = self.__dict__["_keys"] = np.concatenate([np.empty(0, np.uint64), *keys])
        return found

    # Rows

    def _read(self, split: str, start: int, count: int) -> list[dict[str, Any]]:
        with self._explained():
            return self._stream(split).rows(start, count)

    def _columns(self, rows: list[dict[str, Any]], start: int, split: str) -> Columns:
        name = self._name(split)
        field = usual_field(rows, self.text, name)
        texts = [
            require_text(row.get(field), field, line, name)
            for line, row in enumerate(rows, start + 1)
        ]
        columns = Columns({field: texts}, range(start + 1, start + 1 + len(rows)), name)
        require_short(columns, self.longest_line)
        return columns

    def table_of(
        self, columns: Columns, split: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """A corpus's table of some rows, whose only column are the texts."""
        return Documents(*write_table(None, corpus_schema(), self._batches(columns))).table

    def _batches(self, columns: Columns) -> Iterator[pa.RecordBatch]:
        name = str(columns.file)
        (texts,) = columns.values.values()
        parts = (
            (name, 0, part)
            for line, text in zip(columns.lines, texts, strict=True)
            for part in documents.of_row(line, text, self.longest_part)
        )
        return corpora.batches(parts, arrow.texts([name]), "")

    def _name(self, split: str) -> str:
        return f"{self.path}[{self.names().get(split, split)}]"

    def _stream(self, split: str) -> Rows:
        if split not in self._streams:
            memory = None if self.cache_dir is None else self._folder() / split
            self._streams[split] = Rows(lambda: self._open(split), self._name(split), memory)
        return self._streams[split]

    def _open(self, split: str) -> IterableDataset:
        name = self.names()[split]
        with self._explained():
            data = self._opened()
            if name not in data:
                raise self._no_split(split, name, list(data))
            rows = data[name]
            return rows.decode(False) if folders.is_media(rows.features or {}) else rows

    def _opened(self) -> IterableDataset:
        """Split to iterable dataset."""
        import datasets

        local = self._files()
        if local:
            suffix, builder = builder_of(local[0], self.path)
            if suffix in SUFFIXES and any(map(is_array, local)):
                # `datasets` would read each whole.
                rows = datasets.IterableDataset.from_generator(
                    _elements, gen_kwargs={"paths": local, "longest": self.longest_line}
                )
                return {"train": rows}
            more = {"sep": "\t"} if suffix == ".tsv" else {}
            names = [str(path) for path in local]
            return load_here(builder, data_files=names, streaming=True, **more)
        place = Path(self.path).expanduser()
        if (place / folders.SAVED).is_file():
            kept = folders.load_saved(place)
            return {name: table.to_iterable_dataset() for name, table in kept.items()}
        if place.is_dir():
            return folders.load(place, self.config, streaming=True)
        self._require_hub_id()
        if not hub.reachable():
            raise self._unreachable()
        try:
            return load_from_hub(self.path, self.config, revision=self.revision, streaming=True)
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error) or self.revision is not None:
                raise
        return load_from_hub(self.path, self.config, revision=CONVERTED, streaming=True)

    def _files(self) -> list[Path]:
        """The files that `path` names; none where it is a folder or a hub id."""
        place = Path(self.path).expanduser()
        if place.is_file() or glob.has_magic(self.path):
            return files.find_all(self.path, None, key="data.path")
        return []

    # What it is

    def hash_of(self, split: str, name: str) -> str:
        """Return the hash of local files; else that of the set's name and commit."""
        known = self.__dict__.setdefault("_hashes", {})
        if name not in known:
            memory = None if self.cache_dir is None else self.cache_dir / "hashes"
            content = [hashes.sha256(path, memory=memory) for path in self._files()]
            known[name] = hash_json([content, name]) if content else super().hash_of(split, name)
        return known[name]

    def _identity(self) -> list[Any]:
        return [self.hash_of("train", str(self.train)), self.options()]

    def _folder(self) -> Path:
        assert self.cache_dir is not None
        return self.cache_dir / "streams" / hash_json(self._identity())[:24]


def _elements(paths: Sequence[Path], longest: int) -> Iterator[dict[str, Any]]:
    """The rows of JSON files, of which at least one is an array."""
    for path in paths:
        for row in rows_of(unpacking.unpacked(path), path, longest=longest):
            yield row.value
