"""Corpora of documents as tables on disk: made from files in a stream, divided, sampled, compared.

A table has the columns id, text, line and file, and beside them `key`, a hash of the text: copies
are found by it without the texts. What is held in memory is a few numbers a document.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lushan.common.arrays import np, pa
from lushan.data import documents
from lushan.data.documents import Part, Reading
from lushan.data.encode import arrow
from lushan.data.encode.store import write_table
from lushan.data.files import empty
from lushan.data.raw_columns import Columns, halves
from lushan.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = "key"
_CHARACTERS = 1 << 22
"""Characters of the texts of one batch: enough to make reading quick, little memory."""
_ROWS = 1 << 15

Rows: TypeAlias = "NDArray[np.int64]"
Place = tuple[int, int]
"""(row, bytes into its text)"""
Stretch = tuple[Place, Place]
"""From one place to before another."""


@functools.cache
def corpus_schema() -> pa.Schema:
    """Return the columns of a corpus of documents."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("line", pa.int64()),
            ("file", pa.dictionary(pa.int32(), pa.string())),
            (KEY, pa.uint64()),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Documents:
    """Documents and what was counted while they were read."""

    whole: pa.Table
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return int(self.whole.num_rows)

    @property
    def table(self) -> pa.Table:
        """A corpus's columns."""
        return self.whole.drop_columns([KEY])

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Each document's hash, shape (N,)."""
        chunks = [arrow.as_numpy(c) for c in self.whole.column(KEY).chunks]
        return np.concatenate([np.empty(0, np.uint64), *chunks])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each text, shape (N,)."""
        return arrow.text_bytes(self.whole.column("text"))

    @property
    def notes(self) -> list[str]:
        """Notes for the reader of the numbers."""
        return documents.notes(collections.Counter(self.counts))


# Reading


def read_files(
    paths: Sequence[Path], reading: Reading, store: Path | None, *, prefix: str = ""
) -> Documents:
    """The documents of some files, in their order.

    Args:
        paths: The files.
        reading: How they are read.
        store: Where the table is kept; None keeps it in memory.
        prefix: What every id begins with.

    Raises:
        UserError: A file cannot be read; names it and, where it can, the line.
    """
    counts: collections.Counter[str] = collections.Counter()
    names = arrow.texts([str(path) for path in paths])
    parts = (
        (name, owner, part)
        for owner, (path, name) in enumerate(zip(paths, short_names(paths), strict=True))
        for part in documents.read(path, reading, counts)
    )
    found = _some(batches(parts, names, prefix), paths)
    return Documents(*write_table(store, corpus_schema(), found, lambda: counts))


def _some(batches: Iterator[pa.RecordBatch], paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """Refuse files that hold no document at all."""
    first = next(batches, None)
    if first is None:
        what = "the file is empty" if len(paths) == 1 else "the files are empty, the first of them"
        raise empty(paths[0], what)
    yield first
    yield from batches


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return names that distinguish files: those below their common folder."""
    if len(paths) == 1:
        return [paths[0].name]
    folder = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(folder).as_posix() for path in paths]


def batches(
    parts: Iterable[tuple[str, int, Part]], files: pa.Array, prefix: str
) -> Iterator[pa.RecordBatch]:
    """Documents as batches of `corpus_schema()`.

    Args:
        parts: (what the id begins with, number of the file, document or part), in order.
        files: The files' names.
        prefix: What every id begins with before that.

    Raises:
        UserError: One holds half of a surrogate pair.
    """
    held: list[tuple[str, int, Part]] = []
    size = 0
    key = np.uint64(0)
    for item in parts:
        held.append(item)
        size += len(item[2].text)
        if size >= _CHARACTERS or len(held) >= _ROWS:
            batch, key = _batch(held, files, prefix, key)
            yield batch
            held, size = [], 0
    if held:
        yield _batch(held, files, prefix, key)[0]


