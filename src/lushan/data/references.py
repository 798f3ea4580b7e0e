"""References to images: the path of a file, or its encoded bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.arrays import pa
from lushan.data.encode import arrow
from lushan.errors import UserError
from lushan.run import hashes
from lushan.vision import clips, images
from lushan.vision.video import Sampling

Reference = Mapping[str, Any]
"""`path` of a file, or its encoded `bytes`; the other one is empty."""
Keep = Callable[[bytes, str], dict[str, str]]
"""Keeps the content of a file under a name with an ending, and returns `path`."""
DATA_URL = r"data:image/[\w.+-]+;base64,"
"""How an image begins that stands in a URL itself."""
VIDEO_URL = r"data:(?:image|video)/[\w.+-]+;base64,"
"""Likewise a video, or an animated image."""
_ENTRIES = {"path", "bytes"}


def of_data_url(url: str) -> bytes:
    """Return the image that a data URL holds.

    Raises:
        UserError: It is another URL or a name, is no base64, or no image that can be decoded.
    """
    data = _of_url(DATA_URL, url, "an image must be a base64 data URL: data:image/png;base64,…")
    images.decode(data, "of the data URL")
    return data


def video_of_data_url(url: str) -> bytes:
    """Return the video that a data URL holds.

    Raises:
        UserError: It is another URL or a name, is no base64, or no video that can be read.
    """
    data = _of_url(VIDEO_URL, url, "a video must be a base64 data URL: data:video/mp4;base64,…")
    clips.frames_of(data, "of the data URL", Sampling(frames=1))
    return data


def _of_url(pattern: str, url: str, problem: str) -> bytes:
    found = re.match(pattern, url)
    if found is None:
        raise UserError(problem)
    try:
        return base64.b64decode(url[found.end() :], validate=True)
    except binascii.Error as error:
        raise UserError(f"this is not base64: {error}") from error


def ending(data: bytes) -> str:
    """Return the usual ending of a file of an image or a video, from its first bytes."""
    if data[:4] == b"RIFF":
        return "webp" if data[8:12] == b"WEBP" else "avi"
    known = {
        b"\x1a\x45\xdf\xa3": "mkv",
        b"\x89PNG": "png",
        b"\xff\xd8": "jpg",
        b"GIF8": "gif",
        b"BM": "bmp",
    }
    if data[4:8] == b"ftyp":
        return "mp4"
    return next((name for start, name in known.items() if data.startswith(start)), "tif")


def content_hash(reference: Reference) -> str:
    """Return the SHA-256 of an image's file, which is read once, or of its bytes."""
    if not reference["bytes"]:
        return hashes.sha256(Path(reference["path"]))
    return hashlib.sha256(reference["bytes"]).hexdigest()


def kept(reference: Reference) -> bytes:
    """Return what stands for an image in features: its bytes, or hash and path of its file."""
    if not reference["path"]:
        return bytes(reference["bytes"])
    return f"{content_hash(reference)} {_absolute(reference['path'])}".encode()


def key_of(content: bytes, *, is_path: bool) -> str:
    """Return the SHA-256 of an image, from what `kept` made of it: no file is read."""
    return content[:64].decode() if is_path else hashlib.sha256(content).hexdigest()


def restored(content: bytes, *, is_path: bool) -> Reference:
    """Return the image that `kept` stood for, with the bytes of its file.

    Raises:
        UserError: The file is gone, or has changed since.
    """
    if not is_path:
        return {"path": "", "bytes": content}
    digest, _, path = content.decode().partition(" ")
    data = images.read_bytes(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(
            "this image has changed since it was encoded",
            file=path,
            hint="Run the command again to encode the changed files again.",
        )
    return {"path": path, "bytes": data}


def places(table: pa.Table) -> Iterator[str]:
    """Yield the absolute paths of the files that a table refers to, which features name too."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from map(_absolute, filter(None, _paths(chunk)))


def _paths(values: pa.Array) -> Iterator[str | None]:
    """Yield the paths of references, at any depth."""
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _paths(values.flatten())
    elif pa.types.is_struct(kind):
        if {field.name for field in kind} >= _ENTRIES:
            yield from values.field("path").to_pylist()
        else:
            for inner in values.flatten():
                yield from _paths(inner)


def _absolute(path: str) -> str:
    return os.path.normpath(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 (many of them)


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
