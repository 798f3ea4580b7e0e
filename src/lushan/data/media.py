"""Images that rows name: files of a folder, or members of an archive, and nothing outside of it."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import functools
import gzip
import itertools
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from lushan.common import parsing
from lushan.data import files, unpacking
from lushan.data.references import Reference
from lushan.errors import UserError, first_line, one_of
from lushan.run import hashes, inside
from lushan.vision import video
from lushan.vision.video import Sampling

KEY = "data.media"
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Of images."""
MOST_NAMES = 1000
"""Names that are inspected for a hint."""
MOST_TEXT = 1 << 20
"""Bytes of a file that holds a class."""
MOST_PADDING = 1 << 20
"""Bytes behind the last member of a tar archive that are inspected."""
UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError),  # of zip: it asks for a password, or is packed otherwise
)
"""What archives raise that are damaged, or none."""
_PACKED: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (unpacking.GZIP, gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"\x5d\x00\x00", lzma.open),
)
"""First bytes of packed tar archives, and what unpacks them."""


class Media:
    """A place where images lie.

    Args:
        place: A folder, a tar archive (packed or not) or a zip archive.
        largest: Bytes of all members of an archive that are held in memory; see
            `unpacking.bounded`.
        key: What named the place, for errors.

    Raises:
        UserError: There is no such folder or file, or it is no archive.
    """

    def __init__(self, place: Path, largest: int | None = None, key: str = KEY) -> None:
        self.place, self.largest, self.key = place, largest, key
        self._folders: dict[str, dict[str, list[str]]] = {}
        if not place.exists():
            raise UserError(
                "the folder or archive does not exist",
                key=key,
                value=str(place),
                hint=f"Write {key}=FOLDER, or a .tar, .tar.gz or .zip file.",
            )

    def find(self, name: str) -> Reference | None:
        """Return an image by its name; None where there is none.

        A name is a path below the place, or below the folder that it lies in. Its ending may be
        missing where one image has the rest of the name, and it may be written as on Windows. In an
        archive the last part of the path is enough where only one member has it. What lies outside,
        or is hidden, is not there.

        Raises:
            UserError: The place cannot be read, or a link in it leads out of it.
        """
        path = Path(name)
        below = path.relative_to(self.place) if path.is_relative_to(self.place) else path
        key = posixpath.normpath(below.as_posix())
        keys = [key, posixpath.normpath(key.replace("\\", "/"))]
        own, _, rest = keys[-1].partition("/")
        keys += [rest] if rest and own == self._name else []
        with contextlib.suppress(OSError, ValueError):  # no path at all, or too long for one
            exact = self._on_disk if self.place.is_dir() else self._member
            found = (exact(key) for key in dict.fromkeys(keys))
            completed = (exact(name) for key in keys[1:] for name in self._completed(key))
            return next(filter(None, itertools.chain(found, completed)), None)
        return None

    @functools.cached_property
    def _name(self) -> str:
        """The last part of the place's path, of an archive without its endings."""
        name = self.place.absolute().name
        return name if self.place.is_dir() else name.partition(".")[0]

    def _member(self, key: str) -> Reference | None:
        places = self._by_last_part.get(key, [])
        return self.files.get(places[0] if key not in self.files and len(places) == 1 else key)

    def _completed(self, key: str) -> list[str]:
        """Return a name with the ending that it lacks, where one image can be meant."""
        folder, _, stem = key.rpartition("/")
        if not stem or not inside.is_bound(key):
            return []
        found = self._stems(folder).get(stem, [])
        if not found and not folder and not self.place.is_dir():
            found = [n for names in self._by_last_part.values() for n in names if _stem(n) == stem]
        return found if len(found) == 1 else []

    def _stems(self, folder: str) -> dict[str, list[str]]:
        """Return the images right in a folder, by their names without the ending."""
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            for name in self._names_in(folder):
                if (stem := _stem(name)) is not None:
                    found.setdefault(stem, []).append(posixpath.join(folder, name))
            self._folders[folder] = found
        return self._folders[folder]

    def _names_in(self, folder: str) -> list[str]:
        if not self.place.is_dir():
            return [posixpath.basename(n) for n in self.files if posixpath.dirname(n) == folder]
        path = self.place / folder
        is_there = path.is_dir() and inside.is_inside(path, self.place)
        return [file.name for file in path.iterdir()] if is_there else []

    def _on_disk(self, key: str) -> Reference | None:
        path = self.place / key
        if not inside.is_bound(key) or _is_hidden(key) or not path.is_file():
            return None
        inside.require(path, self.place)
        self._require_text(key)
        return {"path": str(path), "bytes": b""}

    def near(self, name: str) -> str | None:
        """Return a hint: a name that is there and looks like another one."""
        if self.place.is_dir():
            with contextlib.suppress(OSError, ValueError):
                path = self.place / name
                if inside.is_bound(name) and path.exists() and not path.is_file():
                    return "This name exists, but it is not a file."
            found = itertools.islice(self.place.rglob("*.*"), MOST_NAMES)
            there = sorted(p.relative_to(self.place).as_posix() for p in found if p.is_file())
        else:
            there = list(self.files)[:MOST_NAMES]
        return one_of(name, there, listed=there[:5], colon=True)

    def text(self, name: str) -> str | None:
        """Return the content of a small file by its path; None where there is none."""
        found = self.files.get(name)
        if found is None:
            return None
        path = found["path"]
        data = parsing.read_bounded(path, MOST_TEXT) if path else found["bytes"]
        return str(data.decode("utf-8", "replace")).strip()

    @functools.cached_property
    def files(self) -> dict[str, Reference]:
        """The files of a folder or an archive by their paths in it, without hidden ones.

        Raises:
            UserError: The archive is none, or unpacks to more than is read; or a link in the
                folder leads out of it.
        """
        if self.place.is_dir():
            there = inside.files_of(self.place, key=KEY)
            found: dict[str, Reference] = {
                name: {"path": str(path), "bytes": b""} for name, path in there.items()
            }
        else:
            found = self._archived()
        for name in found:
            self._require_text(name)
        return found

    def _require_text(self, name: str) -> None:
        """Refuse a name that no JSON, table or hash could hold."""
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                "it contains a file name that is not UTF-8",
                key=self.key,
                file=self.place,
                value=name,
                hint="Rename the file or its folder.",
            ) from error

    def _archived(self) -> dict[str, Reference]:
        try:
            return {name: {"path": "", "bytes": data} for name, data in self._unpacked()}
        except UNREADABLE as error:
            raise UserError(
                f"this archive cannot be read: {first_line(error)}",
                key=self.key,
                file=self.place,
                hint="Give a folder, or a .tar, .tar.gz or .zip file.",
            ) from error

    def _unpacked(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each member of an archive, up to the size that is read."""
        packed, total = self.place.stat().st_size, 0
        most = unpacking.most_of(packed, self.largest)
        for name, size, read in _members(self.place, most):
            total += size
            unpacking.require_size(total, most, self.place, packed=packed, more=True)
            key = posixpath.normpath(name)
            if not _is_hidden(key):
                yield key, read()

    @functools.cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(name.rpartition("/")[2], []).append(name)
        return found

    def fingerprint(self) -> object:
        """Return hashes of all files of the folder, or of the archive."""
        if not self.place.is_dir():
            return hashes.sha256(self.place)
        return {name: hashes.sha256(Path(found["path"])) for name, found in self.files.items()}


@dataclasses.dataclass(kw_only=True)
class WithMedia:
    """Option of a source whose rows may name images.

    Args:
        media: Folder or archive (.tar, .tar.gz, .zip) of the images that rows refer to, below `dir`
            if that is set; or one for each split: `{train: a.tar, test: b.tar}`.
    """

    media: str | dict[str, str] | None = None

    def media_fingerprint(self) -> object:
        """Return hashes of the images that rows may name; None where they name none."""
        if isinstance(self.media, dict):
            return {split: self._place(name).fingerprint() for split, name in self.media.items()}
        return None if self.media is None else self._place(self.media).fingerprint()

    @property
    def elsewhere(self) -> Media | None:
        """Return where the images of other data may lie, too: the one place, if it is there."""
        with contextlib.suppress(UserError):
            return self.media_of("")
        return None

    def media_of(self, split: str) -> Media | None:
        """Return the place of a split's images; None where there is none.

        Raises:
            UserError: It is not there.
        """
        named = self.media.get(split) if isinstance(self.media, dict) else self.media
        return None if named is None else self._place(named)

    def _place(self, name: str) -> Media:
        below = files.below(name, getattr(self, "dir", None))
        largest: int | None = getattr(self, "largest_file", None)
        return Media(below if below.exists() else Path(name).expanduser(), largest)


@dataclasses.dataclass(frozen=True)
class Beside:
    """Two places where an image may lie: beside the file that names it, or elsewhere.

    Attributes:
        media: The first one.
        other: Where it is looked for then; None: nowhere.
        sampling: Which frames of a video are read.
    """

    media: Media
    other: Media | None = None
    sampling: Sampling = dataclasses.field(default_factory=Sampling)

    @property
    def place(self) -> Path:
        """The first place, which errors name."""
        return self.media.place

    def find(self, name: str) -> Reference | None:
        """Return an image by its name; None where there is none; see `Media.find`."""
        found = self.media.find(name)
        return found if found is not None or self.other is None else self.other.find(name)

    def near(self, name: str) -> str | None:
        """Return a hint: see `Media.near`."""
        return self.media.near(name)


def beside(
    file: str | Path, other: Media | None = None, sampling: Sampling | None = None
) -> Beside:
    """Return where images lie that a file of new data names: beside it, or where others lie.

    Args:
        file: A file; what is none, such as the standard input, names files of the working folder.
        other: Where the images of a run lie.
        sampling: Which frames of a video are read; None: as by default.
    """
    path = Path(file)
    place = path.parent if path.is_file() else Path.cwd()
    return Beside(Media(place), other, sampling or Sampling())


def _stem(name: str) -> str | None:
    """Return the last part of a path without its ending; None where it is no image's or video's."""
    stem, ending = posixpath.splitext(posixpath.basename(name))
    return stem if ending.lower() in (*ENDINGS, *video.ENDINGS) else None


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


class _Bounded:
    """A tar archive's bytes, unpacked, up to a number: also what it says of its members counts."""

    def __init__(self, stream: IO[bytes], most: int, place: Path) -> None:
        self._stream, self._most, self._place = stream, most, place
        self.tell = stream.tell

    def _require(self, end: int) -> None:
        packed = self._place.stat().st_size
        unpacking.require_size(end, self._most, self._place, packed=packed, more=True)

    def read(self, size: int) -> bytes:
        self._require(self.tell() + size)
        return self._stream.read(size)

    def seek(self, place: int) -> int:
        self._require(place)
        return self._stream.seek(place)


@contextlib.contextmanager
def _tar(place: Path, most: int) -> Iterator[tarfile.TarFile]:
    """Open a tar archive whose members have so many bytes, and their headers as many again."""
    with place.open("rb") as file:
        start = file.read(max(len(beginning) for beginning, _ in _PACKED))
    unpacked = next((u for beginning, u in _PACKED if start.startswith(beginning)), None)
    with unpacked(place) if unpacked else place.open("rb") as stream:
        bounded: Any = _Bounded(stream, 2 * most + MOST_PADDING, place)
        with tarfile.open(fileobj=bounded, mode="r:") as packed:
            yield packed


def _members(place: Path, most: int) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield (path inside, bytes, function that reads them) of each file of an archive."""
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, functools.partial(archive.read, entry)
        return
    with _tar(place, most) as packed:
        for member in packed:
            vars(packed)["members"].clear()  # `tarfile` would hold them all
            if member.isfile():
                stream = packed.extractfile(member)
                assert stream is not None
                yield member.name, member.size, stream.read
        _require_end(packed)


def _require_end(packed: tarfile.TarFile) -> None:
    """Refuse a tar archive without its end, where `tarfile` has stopped in silence."""
    assert packed.fileobj is not None
    packed.fileobj.seek(packed.offset)
    block = packed.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise tarfile.ReadError("it is damaged or truncated")
    packed.fileobj.read(MOST_PADDING)  # where it is packed, its checksum is behind this
