"""Images that rows name: files of a folder, or members of an archive, and nothing outside of it."""

from __future__ import annotations

import functools
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lushan.data import unpacking
from lushan.data.folders import content as folder_content
from lushan.errors import UserError, did_you_mean
from lushan.run import hashes, inside

KEY = "data.media"
Reference = Mapping[str, Any]
"""`path` of a file, or its encoded `bytes`; the other one is empty."""


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
        if not place.exists():
            raise UserError(
                "there is no such folder or archive",
                key=key,
                value=str(place),
                hint=f"Write {key}=FOLDER, or a .tar, .tar.gz or .zip file.",
            )

    def find(self, name: str) -> Reference | None:
        """Return an image by its name; None where there is none.

        A name is a path below the place; in an archive the last part of the path is enough where
        only one member has it.
        """
        if self.place.is_dir():
            path = self.place / name
            inside.require(path, self.place)
            return {"path": str(path), "bytes": b""} if path.is_file() else None
        key = name.removeprefix("./")
        data = self.members.get(key)
        places = self._by_last_part.get(key, [])
        if data is None and len(places) == 1:
            data = self.members[places[0]]
        return None if data is None else {"path": "", "bytes": data}

    def near(self, name: str) -> str | None:
        """Return a hint: a name that is there and looks like another one."""
        if self.place.is_dir():
            there = [str(p.relative_to(self.place)) for p in sorted(self.place.rglob("*"))[:1000]]
        else:
            there = list(self.members)[:1000]
        return did_you_mean(name, there) or f"There are: {', '.join(there[:5])}."

    @functools.cached_property
    def members(self) -> dict[str, bytes]:
        """The files of an archive by their paths, in its order.

        Raises:
            UserError: It is no archive, or unpacks to more than is read.
        """
        most = unpacking.most_of(self.place.stat().st_size, self.largest)
        found: dict[str, bytes] = {}
        total = 0
        try:
            for name, size, read in _members(self.place):
                total += size
                packed = self.place.stat().st_size
                unpacking.require_size(total, most, self.place, packed=packed, more=True)
                found[name] = read()
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise UserError(
                f"this archive cannot be read: {error}",
                key=self.key,
                file=self.place,
                hint="A folder, or a .tar, .tar.gz or .zip file is expected.",
            ) from error
        return found

    @functools.cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.members:
            found.setdefault(name.rpartition("/")[2], []).append(name)
        return found

    def fingerprint(self) -> object:
        """Return hashes of all files of the folder, or of the archive."""
        return folder_content(self.place) if self.place.is_dir() else hashes.sha256(self.place)


def _members(place: Path) -> Any:
    """Yield (path inside, bytes, function that reads them) of each file of an archive."""
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, functools.partial(archive.read, entry)
        return
    with tarfile.open(place) as packed:
        for member in packed:
            if member.isfile():
                stream = packed.extractfile(member)
                assert stream is not None
                yield member.name.removeprefix("./"), member.size, stream.read
