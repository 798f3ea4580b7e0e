"""Files as bytes, unpacked where they are packed, and bounded where all is held in memory.

What a file is packed with its first bytes say, whatever it is called: gzip, bzip2, xz, Zstandard.
"""

from __future__ import annotations

import bz2
import collections
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from lushan.common import shell
from lushan.data import archives
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


class Packing(NamedTuple):
    """A way in which files are packed.

    Attributes:
        name: Its name.
        marks: First bytes of a file, some of which each has.
        command: Unpacks a file in a terminal.
        opened: Returns a file that is unpacked as it is read.
    """

    name: str
    marks: tuple[bytes, ...]
    command: str
    opened: Callable[[IO[bytes]], Any]


def _zstandard(file: IO[bytes]) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")


PACKINGS = (
    Packing("gzip", (GZIP,), "gzip -dc", lambda file: gzip.GzipFile(fileobj=file)),
    Packing("bzip2", tuple(b"BZh%d" % n for n in range(1, 10)), "bzip2 -dc", bz2.BZ2File),
    Packing("xz", (b"\xfd7zXZ\x00",), "xz -dc", lzma.LZMAFile),
    Packing("Zstandard", (b"\x28\xb5\x2f\xfd",), "zstd -dc", _zstandard),
)
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
"""Endings of packed files, which stand behind that of what is packed."""
_HEAD = 16
"""First bytes of a file that are inspected."""
_TABLE = (
    "pip install {}; python -c 'import sys, pandas; "
    "pandas.read_excel(sys.argv[1]).to_csv(sys.argv[2], index=False)' IN OUT"
)


class Foreign(NamedTuple):
    """A kind of file that is not read.

    Attributes:
        mark: First bytes of each; of a sheet in a zip archive, the name of a file in it.
        what: What it is.
        hint: What to do; a command has IN and OUT for the names of the file and of a new one.
        ending: Of the new file.
    """

    mark: bytes
    what: str
    hint: str
    ending: str = ".txt"


_EXPORT = "Write JSON lines, CSV or Parquet in the program that wrote it."
_SHEETS = (
    Foreign(b"xl/workbook.xml", "a sheet (.xlsx)", _TABLE.format("openpyxl"), ".csv"),
    Foreign(b"xl/workbook.bin", "a sheet (.xlsb)", _TABLE.format("pyxlsb"), ".csv"),
    Foreign(b"content.xml", "a sheet (.ods)", _TABLE.format("odfpy"), ".csv"),
)
_FOREIGN = (
    Foreign(b"\xd0\xcf\x11\xe0", "a sheet (.xls)", _TABLE.format("xlrd"), ".csv"),
    Foreign(b"7z\xbc\xaf", "a 7z archive", "7z x IN"),
    Foreign(b"Rar!\x1a\x07", "a rar archive", "unrar x IN"),
    Foreign(
        b"SQLite format 3\0",
        "a database of SQLite",
        "sqlite3 -header -csv IN 'select * from NAME' > OUT",
        ".csv",
    ),
    Foreign(
        b"ARROW1\0\0",
        "an Arrow file",
        "For a folder of `save_to_disk`, use data=hub data.path=FOLDER.",
    ),
    Foreign(b"\x80\x04", "a pickle, which can run code", _EXPORT),
    Foreign(b"\x89HDF", "an HDF5 file", _EXPORT),
)


_READERS = re.compile(r"\b((?:iconv|tr|jq|sed|awk|python) (?:'[^']*'|[^'])*?) (?:< )?IN\b")
"""A command and its arguments before the name of the file, which it may also read from a pipe."""


def packing_of(head: bytes) -> Packing | None:
    """Return how a file with these first bytes is packed; None where it is not."""
    return next((known for known in PACKINGS if head.startswith(known.marks)), None)


def is_packed(path: Path) -> bool:
    """Return whether a file is packed."""
    return packing_of_file(path) is not None


