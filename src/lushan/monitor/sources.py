"""Sources of lines, each with a position from which it continues: files, folders, a pipe, a URL.

A position is part of the state that is committed together with the counts, so that a process that
is killed reads on where the last commit was. A file is known by its inode and the hash of its
first bytes: one that was renamed by a rotation is read to its end, one that was truncated or
replaced is read from its start.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import glob
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
"""Bytes that are read at a time."""
MOST = 1 << 20
"""Bytes of a line; longer ones are skipped and counted."""
HEAD = 1024
"""Bytes by which a file is known."""
WAIT = 0.5
"""Seconds between two looks at what may have grown."""
HUGE = f"longer than {MOST >> 20} MiB"
ENDINGS = (".jsonl", ".ndjson")
Position = dict[str, Any] | None
"""How far a source was read, in JSON's types; None at its start. Each source has its own form."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines that were read together.

    Attributes:
        lines: Without their ends.
        position: Of the source after them, in JSON's types.
    """

    lines: list[bytes]
    position: Position


class Source(abc.ABC):
    """A source of lines.

    Attributes:
        counts: What was odd about it, by reason.
    """

    counts: Counter[str]

    @abc.abstractmethod
    def read(self, position: Position) -> Iterator[Lines]:
        """Yield lines after a position (None is the start) until there are no more by now."""

    def follow(self, position: Position, wait: float = WAIT) -> Iterator[Lines]:
        """Yield lines after a position, and those that are added, without an end.

        An empty `Lines` is yielded each time there are none.
        """
        while True:
            for lines in self.read(position):
                position = lines.position
                yield lines
            yield Lines([], position)
            time.sleep(wait)


class _Splitter:
    """Whole lines of a file that is read in pieces, with the offset behind the last one."""

    def __init__(self, offset: int, counts: Counter[str], *, skipping: bool = False) -> None:
        self.offset, self.counts, self.skipping = offset, counts, skipping
        self.rest = b""

    def push(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in a piece."""
        parts = (self.rest + piece).split(b"\n")
        self.rest = parts.pop()
        lines = []
        for part in parts:
            self.offset += len(part) + 1
            if self.skipping or len(part) > MOST:
                self.counts[HUGE] += 1
            else:
                lines.append(part)
            self.skipping = False
        if len(self.rest) > MOST:  # its end is not held in memory
            self.offset += len(self.rest)
            self.rest, self.skipping = b"", True
        return lines

    def close(self) -> list[bytes]:
        """Return the last line, which has no end."""
        if not self.rest:
            return []
        lines = self.push(b"\n")
        self.offset -= 1
        return lines


class FileSource(Source):
    """A file of lines, which may grow, be rotated or be truncated.

    Args:
        path: The file.
        whole: Whether a last line without an end is one: the file grows no more.
    """

    def __init__(self, path: Path, *, whole: bool) -> None:
        self.path, self.whole = path, whole
        self.counts = Counter()

    def read(self, position: Position) -> Iterator[Lines]:
        """Yield the lines after a position: of the file that it is of, then of its successors."""
        path = self._place(position)
        while True:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return
            with file:
                start = _start(file, position)
                if start is None:
                    self.counts["file truncated or replaced: read from its start"] += 1
                    position, start = None, 0
                for lines in self._rest(file, start, position):
                    position = lines.position
                    yield lines
                if self._is_current(file):
                    return
                path, position = self._successor(file), None

    def _place(self, position: Position) -> Path:
        """Return where the file of a position lies: a rotation may have given it another name."""
        if position is None or not self.path.exists():
            return self.path
        for path in [self.path, *self._siblings()]:
            if path.stat().st_ino == position["inode"]:
                self.counts["file rotated"] += path != self.path
                return path
        return self.path

    def _siblings(self) -> list[Path]:
        """Return what rotations may have made of earlier files."""
        found = self.path.parent.glob(f"{glob.escape(self.path.name)}?*")
        return sorted(path for path in found if path.is_file())

    def _successor(self, file: IO[bytes]) -> Path:
        """Return the file that was written after a rotated one: another one, or the present."""
        known = os.fstat(file.fileno())
        stats = [(path, path.stat()) for path in self._siblings()]
        later = [
            (stat.st_mtime_ns, path)
            for path, stat in stats
            if stat.st_mtime_ns >= known.st_mtime_ns and stat.st_ino != known.st_ino
        ]
        return min(later)[1] if later else self.path

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            return os.fstat(file.fileno()).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return True  # its successor is not there yet

    def _rest(self, file: IO[bytes], start: int, position: Position) -> Iterator[Lines]:
        skipping = bool(position and position.get("skipping"))
        splitter = _Splitter(start, self.counts, skipping=skipping)
        file.seek(start)
        known = position
        while piece := file.read(CHUNK):
            lines = splitter.push(piece)
            known = _position(file, splitter, known)
            yield Lines(lines, known)
        if splitter.rest and (self.whole or not self._is_current(file)):
            lines = splitter.close()
            yield Lines(lines, _position(file, splitter, known))


def _start(file: IO[bytes], position: Position) -> int | None:
    """Return where a file continues; None where it is not the one of the position any more."""
    if position is None:
        return 0
    size = os.fstat(file.fileno()).st_size
    if size < position["offset"] or _head(file, position["head_bytes"]) != position["head"]:
        return None
    return int(position["offset"])


def _position(file: IO[bytes], splitter: _Splitter, before: Position) -> dict[str, Any]:
    inode, length = os.fstat(file.fileno()).st_ino, min(HEAD, splitter.offset)
    known = before or {}
    same = (known.get("inode"), known.get("head_bytes")) == (inode, length)
    return {
        "inode": inode,
        "offset": splitter.offset,
        "skipping": splitter.skipping,
        "head": known["head"] if same else _head(file, length),
        "head_bytes": length,
    }


def _head(file: IO[bytes], length: int) -> str:
    return hashlib.blake2b(os.pread(file.fileno(), length, 0), digest_size=16).hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Return the files of JSON lines of a folder by name; none where it is not there by now."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(p for p in folder.iterdir() if p.suffix in ENDINGS and p.is_file())
    return []


class FolderSource(Source):
    """All files of JSON lines of a folder, in the order of their names; new ones are found."""

    def __init__(self, folder: Path, *, whole: bool) -> None:
        self.folder, self.whole = folder, whole
        self.counts = Counter()

    def read(self, position: Position) -> Iterator[Lines]:
        """Yield the lines of each file after its position."""
        position = dict(position or {})
        for path in files_of(self.folder):
            source = FileSource(path, whole=self.whole)
            source.counts = self.counts
            for lines in source.read(position.get(path.name)):
                position = {**position, path.name: lines.position}
                yield Lines(lines.lines, position)


class PipeSource(Source):
    """Standard input. It cannot be read twice: a text that is sent again is known by its id.

    Args:
        file: The pipe.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.file = sys.stdin.buffer if file is None else file
        self.counts = Counter()

    def read(self, position: Position) -> Iterator[Lines]:
        """Yield lines as they arrive, until the pipe is closed."""
        del position
        splitter = _Splitter(0, self.counts)
        # What has arrived, not what fills a buffer: a quiet stream is not kept waiting.
        read: Callable[[int], bytes] = getattr(self.file, "read1", self.file.read)
        while piece := read(CHUNK):
            yield Lines(splitter.push(piece), None)
        yield Lines(splitter.close(), None)

    def follow(self, position: Position, wait: float = WAIT) -> Iterator[Lines]:
        """Yield the same: a pipe ends when its writer does."""
        del wait
        return self.read(position)
