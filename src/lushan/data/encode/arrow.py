"""Arrow columns made from plain lists, without `pyarrow.array`.

`pyarrow.array` imports pandas to see whether a list is one of its own, which costs every process
most of a second and nothing here needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from lushan.common.arrays import np, pa

_MOST = 2**31 - 1
"""Bytes or items that a column's 32-bit offsets reach."""


def texts(values: Sequence[str]) -> pa.Array:
    """A column of texts.

    Raises:
        UnicodeEncodeError: One holds half of a surrogate pair.
    """
    joined = "".join(values)
    data = joined.encode()
    if len(data) > _MOST:
        return pa.array(values, type=pa.large_string())
    sizes = map(len, values) if joined.isascii() else (len(v.encode()) for v in values)
    offsets = pa.py_buffer(_offsets(sizes, len(values)))
    return pa.StringArray.from_buffers(len(values), offsets, pa.py_buffer(data))


def binaries(values: Sequence[bytes]) -> pa.Array:
    """Return a column of bytes, with offsets of 64 bits."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.large_binary(), len(values), buffers)


def text_lists(values: Sequence[Sequence[str]]) -> pa.Array:
    """A column of lists of texts."""
    return lists(values, texts(list(chain.from_iterable(values))))


def numbers(values: Sequence[Any] | np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """A column of numbers of one fixed-width type."""
    flat = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])


def number_lists(values: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    """A column of lists (or arrays) of numbers."""
    number = kind.to_pandas_dtype()
    if values and isinstance(values[0], np.ndarray):
        flat = np.concatenate(values).astype(number, copy=False)
    else:
        flat = np.fromiter(chain.from_iterable(values), dtype=number)
    return lists(values, numbers(flat, kind))


def record_lists(values: Sequence[Sequence[Sequence[str]]], names: Sequence[str]) -> pa.Array:
    """A column of lists of records, whose fields are texts.

    Raises:
        UnicodeEncodeError: One holds half of a surrogate pair.
    """
    records = list(chain.from_iterable(values))
    fields = [texts([record[place] for record in records]) for place in range(len(names))]
    return lists(values, pa.StructArray.from_arrays(fields, names=list(names)))


def pair_lists(values: Sequence[Sequence[tuple[int, int]]]) -> pa.Array:
    """A column of lists of [first, second]."""
    pairs = list(chain.from_iterable(values))
    return lists(values, number_lists(pairs, pa.int32()))


def as_numpy(column: pa.Array) -> np.ndarray[Any, Any]:
    """A column of numbers without nulls, seen as numpy and not copied.

    `Array.to_numpy` imports pandas, too.
    """
    kind = column.type.to_pandas_dtype()
    data = column.buffers()[1]
    if data is None or not len(column):
        return np.empty(0, dtype=kind)
    return np.frombuffer(data, dtype=kind)[column.offset : column.offset + len(column)]


def text_bytes(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the bytes of each text of a column, shape (N,), without reading the texts."""
    sizes = [np.diff(text_ends(chunk)).astype(np.int64) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.int64), *sizes])


def text_ends(texts: pa.Array) -> np.ndarray[Any, Any]:
    """Return where each text begins and the last one ends, in bytes of the buffer, (N + 1,)."""
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    offsets = texts.buffers()[1]
    if offsets is None or not len(texts):
        return np.zeros(1, dtype=kind)
    return np.frombuffer(offsets, dtype=kind)[texts.offset : texts.offset + len(texts) + 1]


def lists(values: Sequence[Sequence[Any]], items: pa.Array) -> pa.Array:
    """Return a column of lists as long as some are, from the column of all their items."""
    offsets = numbers(_offsets(map(len, values), len(values)), pa.int32())
    return pa.ListArray.from_arrays(offsets, items)


def _offsets(sizes: Iterable[int], count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    offsets = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.fromiter(sizes, dtype=np.int32, count=count), out=offsets[1:])
    return offsets
