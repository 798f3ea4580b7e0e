"""References to images: the path of a file, or its encoded bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from lushan.data.encode import arrow


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