def _batch(
    held: list[tuple[str, int, Part]], files: pa.Array, prefix: str, key: np.uint64
) -> tuple[pa.RecordBatch, np.uint64]:
    """Some parts as a batch, and the key of the last one's document; `key` is that before them."""
    try:
        texts = arrow.texts([part.text for _, _, part in held])
    except UnicodeEncodeError as error:
        raise _half(held, files) from error
    keys = np.concatenate([[key], hashes(texts)])
    begins = np.asarray([True, *(part.number == 0 for _, _, part in held)])
    # A document's parts share the key of the first one: they are never dealt to two splits.
    keys = keys[np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))]
    owners = arrow.numbers([owner for _, owner, _ in held], pa.int32())
    columns = [
        arrow.texts([f"{prefix}{name}:{part.place}" for name, _, part in held]),
        texts,
        arrow.numbers([part.line for _, _, part in held], pa.int64()),
        pa.DictionaryArray.from_arrays(owners, files),
        arrow.numbers(keys[1:], pa.uint64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=corpus_schema()), keys[-1]


def _half(held: list[tuple[str, int, Part]], files: pa.Array) -> UserError:
    for _, owner, part in held:
        try:
            part.text.encode()
        except UnicodeEncodeError:
            place = Columns({}, [part.line], files[owner].as_py())
            return halves(place, [[part.text]])
    raise AssertionError("every text can be encoded")


def hashes(texts: pa.Array) -> NDArray[np.uint64]:
    """64 bits of each text's hash, shape (N,).

    Among a hundred million texts, two are equal by chance once in 3,700 times.
    """
    ends = arrow.text_ends(texts).tolist()
    data = memoryview(texts.buffers()[2] or b"")
    found = (
        hashlib.blake2b(data[start:end], digest_size=8).digest()
        for start, end in itertools.pairwise(ends)
    )
    return np.frombuffer(b"".join(found), dtype="<u8")


# Dividing


def deal(
    groups: NDArray[Any], shares: Mapping[str, float], seed: int, *, file: str
) -> dict[str, Rows]:
    """Give each split its share of the groups; a group stays together, rows keep their order.

    Args:
        groups: The group of each row, such as the hash of its text, shape (N,).
        shares: Split to its share of all groups.
        seed: The same seed and content, the same splits.
        file: For the error.

    Returns:
        The rows of the splits, and what is left as `train`.

    Raises:
        UserError: A split would be empty.
    """
    distinct, members = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(distinct))
    owner = np.zeros(len(distinct), dtype=np.int8)
    names = ["train", *shares]
    taken = 0
    for number, name in enumerate(names[1:], start=1):
        size = round(shares[name] * len(distinct))
        owner[order[taken : taken + size]] = number
        taken += size
    owners = owner[members]
    found = {name: np.flatnonzero(owners == number) for number, name in enumerate(names)}
    for name, rows in found.items():
        if not len(rows):
            share = "" if name == "train" else f" ({shares[name]})"
            raise UserError(
                f"nothing is left for {name}{share}: there are {len(distinct)} distinct documents",
                key=f"data.{name}",
                file=file,
                hint="Choose another share, or name a file. data.document=paragraph or line "
                "splits plain text into more documents; data.share_from=end takes the end of the "
                "text.",
            )
    return found


def select(
    source: Documents, rows: Rows, store: Path | None, *, counts: Mapping[str, int]
) -> Documents:
    """Some documents as a table of their own.

    Args:
        source: The documents.
        rows: Sorted numbers.
        store: Where the table is kept; None keeps it in memory.
        counts: What goes with it.
    """
    return Documents(
        *write_table(store, corpus_schema(), _taken(source.whole, rows), lambda: counts)
    )


def _taken(table: pa.Table, rows: Rows) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in table.to_batches():
        stop = start + batch.num_rows
        low, high = np.searchsorted(rows, [start, stop])
        if high - low == batch.num_rows:
            yield batch
        elif high > low:
            yield batch.take(arrow.numbers(rows[low:high] - start, pa.int64()))
        start = stop


