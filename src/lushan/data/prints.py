"""A hash of the rows of a table: what examples hold, whatever file and format they were read from.

Two tables have the same hash where their columns have the same values in the same order. Where a
row stood (its file, its line, and the id that is made of them) does not count, nor how Arrow keeps
it: in which chunks, with offsets of 32 or 64 bits, by a dictionary or plain.
"""

from __future__ import annotations

import collections
import hashlib
import json
from typing import Any

from lushan.common.arrays import np, pa

PLACES = ("id", "line", "file")
"""Columns that say where a row stood."""

Digests = collections.defaultdict[str, Any]


def rows_hash(table: pa.Table) -> str:
    """Return the SHA-256 of a table's rows, less their `PLACES`."""
    digests: Digests = collections.defaultdict(hashlib.sha256)
    for name in table.column_names:
        if name not in PLACES:
            for chunk in table.column(name).chunks:
                _feed(digests, name, chunk)
    found = [[name, digest.hexdigest()] for name, digest in sorted(digests.items())]
    return hashlib.sha256(json.dumps([table.num_rows, found]).encode()).hexdigest()


def _feed(digests: Digests, name: str, column: pa.Array) -> None:
    """Add the values of a part of a column to its digests: sizes and values apart."""
    kind = column.type
    if not len(column):
        return
    if pa.types.is_dictionary(kind):
        _feed(digests, name, column.dictionary_decode())
        return
    digests[f"{name} null"].update(_bytes(column.is_null(), np.uint8))
    _feed_values(digests, name, column)


def _feed_values(digests: Digests, name: str, column: pa.Array) -> None:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _feed_texts(digests, name, column.cast(pa.large_string()).fill_null(""))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        from pyarrow import compute  # slow to import, and answering a complete run needs it not

        sizes = compute.list_value_length(column).fill_null(0)
        digests[f"{name} size"].update(_bytes(sizes, np.int64))
        _feed(digests, f"{name} item", column.flatten())
    elif pa.types.is_struct(kind):
        for field, values in zip(kind, column.flatten(), strict=True):
            _feed(digests, f"{name} {field.name}", values)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        digests[name].update(_bytes(column.cast(pa.int64(), safe=False).fill_null(0), np.int64))
    elif pa.types.is_floating(kind):
        digests[name].update(_bytes(column.fill_null(0.0), np.float64))
    else:
        for value in column.to_pylist():
            digests[name].update(f"{value!r}\n".encode())


def _feed_texts(digests: Digests, name: str, texts: pa.Array) -> None:
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    digests[f"{name} size"].update(np.diff(offsets).tobytes())
    if data := texts.buffers()[2]:
        digests[name].update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])


def _bytes(column: pa.Array, kind: type[np.generic]) -> bytes:
    """Return the values of a column without nulls; `to_numpy` would import pandas for them."""
    plain = column.cast(pa.from_numpy_dtype(kind))
    return np.frombuffer(plain.buffers()[1], kind)[plain.offset :][: len(plain)].tobytes()