def packing_of_file(path: Path) -> Packing | None:
    """Return how a file is packed; None where it is not."""
    with path.open("rb") as file:
        return packing_of(file.read(_HEAD))


def unpacked(path: Path) -> Iterator[bytes]:
    """A file's content in blocks, unpacked where it is packed.

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
    head = file.read(_HEAD)
    file.seek(0)
    _require_known(head, name, file)
    file.seek(0)
    packing = packing_of(head)
    if packing is None:
        yield from _pieces(file, name)
        return
    try:
        yield from _pieces(packing.opened(file), name)
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, ValueError, OSError) as error:
        raise _damaged(packing, name, error) from error


def _pieces(source: Any, name: str | Path) -> Iterator[bytes]:
    data = source.read(BLOCK)
    _require_no_tar(data, name)
    while data:
        yield data
        data = source.read(BLOCK)


def _require_known(head: bytes, name: str | Path, file: IO[bytes]) -> None:
    """Refuse what is known to be no text, and what is taken for text by its ending alone."""
    if head.startswith(archives.ZIP):
        names = archives.names_in(file)
        found = next((sheet for sheet in _SHEETS if sheet.mark.decode() in (names or [])), None)
        if found is None:
            raise archives.refused_zip(names, name)
    else:
        found = next((kind for kind in _FOREIGN if head.startswith(kind.mark)), None)
    if found is not None:
        text = with_names(f"Convert it: {found.hint}", name, found.ending)
        raise UserError(f"this file is {found.what}", file=name, hint=text)


def _require_no_tar(start: bytes, name: str | Path) -> None:
    if start.startswith(archives.TAR, archives.TAR_AT):
        raise archives.refused_tar(name)


def with_names(hint: str, name: str | Path, ending: str | None = None) -> str:
    """Return a hint whose command has the names of a file and of a new one for IN and OUT.

    Args:
        hint: With a command; it is left as it is where the name is that of no file.
        name: Of the file. Where it is packed, the command reads what it unpacks to.
        ending: Of the new file; that of the file itself where None.
    """
    path = Path(name)
    if not path.is_file():
        return hint
    is_packed_text = path.suffix.lower() in SUFFIXES
    bare = path.with_suffix("") if is_packed_text else path
    new = bare.with_suffix(bare.suffix if ending is None else ending)
    new = archives.unused(new)
    given = shell.quote(str(path))
    if is_packed_text and (packing := packing_of_file(path)) is not None:
        # What reads standard input takes no name.
        hint = _READERS.sub(rf"{packing.command} IN | \1", hint)
    words = {"IN": given, "OUT": shell.quote(str(new))}
    return re.sub(r"\b(IN|OUT)\b", lambda found: words[found[0]], hint)


def bounded(path: Path, largest: int | None = None) -> Iterator[bytes]:
    """A file's content in blocks, as `unpacked`, for what holds all of it in memory.

    Args:
        path: The file, packed or not.
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
    packing, size = packing_of(file.read(_HEAD)), file.seek(0, io.SEEK_END)
    if packing is None:
        require_size(size, largest or LARGEST_FILE, name)
        yield from _blocks(file, name)
        return
    most = most_of(size, largest)
    file.seek(max(0, size - _TRAILER))
    stated = int.from_bytes(file.read(), "little") if packing.name == "gzip" else 0
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
        f"this file has {what}; the limit for reading into memory is {most:,}",
        file=name,
        hint=f"If it is really this large, write data.largest_file={max(2 * most, size)}; "
        "data=text and data=stream read texts without loading the whole file.",
    )


def _damaged(packing: Packing, name: str | Path, error: Exception) -> UserError:
    return UserError(
        f"the {packing.name} file is damaged or truncated: {error}",
        file=name,
        hint=with_names(
            f"Download it again, or decompress what is left: {packing.command} IN > OUT", name
        ),
    )
