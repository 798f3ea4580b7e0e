"""Encoded splits: token ids and labels as memory-mapped Arrow files, shared by all runs.

A file's name is a fingerprint of everything that decides its content (data, tokenizer, encoding
options, the code that encodes), so nothing is ever stale and nothing is asked of the user. It is
written beside its final name and renamed: two processes that build it at once both get a whole one.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import inspect
import itertools
import json
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lushan.common.parsing import parse_json
from lushan.data.encode import arrow
from lushan.data.encode.columns import column_files
from lushan.data.encode.store import release
from lushan.errors import RunFailed
from lushan.launch.cores import usable_threads
from lushan.run.caches import provide

ROWS_AT_ONCE = 1000
"""Rows encoded per call: enough for the tokenizer to spread over the cores, little memory."""
BYTES_AT_ONCE = 1 << 20
"""Bytes of the rows encoded per call; a longer row is encoded alone."""
LARGE = 20_000
"""Rows from which on several processes encode a split: what is around the tokenizer is Python."""
LARGE_BYTES = 1 << 23
"""Likewise, where rows are long."""
AHEAD = 4
"""Parts for each process that are begun before the first of them is written."""


class Ragged:
    """A list column seen as numpy, uncopied: row i is `values[offsets[i]:offsets[i + 1]]`."""

    def __init__(self, column: pa.ListArray | pa.LargeListArray) -> None:
        self.offsets: NDArray[np.int32 | np.int64] = arrow.as_numpy(column.offsets)
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
        self.meta: dict[str, Any] = parse_json((table.schema.metadata or {}).get(b"meta", b"{}"))
        self.columns: dict[str, Ragged | NDArray[Any]] = {
            name: _as_numpy(table.column(name)) for name in table.column_names
        }

    def __len__(self) -> int:
        return len(self.columns["length"])

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each feature, shape (N,)."""
        return np.asarray(self.columns["length"], dtype=np.int64)

    @property
    def targets(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Terms of the loss each feature contributes, or the sum of their weights, shape (N,)."""
        found = np.asarray(self.columns["targets"])
        whole = not np.issubdtype(found.dtype, np.floating) or bool((found % 1 == 0).all())
        return found.astype(np.int64) if whole else found.astype(np.float64)

    @functools.cached_property
    def examples(self) -> NDArray[np.int64]:
        """The corpus row of each feature, shape (N,)."""
        return np.asarray(self.columns["example"], dtype=np.int64)

    def rows(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        """The features at `indices`, as arrays and plain numbers."""
        return [{name: column[i] for name, column in self.columns.items()} for i in indices]


def _as_numpy(column: pa.ChunkedArray) -> Ragged | NDArray[Any]:
    # `combine_chunks` would copy what is mapped into memory; a file has one batch, or none.
    array = column.chunk(0) if column.num_chunks else _column([], column.type)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
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
    provide(path, lambda: _write(path, table, encoder, schema, count))
    return Encoded(path)


def _write(
    path: Path,
    table: pa.Table,
    encoder: Encoder,
    schema: pa.Schema,
    count: Counter | None,
) -> None:
    totals: collections.Counter[str] = collections.Counter()
    try:
        with column_files(path.parent, schema) as columns:
            for batch, counts in _parts(_Part(table, encoder, schema, count)):
                totals.update(counts)
                columns.append(batch)
            columns.save(path, totals)
    except OSError as error:
        raise RunFailed(f"cannot write the encoded data {path}: {error.strerror}") from error


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        return arrow.number_lists(values, kind.value_type)
    return arrow.numbers(values, kind)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Encodes the rows of a split from one number to before another."""

    table: pa.Table
    encoder: Encoder
    schema: pa.Schema
    count: Counter | None

    def __call__(self, start: int, stop: int) -> tuple[pa.RecordBatch, dict[str, int]]:
        rows = self.table.slice(start, stop - start).to_pydict()
        features = self.encoder(rows, start)
        columns = [_column(features[field.name], field.type) for field in self.schema]
        counts = {} if self.count is None else self.count(features)
        numbers = {name: int(number) for name, number in counts.items()}
        release()
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), numbers


def _parts(part: _Part) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
    """All parts in order; of a large split several at a time, in forked processes."""
    sizes = _sizes(part.table)
    spans = _spans(sizes)
    large = len(sizes) >= LARGE or sizes.sum() >= LARGE_BYTES
    workers = min(usable_threads(), len(spans))
    if not large or workers < 2 or "fork" not in mp.get_all_start_methods():
        yield from itertools.starmap(part, spans)
        return
    with ProcessPoolExecutor(workers, mp.get_context("fork"), _begin_worker, (part,)) as pool:
        # No more than a few parts lie here, however slow the disk is.
        pending: collections.deque[Future[Any]] = collections.deque()
        try:
            for span in spans:
                pending.append(pool.submit(_work, *span))
                if len(pending) >= AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise RunFailed(
                "a process that encodes the data was killed, perhaps because it ran out of memory"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _sizes(table: pa.Table) -> NDArray[np.int64]:
    """Bytes of each row, about: of texts its own, of other columns the mean, shape (N,)."""
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            sizes += arrow.text_bytes(column)
        else:
            sizes += column.nbytes // max(1, table.num_rows)
    return sizes


def _spans(sizes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of rows, each with `ROWS_AT_ONCE` rows and `BYTES_AT_ONCE` bytes at most, or one row."""
    ends = np.cumsum(sizes)
    spans = []
    start = 0
    while start < len(sizes):
        bound = ends[start] - sizes[start] + BYTES_AT_ONCE
        stop = int(np.searchsorted(ends, bound, side="right"))
        stop = min(max(stop, start + 1), start + ROWS_AT_ONCE)
        spans.append((start, min(stop, len(sizes))))
        start = spans[-1][1]
    return spans


_inherited: list[_Part] = []
"""In a worker: what it was forked with, which cannot be pickled."""


def _begin_worker(part: _Part) -> None:
    # The threads of the tokenizer's library did not come along, and must not be waited for.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends the pool
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _inherited.append(part)


def _end_with(parent: int) -> None:
    """Leave no process behind: a parent that was killed cannot end its pool."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(start: int, stop: int) -> tuple[pa.RecordBatch, dict[str, int]]:
    return _inherited[0](start, stop)


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
