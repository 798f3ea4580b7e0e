"""Tables of any size: written as a stream, read as memory-mapped Arrow.

A store's name is a fingerprint of what decides its content, so it is never stale. It is written
beside its final name and renamed: whoever finds it finds it whole. Of processes that want the same
one at once, the first makes it and the others wait.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from lushan.errors import RunFailed
from lushan.parsing import parse_json
from lushan.runs import inside

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
    if not path.exists():
        with only_one(path):
            if not path.exists():  # another process may have made it just now
                _write(path, schema, batches, meta)
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
    """A file's content as memory that the system reads in when it is looked at."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return pa.py_buffer(b"")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _maps.add(mapped)
    return pa.py_buffer(mapped)


def release() -> None:
    """Give the pages of all maps back; what is looked at again is read again.

    The system would take them when it needs them. Until then they count as this process's memory,
    and whoever bounds it (a cluster's scheduler) does not tell the two apart.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_maps):
            mapped.madvise(mmap.MADV_DONTNEED)


# Files that many processes make


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` when it is whole.

    Raises:
        RunFailed: The disk refuses.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time make a file; the others wait, and find it made.

    Where files cannot be locked (some network drives), all make it and the last one stays.
    """
    place = path.with_name(f".lock-{path.name}")
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            place.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(inside.appending(place))
            # Unlike flock, it is not handed on to forked children: they may outlive the parent.
            fcntl.lockf(lock, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass
        try:
            yield
        finally:
            # Removed while it is held: who waits for it looks for `path` first of all.
            with contextlib.suppress(OSError):
                place.unlink()
