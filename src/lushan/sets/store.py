"""Where sets lie: below `LUSHAN_DATA`, or in the user's cache, to which they are downloaded.

A set appears in the cache as a whole, by one renaming, when all its files are there and have been
checked. What was downloaded before an interruption is kept in `.downloads` and resumed.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from lushan import public_sets
from lushan.common import parsing
from lushan.common.terminal import echo
from lushan.errors import RunFailed, UserError
from lushan.public_sets import DataSet
from lushan.run.caches import only_one
from lushan.run.files import sha256_file, write_json
from lushan.run.new_folder import replacing_folder
from lushan.run.progress import Bar
from lushan.sets.space import require_space, size_text

FOLDER = "LUSHAN_DATA"
"""Names a folder of sets that the user keeps, in the environment."""
OFFLINE = "HF_HUB_OFFLINE"
"""Forbids downloads, as it does to the hub's own client."""
RECORD = "set.json"
"""In the folder of a set in the cache: where its files came from, and their hashes."""
ASKED = 100 << 20
"""Bytes of a download above which it is not begun unasked."""

Note = Callable[[str], None]


class Source(TypedDict):
    """Where a file was downloaded from, as the record has it."""

    url: str
    bytes: int
    sha256: str


class Record(TypedDict):
    """What the record of a set in the cache holds."""

    name: str
    licence: str
    source: str
    downloads: dict[str, Source]
    files: dict[str, str]


def cache() -> Path:
    """Return the folder of downloaded sets."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "lushan" / "data"


def local(name: str) -> Path | None:
    """Return the folder of a set that is on this machine; None where it is not."""
    if own := os.environ.get(FOLDER):
        folder = Path(own).expanduser() / name
        if folder.is_dir():
            return folder
    kept = cache() / name
    return kept if (kept / RECORD).is_file() else None


def is_offline() -> bool:
    """Return whether the environment forbids downloads."""
    return os.environ.get(OFFLINE, "").upper() in ("1", "ON", "YES", "TRUE")


def needs_consent(one: DataSet) -> bool:
    """Return whether a download needs consent: it is large, or its terms are narrow."""
    return one.bytes > ASKED or one.is_restricted


@functools.cache
def folder_of(address: str, key: str) -> Path:
    """Return the folder that `set://NAME` stands for, downloaded where it is not there.

    Raises:
        UserError: There is no such set, or it is not here and must not, or cannot be downloaded.
    """
    name = address.removeprefix(public_sets.SCHEME)
    if (found := local(name)) is not None:
        return found
    try:
        one = public_sets.find(name)
    except UserError as error:
        raise UserError(error.problem, key=key, value=address, hint=error.hint) from error
    if needs_consent(one):
        raise _missing(one, key, f"{one.licence}, {size_text(one.bytes)}")
    if is_offline():
        raise _missing(one, key, f"{OFFLINE} is set")
    echo(f"{one.name}: downloading {size_text(one.bytes)} ({one.licence}, {one.source})", err=True)
    try:
        return get(one, lambda line: echo(f"note: {line}", err=True))
    except RunFailed as error:
        raise _missing(one, key, str(error)) from error


def _missing(one: DataSet, key: str, why: str) -> UserError:
    return UserError(
        f"the data set {one.name} is not on this machine ({why})",
        key=key,
        hint=f"Run lushan data get {one.name} to download it. Offline, set data.dir=FOLDER with "
        f"{_listed(one)}.",
    )


def _listed(one: DataSet) -> str:
    return ", ".join(list(one.files)[:4]) + (", ..." if len(one.files) > 4 else "")


def get(one: DataSet, note: Note) -> Path:
    """Download a set to the cache, unless it is there and as it was written; return its folder.

    Args:
        one: The set.
        note: Given a line of what should be known: a hash that was not known before.

    Raises:
        UserError: The disk has no room, or something else is in the place of the folder.
        RunFailed: A file cannot be had, or is not what it should be.
    """
    folder = cache() / one.name
    with only_one(folder):
        record = _record(folder)
        if record is not None and not damaged(folder, record):
            return folder
        if record is None and folder.exists():
            raise UserError(
                "a folder with the name of the data set exists, but was not downloaded",
                file=folder,
                hint=f"Move it away, or use it: data.dir={folder}.",
            )
        _make(one, folder, {} if record is None else record["downloads"], note)
    return folder


def damaged(folder: Path, record: Record) -> list[str]:
    """Return the files of a downloaded set that are not as they were written."""
    files = record["files"].items()
    return [n for n, h in files if not (folder / n).is_file() or sha256_file(folder / n) != h]


def _record(folder: Path) -> Record | None:
    file = folder / RECORD
    try:
        found: Record = parsing.read_json(file)
        parsing.require_shape(found, Record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(str(error), file=file, hint=f"Remove {folder}.") from error
    return found


def _make(one: DataSet, folder: Path, before: Mapping[str, Source], note: Note) -> None:
    if is_offline():
        raise UserError("downloads are not allowed", key=OFFLINE, value=os.environ[OFFLINE])
    raw = cache() / ".downloads" / one.name
    raw.mkdir(parents=True, exist_ok=True)
    require_space(2 * one.bytes, raw)
    fetched = _fetch_all(one, raw, before, note)
    with replacing_folder(folder) as made:
        _prepare(one, raw, made)
        files = sorted(file for file in made.rglob("*") if file.is_file())
        record: Record = {
            "name": one.name,
            "licence": one.licence,
            "source": one.source,
            "downloads": fetched,
            "files": {str(file.relative_to(made)): sha256_file(file) for file in files},
        }
        write_json(made / RECORD, record)
    shutil.rmtree(raw, ignore_errors=True)


def _fetch_all(
    one: DataSet, raw: Path, before: Mapping[str, Source], note: Note
) -> dict[str, Source]:
    from lushan.sets.download import Fetched, fetch

    found: dict[str, Source] = {}
    done = 0
    with Bar(one.name) as bar:
        for download in one.downloads:

            def advance(there: int, base: int = done) -> None:
                if bar is not None:
                    bar(base + there, max(one.bytes, base + there))

            kept = raw / download.name
            if kept.is_file() and download.sha256 == sha256_file(kept):
                got = Fetched(download.urls[0], kept.stat().st_size, str(download.sha256))
            else:
                got = fetch(download, raw, advance)
            known = before[download.name]["sha256"] if download.name in before else None
            if not download.is_known and known not in (None, got.sha256):
                kept.unlink()
                raise RunFailed(
                    f"{got.url} has changed: its SHA-256 is {got.sha256}, but {known} at the "
                    f"first download"
                )
            if not download.is_known and known is None:
                note(f"{download.name}: SHA-256 recorded at this first download: {got.sha256}")
            found[download.name] = {"url": got.url, "bytes": got.bytes, "sha256": got.sha256}
            done += got.bytes
    return found


def _prepare(one: DataSet, raw: Path, made: Path) -> None:
    from lushan.sets import prepare

    if one.prepare not in prepare.BY_NAME:
        raise UserError("unknown way to prepare a data set", key="prepare", value=one.prepare)
    prepare.BY_NAME[one.prepare](raw, made)
    for name, meant in one.files.items():
        if not (made / name).is_file():
            raise RunFailed(f"{one.name}: {name} was not created from the download")
        if meant is not None and public_sets.content_hash(made / name) != meant:
            raise RunFailed(f"{one.name}: {name} differs from the file of the experiments")
