"""References to images: the path of a file, or its encoded bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lushan.data.encode import arrow
from lushan.run import hashes

Reference = Mapping[str, Any]
"""`path` of a file, or its encoded `bytes`; the other one is empty."""
Keep = Callable[[bytes, str], dict[str, str]]
"""Keeps the content of a file under a name with an ending, and returns `path`."""


def ending(data: bytes) -> str:
    """Return the usual ending of a file of an image, from its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    known = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"GIF8": "gif", b"BM": "bmp"}
    return next((name for start, name in known.items() if data.startswith(start)), "tif")


def content_hash(reference: Reference) -> str:
    """Return the SHA-256 of an image's file, which is read once, or of its bytes."""
    if not reference["bytes"]:
        return hashes.sha256(Path(reference["path"]))
    return hashlib.sha256(reference["bytes"]).hexdigest()


def stored(reference: Reference, keep: Keep | None) -> dict[str, str]:
    """Return an image as a prediction is stored with it: its file, perhaps one that is kept."""
    if reference["path"] or keep is None:
        return {"path": reference["path"]}
    return keep(reference["bytes"], ending(reference["bytes"]))


def preview(reference: Reference) -> str:
    """Return an image as a text for people."""
    return str(reference["path"] or f"({len(reference['bytes']):,} bytes of an image)")


def structs(references: Sequence[Reference]) -> pa.Array:
    """Return references to media as an Arrow column."""
    paths = arrow.texts([reference["path"] for reference in references])
    data = arrow.binaries([reference["bytes"] for reference in references])
    return pa.StructArray.from_arrays([paths, data], ["path", "bytes"])
