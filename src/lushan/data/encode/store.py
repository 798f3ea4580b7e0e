"""Tables of any size: written as a stream, read as memory-mapped Arrow.

A store is a file of a cache: see `lushan.run.caches`.
"""

from __future__ import annotations

import json
import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lushan.common.arrays import pa
from lushan.common.parsing import parse_json
from lushan.run.caches import provide, replacing

_META = b"meta"


def write_table(
    path: Path | None,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    meta: Callable[[], Mapping[str, Any]] = dict,
) -> tuple[pa.Table, dict[str, Any]]:
    """Write a table batch by batch and open it, unless it is there already.

    Args:
        path: Where it is kept; None keeps it in memory.
        schema: Its columns.
        batches: Its rows; not begun where the file is there.
        meta: What was counted on the way, asked for after the last batch.

    Returns:
        The table and its `meta`.

    Raises:
        RunFailed: The disk refuses.
    """
    if path is None:
        table = pa.Table.from_batches(list(batches), schema)
        return table, dict(meta())
    provide(path, lambda: _write(path, schema, batches, meta))
    return open_table(path)


def _write(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    meta: Callable[[], Mapping[str, Any]],
) -> None:
    last = pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
    with replacing(path) as sink, pa.ipc.new_file(sink, schema) as writer:
        for number, batch in enumerate(batches):
            if number:
                writer.write_batch(last)
            last = batch
        # The schema stands first in the file, and what was counted is known last.
        writer.write_batch(last, custom_metadata={_META: json.dumps(dict(meta()))})


def open_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A table that `write_table` has written, and its `meta`; nothing is read before it is used."""
    reader = pa.ipc.open_file(pa.BufferReader(map_file(path)))
    _, custom = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
    return reader.read_all(), parse_json(custom[_META])


# Memory maps

_maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def map_file(path: Path) -> pa.Buffer:
    """Map a file into memory, which the system reads in when it is accessed."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return pa.py_buffer(b"")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _maps.add(mapped)
    return pa.py_buffer(mapped)


def release() -> None:
    """Release the pages of all maps; what is accessed again is read again.

    The system would take them when it needs them. Until then they count as this process's memory,
    and a bound on it (a cluster scheduler's) does not distinguish the two.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_maps):
            mapped.madvise(mmap.MADV_DONTNEED)
