"""Files as bytes, unpacked where they are gzip, and bounded where all of them is held in memory."""

from __future__ import annotations

import collections
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lushan.errors import UserError
from lushan.run.hashes import unreadable

BLOCK = 1 << 20
"""Bytes that are read at a time where a file is not read whole."""

LARGEST_FILE = 2 << 30
"""Bytes, unpacked, of a file that is held in memory unless the config says otherwise."""
PACKED_FILE = 64 << 20
"""Bytes that any packed file may unpack to."""
PACKED_RATIO = 50
"""Times its own size that a larger one may unpack to: text has 3 to 20, a bomb a thousand."""

GZIP = b"\x1f\x8b"
_TRAILER = 4
"""Bytes at the end of gzip that say how many it unpacks to."""


def unpacked(path: Path) -> Iterator[bytes]:
    """A file's content in blocks, unpacked where it is gzip.

    Raises:
        UserError: It cannot be read or unpacked.
    """
    try:
        with path.open("rb") as file:
            yield from _blocks(file, path)
    except OSError as error:
        raise unreadable(path, error) from error


def _blocks(file: IO[bytes], name: str | Path) -> Iterator[bytes]:
    file.seek(0)
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    source: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
    try:
        while data := source.read(BLOCK):
            yield data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(name, error) from error


def bounded(path: Path, largest: int | None = None) -> Iterator[bytes]:
    """A file's content in blocks, as `unpacked`, for what holds all of it in memory.

    Args:
        path: The file, gzip or not.
        largest: Bytes, unpacked, that are read. None is `LARGEST_FILE`, of which a packed file may
            fill `PACKED_RATIO` times its own size, or `PACKED_FILE`.

    Raises:
        UserError: It cannot be read or unpacked, or has more.
    """
    try:
        with path.open("rb") as file:
            yield from bounded_of(file, path, largest)
    except OSError as error:
        raise unreadable(path, error) from error


def bounded_of(file: IO[bytes], name: str | Path, largest: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of an open, seekable file, unpacked."""
    packed, size = file.read(len(GZIP)) == GZIP, file.seek(0, io.SEEK_END)
    if not packed:
        require_size(size, largest or LARGEST_FILE, name)
        yield from _blocks(file, name)
        return
    most = most_of(size, largest)
    file.seek(max(0, size - _TRAILER))
    stated = int.from_bytes(file.read(), "little")
    # What the file says of itself is modulo 2^32, or made up, or the middle of one that was cut
    # off: it only says when to count first, so that nothing is parsed needlessly.
    if stated > most:
        collections.deque(_counted(file, name, size, most, stated), maxlen=0)
    yield from _counted(file, name, size, most)


def _counted(
    file: IO[bytes], name: str | Path, packed: int, most: int, stated: int | None = None
) -> Iterator[bytes]:
    total = 0
    for data in _blocks(file, name):
        total += len(data)
        if total > most:
            require_size(stated or total, most, name, packed=packed, more=stated is None)
        yield data


def most_of(packed: int, largest: int | None = None) -> int:
    """Return the bytes that a packed file of some size may unpack to; see `bounded`."""
    return largest or min(LARGEST_FILE, max(PACKED_FILE, PACKED_RATIO * packed))


def require_size(
    size: int, most: int, name: str | Path, *, packed: int | None = None, more: bool = False
) -> None:
    """Refuse what is too large to be held in memory.

    Args:
        size: Its bytes.
        most: That are read.
        name: Of the file.
        packed: Its bytes on the disk, where it is packed.
        more: Whether there are more than was counted.
    """
    if size <= most:
        return
    counted = f"more than {most:,} bytes" if more else f"{size:,} bytes"
    what = f"{packed:,} bytes that unpack to {counted}" if packed else counted
    raise UserError(
        f"this file has {what}; at most {most:,} are read into memory",
        file=name,
        hint=f"If it is meant to be so large, write data.largest_file={max(2 * most, size)}; "
        "data=text and data=stream read texts without holding them.",
    )


def _damaged(name: str | Path, error: Exception) -> UserError:
    return UserError(
        f"the gzip file is damaged or cut off: {error}",
        file=name,
        hint="Fetch it again, or unpack what is left of it: gzip -dc FILE > OTHER.",
    )