def from_the_end(
    source: Documents, shares: Mapping[str, float], *, cut: bool, file: str
) -> dict[str, Stretch]:
    """Give each split a stretch of all text: the training split the first, then the others.

    Args:
        source: The documents, in their order.
        shares: Split to its share of all bytes.
        cut: Whether a text is cut, at a line end, where a stretch ends in it; else it stays whole.
        file: For the error.

    Raises:
        UserError: A split would be empty.
    """
    sizes, keys = source.sizes, source.keys
    ends = np.cumsum(sizes)
    begins = np.flatnonzero(np.diff(keys, prepend=~keys[:1])) if len(keys) else ends
    parts = {"train": 1 - sum(shares.values()), **shares}
    places: list[Place] = [(0, 0)]
    for share in np.cumsum(list(parts.values()))[:-1].tolist():
        byte = min(round(share * int(ends[-1])), int(ends[-1]) - 1)
        row = int(np.searchsorted(ends, byte, side="right"))
        if cut:
            places.append((row, _line_end(source, row, byte - int(ends[row] - sizes[row]))))
        else:
            later = begins[np.searchsorted(ends[begins] - sizes[begins], byte) :]
            places.append((int(later[0]) if len(later) else len(source), 0))
    found = dict(zip(parts, itertools.pairwise([*places, (len(source), 0)]), strict=True))
    for name, (start, stop) in found.items():
        if start >= stop:
            raise UserError(
                f"nothing is left for {name}: the text has {len(source)} parts",
                key=f"data.{name}",
                file=file,
                hint="Choose another share, or name a file.",
            )
    return found


def _line_end(source: Documents, row: int, byte: int) -> int:
    """The last line end of a text before a byte of it, in bytes."""
    return int(source.whole.column("text")[row].as_py().encode().rfind(b"\n", 0, byte)) + 1


def stretch(
    source: Documents, span: Stretch, store: Path | None, *, counts: Mapping[str, int]
) -> Documents:
    """A stretch of all text as a table of its own; see `from_the_end`.

    Args:
        source: The documents.
        span: From where to where.
        store: Where the table is kept; None keeps it in memory.
        counts: What goes with it.
    """
    return Documents(
        *write_table(store, corpus_schema(), _stretched(source.whole, *span), lambda: counts)
    )


def _stretched(table: pa.Table, start: Place, stop: Place) -> Iterator[pa.RecordBatch]:
    place = corpus_schema().get_field_index(KEY)
    for batch in _pieces(table, start, stop):
        # Parts of one text are in several splits now, and no copies of one another.
        keys = arrow.numbers(hashes(batch.column("text")), pa.uint64())
        yield batch.set_column(place, corpus_schema().field(KEY), keys)


def _pieces(table: pa.Table, start: Place, stop: Place) -> Iterator[pa.RecordBatch]:
    (first, head), (last, tail) = start, stop
    if first == last:
        yield _piece(table, first, head, tail)
        return
    if head:
        yield _piece(table, first, head, None)
        first += 1
    yield from table.slice(first, last - first).to_batches()
    if tail:
        yield _piece(table, last, 0, tail)


def _piece(table: pa.Table, row: int, start: int, stop: int | None) -> pa.RecordBatch:
    """A row with some bytes of its text."""
    batch = table.slice(row, 1).to_batches()[0]
    data = batch.column("text")[0].as_py().encode()
    line = batch.column("line")[0].as_py() + data.count(b"\n", 0, start)
    name = batch.column("id")[0].as_py()
    columns = [
        arrow.texts([f"{name.rpartition(':')[0]}:{line}"]),
        arrow.texts([data[start:stop].decode()]),
        arrow.numbers([line], pa.int64()),
        *batch.columns[3:],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=corpus_schema())


# Audits


def repeated(documents: Documents, train: Documents) -> int:
    """Count the documents that are in the training split too."""
    wanted, times = np.unique(documents.keys, return_counts=True)
    seen = np.zeros(len(wanted), dtype=bool)
    for chunk in train.whole.column(KEY).chunks:
        keys = arrow.as_numpy(chunk)
        places = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        seen[places[wanted[places] == keys]] = True
    return int(times[seen].sum())
