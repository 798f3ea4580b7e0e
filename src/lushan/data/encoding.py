"""Encoded splits: token ids and labels as memory-mapped Arrow files, shared by all runs.

A file's name is a fingerprint of everything that decides its content (data, tokenizer, encoding
options, the code that encodes), so nothing is ever stale and nothing is asked of the user. It is
written beside its final name and renamed: two processes that build it at once both get a whole one.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import inspect
import json
import multiprocessing as mp
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.data import arrow
from lushan.errors import RunFailed
from lushan.runs.cores import usable_threads

ROWS_AT_ONCE = 1000
"""Rows encoded per call: enough for the tokenizer to spread over the cores, little memory."""
LARGE = 20_000
"""Rows from which on several processes encode a split: what is around the tokenizer is Python."""


class Ragged:
    """A list column seen as numpy, uncopied: row i is `values[offsets[i]:offsets[i + 1]]`."""

    def __init__(self, column: pa.ListArray) -> None:
        self.offsets: NDArray[np.int32] = arrow.as_numpy(column.offsets)
        self.values: NDArray[Any] = arrow.as_numpy(column.values)

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Encoded:
    """One encoded split.

    Every split has the columns `length` (tokens), `targets` (what its loss is summed over) and
    `example` (the row of the corpus it comes from; several windows may share one).

    Attributes:
        path: The Arrow file.
        meta: What the encoder counted on the way, such as words cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        self.meta: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"meta", b"{}"))
        table = table.combine_chunks()
        self.columns: dict[str, Ragged | NDArray[Any]] = {
            name: _as_numpy(table.column(name)) for name in table.column_names
        }

    def __len__(self) -> int:
        return len(self.columns["length"])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each feature, shape (N,)."""
        return np.asarray(self.columns["length"], dtype=np.int64)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Terms of the loss each feature contributes, shape (N,)."""
        return np.asarray(self.columns["targets"], dtype=np.int64)

    @property
    def examples(self) -> NDArray[np.int64]:
        """The corpus row of each feature, shape (N,)."""
        return np.asarray(self.columns["example"], dtype=np.int64)

    def rows(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        """The features at `indices`, as arrays and plain numbers."""
        return [{name: column[i] for name, column in self.columns.items()} for i in indices]


def _as_numpy(column: pa.ChunkedArray) -> Ragged | NDArray[Any]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # without a chunk there is nothing to combine
        array = _column([], column.type)
    if pa.types.is_list(array.type):
        return Ragged(array)
    return arrow.as_numpy(array)


Encoder = Callable[[dict[str, list[Any]], int], dict[str, list[Any]]]
"""(rows as columns, number of the first row) -> features as columns."""
Counter = Callable[[dict[str, list[Any]]], Mapping[str, int]]
"""Features -> numbers to add up over all of them."""


def encode(
    table: pa.Table,
    encoder: Encoder,
    schema: pa.Schema,
    *,
    fingerprint: str,
    cache_dir: Path,
    count: Counter | None = None,
) -> Encoded:
    """Read an encoded split from the cache, or make it.

    Args:
        table: The corpus split.
        encoder: Turns rows into features.
        schema: The features' columns.
        fingerprint: From `fingerprint_of`; names the file.
        cache_dir: Where encoded splits are kept.
        count: Numbers to add up over all features and keep as the split's `meta`.
    """
    path = cache_dir / f"{fingerprint}.arrow"
    if not path.exists():
        _write(path, table, encoder, schema, count)
    return Encoded(path)


def _write(
    path: Path,
    table: pa.Table,
    encoder: Encoder,
    schema: pa.Schema,
    count: Counter | None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    totals: collections.Counter[str] = collections.Counter()
    batches: list[pa.RecordBatch] = []
    for batch, counts in _parts(_Part(table, encoder, schema, count)):
        totals.update(counts)
        batches.append(batch)
    # One batch per file: a memory-mapped column is then one run of numbers.
    whole = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    whole = whole.replace_schema_metadata({"meta": json.dumps(totals)})
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", suffix=".arrow", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as sink:
            with pa.ipc.new_file(sink, whole.schema) as writer:
                writer.write_table(whole, max_chunksize=max(1, len(whole)))
            sink.flush()
            os.fsync(sink.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise RunFailed(f"cannot write the encoded data {path}: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        return arrow.number_lists(values, kind.value_type)
    return arrow.numbers(values, kind)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Encodes `ROWS_AT_ONCE` rows of a split, by the number of the first one."""

    table: pa.Table
    encoder: Encoder
    schema: pa.Schema
    count: Counter | None

    def __call__(self, start: int) -> tuple[pa.RecordBatch, dict[str, int]]:
        rows = self.table.slice(start, ROWS_AT_ONCE).to_pydict()
        features = self.encoder(rows, start)
        columns = [_column(features[field.name], field.type) for field in self.schema]
        counts = {} if self.count is None else self.count(features)
        numbers = {name: int(number) for name, number in counts.items()}
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), numbers


def _parts(part: _Part) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
    """All parts in order; of a large split several at a time, in forked processes."""
    starts = range(0, part.table.num_rows, ROWS_AT_ONCE)
    workers = min(usable_threads(), len(starts))
    if part.table.num_rows < LARGE or workers < 2 or "fork" not in mp.get_all_start_methods():
        yield from map(part, starts)
        return
    with mp.get_context("fork").Pool(workers, _begin_worker, (part,)) as pool:
        yield from pool.imap(_work, starts)


_inherited: list[_Part] = []
"""In a worker: what it was forked with, which cannot be pickled."""


def _begin_worker(part: _Part) -> None:
    # The threads of the tokenizer's library did not come along, and must not be waited for.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _inherited.append(part)


def _work(start: int) -> tuple[pa.RecordBatch, dict[str, int]]:
    return _inherited[0](start)


def fingerprint_of(*parts: object) -> str:
    """A hash of plain values (JSON) that names an encoded split."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def code_version(*objects: object) -> str:
    """A hash of the source files that define `objects`: changed code never reads an old file."""
    files = sorted({inspect.getsourcefile(o) or "" for o in objects})  # type: ignore[arg-type]
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:16]
