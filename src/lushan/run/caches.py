"""Files of a cache: written whole, proved when they are first used, made again when damaged.

A cache file's name is a fingerprint of what decides its content, so it is never stale. Beside it
stands its SHA-256 (`NAME.sha256`, as `sha256sum` writes it), which every process compares with the
file before it first reads it: 0.2 s for 200 MB. Small notes hold theirs in their last line.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lushan.common import parsing
from lushan.errors import RunFailed, UserError
from lushan.run import files

log = logging.getLogger(__name__)

SUM = ".sha256"
"""Suffix of the checksum of a cache file."""

_proved: set[tuple[Path, int, int, int]] = set()
"""Cache files, in the state they were in, whose checksum this process has compared."""
_refused: set[tuple[Path, int, int, int]] = set()
"""The same, of those that were not what was written."""


def provide(path: Path, make: Callable[[], None]) -> None:
    """Make a cache file where there is none, or where it is not what was written.

    Args:
        path: The file.
        make: Writes it, through `replacing`. Of processes that want the same file at once, the
            first makes it and the others wait.
    """
    if is_whole(path):
        return
    with only_one(path):
        if not is_whole(path):  # another process may have made it just now
            make()


def is_whole(path: Path) -> bool:
    """Return whether a cache file is there and is what was written; a warning says if it is not."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    state = (path, status.st_size, status.st_mtime_ns, status.st_ino)
    if state in _proved:
        return True
    try:
        written = _sum_of(path).read_bytes()
    except OSError:
        written = b""
    if written == _line(path, path):
        _proved.add(state)
        return True
    if state not in _refused:
        _refused.add(state)
        log.warning("the cache file %s is damaged and is created again", path)
    return False


def write_sum(path: Path) -> None:
    """Write the checksum of a cache file that others have written, in a folder not yet in use."""
    files.atomic_write(_sum_of(path), _line(path, path))


def remove(path: Path) -> None:
    """Remove a cache file and its checksum."""
    path.unlink(missing_ok=True)
    _sum_of(path).unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the place of `path` when it is whole.

    Raises:
        RunFailed: The disk refuses.
    """
    try:
        with files.replacing(path) as temporary:
            with temporary.open("wb") as sink:
                yield sink
            # Before the file itself: a writer killed in between has left no file to be mistrusted.
            files.atomic_write(_sum_of(path), _line(path, temporary))
    except IsADirectoryError as error:
        place = error.filename2 or error.filename
        raise UserError("there is a folder where a cache file should be", file=place) from error
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error


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
            lock = stack.enter_context(files.appending(place))
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


def _sum_of(path: Path) -> Path:
    return path.with_name(path.name + SUM)


def _line(path: Path, place: Path) -> bytes:
    """Return what `sha256sum` prints of a file that lies, for now, in another place."""
    # With the name: another file and its checksum are not this one.
    return f"{files.sha256_file(place)}  {path.name}\n".encode()


# Notes


def read_note(path: Path) -> str | None:
    """Return the text of a note; None where there is none, or not the one that was written."""
    try:
        with parsing.open_file(path) as file:
            content = file.read()
    except (OSError, UserError):
        return None
    text, _, written = content.rpartition(b"\n")
    return text.decode("utf-8") if written == _sum_in(path, text) else None


def write_note(path: Path, text: str) -> None:
    """Write a note, atomically.

    Raises:
        RunFailed: The disk refuses.
    """
    data = text.encode("utf-8")
    if path.exists() and not path.is_file():
        path.unlink()  # a pipe, which no output may replace
    files.atomic_write(path, data + b"\n" + _sum_in(path, data))


def _sum_in(path: Path, data: bytes) -> bytes:
    # With the file's name: the note on another thing is none on this one.
    return hashlib.sha256(path.name.encode() + b"\n" + data).hexdigest().encode()
