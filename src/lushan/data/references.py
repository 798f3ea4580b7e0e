"""References to images: the path of a file, or its encoded bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lushan.data.encode import arrow

_NAMES = {"path", "bytes"}


def ending(data: bytes) -> str:
    """Return the usual ending of a file of an image, from its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    known = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"GIF8": "gif", b"BM": "bmp"}
    return next((name for start, name in known.items() if data.startswith(start)), "tif")


def structs(references: Sequence[Mapping[str, Any]]) -> pa.Array:
    """Return references to media as an Arrow column."""
    paths = arrow.texts([reference["path"] for reference in references])
    data = arrow.binaries([reference["bytes"] for reference in references])
    return pa.StructArray.from_arrays([paths, data], ["path", "bytes"])


def places(table: pa.Table) -> Iterator[str]:
    """Yield the absolute paths of the files that a table refers to, which encoded rows name too."""
    for column in table.columns:
        if pa.types.is_struct(column.type) and {field.name for field in column.type} >= _NAMES:
            for chunk in column.chunks:
                paths = chunk.field("path").to_pylist()
                yield from map(absolute, filter(None, paths))


def absolute(path: str) -> str:
    """Return the absolute path of a file, links not followed."""
    return os.path.normpath(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 (many of them)
