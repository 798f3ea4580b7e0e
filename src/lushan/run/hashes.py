"""SHA-256 of files, computed once for each state that a file is in.

A file is known by its place, size, times and inode. Within a process a hash is kept for all files;
on disk for large ones, so that a model is not read whole to learn that it has not changed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lushan.errors import RunFailed, UserError
from lushan.run.caches import read_note, write_note

LARGE = 1 << 22
"""Bytes from which on a file's hash is kept on disk."""
KEPT = 1 << 18
"""Hashes that a process keeps, some 100 MB of them: images of a folder are each asked for often."""

_UNREAD = (".md",)
"""Endings of files in a model's folder that are only for people."""


def sha256(path: Path, *, memory: Path | None = None) -> str:
    """Return the SHA-256 of a file's bytes, as they lie on disk.

    Args:
        path: The file.
        memory: A folder where hashes of large files are kept.

    Raises:
        UserError: It cannot be read.
    """
    try:
        place = path.resolve()
        status = place.stat()
        if memory is None or status.st_size < LARGE:
            return _sha256(place, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        note = memory / noted(place, status)
        if (known := read_note(note)) is not None:
            return known
        found = _sha256(place, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with contextlib.suppress(RunFailed):  # without it, the file is read again
            write_note(note, found)
        return found
    except OSError as error:
        raise unreadable(path, error) from error


def noted(place: Path, status: os.stat_result) -> str:
    """Return the name of the note on a file in the state that it is in."""
    # The time of the last change of anything cannot be set back, as that of the content can.
    facts = (place, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


@functools.lru_cache(maxsize=KEPT)
def _sha256(path: Path, _size: int, _changed: int, _touched: int) -> str:
    # A run asks several times, and a sweep for each of its jobs.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a folder and of those below it, by their paths inside it, sorted.

    Hidden ones, compiled code and what only people read (README.md) are left out.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if not hidden and path.suffix.lower() not in _UNREAD and path.is_file():
            yield inside.as_posix(), path


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file that is there and cannot be read."""
    return UserError(f"the file cannot be read: {error.strerror or error}", file=path)
