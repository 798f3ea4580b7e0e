"""Checksums of a run's files, as the run wrote them, and the check that they still hold.

`checksums.json` lists the SHA-256 of each file that decides a number or an answer: begun when a run
starts, whole when it is complete. Such a file is read through `read` or `verified`, which refuse
one that was changed, is gone, or was put beside listed ones (into `processor/`). Other files
(`log.txt`, plots, trackers' folders, notes) decide nothing and may be changed; `run.json` proves
itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json, require_shape
from lushan.errors import UserError
from lushan.run.files import read_bytes, sha256_file, write_json
from lushan.run.hashes import files_in

log = logging.getLogger(__name__)

CHECKSUMS = "checksums.json"
RESULT = "result.json"
MANIFEST = "manifest.json"
AT_START = (
    *("config.yaml", "overrides.yaml", "inputs.json", MANIFEST, "manifest.diff"),
    *("task.json", "processor", "encoder"),
)
"""Files and folders that are listed once training begins."""
AT_END = (*AT_START, "metrics.csv", "samples.jsonl", "predictions")
"""The same of a complete run, whose result and weights are listed beside."""

_HINT = (
    "Restore it from a copy, or delete the run's folder and train again. Change settings on the "
    "command line, not in the files of a run."
)


def begin(folder: Path, run_id: str) -> None:
    """Write an empty list: what an earlier attempt has left is overwritten."""
    _write(folder, run_id, {})


def add(folder: Path, names: Iterable[str], more: Mapping[str, str] | None = None) -> None:
    """List files, and those in folders, that are not listed yet.

    Args:
        folder: Of a run that has begun.
        names: Those that are not there are left out.
        more: Name to SHA-256 of files that lie elsewhere, or nowhere, for now.
    """
    known = _known(folder)
    if known is None:
        return
    files = known["files"]
    for name in names:
        place = folder / name
        alone = ((None, place),) if place.is_file() else ()
        for inside, path in files_in(place) if place.is_dir() else alone:
            listed = name if inside is None else f"{name}/{inside}"
            if listed not in files:
                files[listed] = sha256_file(path)
    _write(folder, known["run_id"], files | dict(more or {}))


def read(folder: Path, name: str) -> bytes:
    """Return the content of a run's file, which is what the run wrote.

    Raises:
        FileNotFoundError: There is none, and the run has written none.
        UserError: It was changed, is gone, or is none of the run's; names the file.
    """
    known = _known(folder)
    path = folder / name
    try:
        content = read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        if known is None or name not in known["files"]:
            raise
        raise _refused(path, "a file of the run is missing") from None
    if known is not None:
        _compare(known, path, name, hashlib.sha256(content).hexdigest())
    elif path.exists():
        _warn_unverified(folder)
    return content


def read_json(folder: Path, name: str, shape: object = Any) -> Any:
    """Return the value of a run's JSON file.

    Raises:
        FileNotFoundError: There is none, and the run has written none.
        UserError: As `read`, or it is not JSON, or of another shape.
    """
    content, problem = read(folder, name), "not a JSON file"
    try:
        value = parse_json(content)
        problem = "not a file of a run"
        require_shape(value, shape)
    except ValueError as error:  # also a UnicodeDecodeError
        hint = "It was changed or damaged after the run."
        raise UserError(f"{problem}: {error}", file=folder / name, hint=hint) from error
    return value


def verified(folder: Path, name: str) -> Path:
    """Return the path of a run's file or folder, of which every file is what the run wrote.

    What neither is there nor was written is for the reader to miss.

    Raises:
        UserError: Something of it was changed, is gone, or is none of the run's; names the file.
    """
    known = _known(folder)
    place = folder / name
    if known is None:
        if place.exists():
            _warn_unverified(folder)
        return place
    there = dict(_files(place, name))
    prefix = f"{name}/"
    for listed in known["files"]:
        if (listed == name or listed.startswith(prefix)) and listed not in there:
            raise _refused(folder / listed, "a file of the run is missing")
    for listed, path in there.items():
        _compare(known, path, listed, sha256_file(path))
    return place


def require_listed_as(folder: Path, name: str, path: Path) -> None:
    """Make sure that a file is what the run listed under a name, wherever it lies now."""
    known = _known(folder)
    if known is not None and RESULT in known["files"]:
        _compare(known, path, name, sha256_file(path) if path.is_file() else "")


def listed_as(folder: Path, name: str) -> str | None:
    """Return the SHA-256 that a file had when the run wrote it; None where that is not known."""
    known = _known(folder)
    return None if known is None else known["files"].get(name)


def run_id_of(folder: Path) -> str | None:
    """Return the id of the run whose folder it is; None of what is none, or of an older one."""
    try:
        known = _known(folder)
    except UserError:
        return None
    return None if known is None else known["run_id"]


def _files(place: Path, name: str) -> Iterator[tuple[str, Path]]:
    if place.is_dir():
        yield from ((f"{name}/{inside}", path) for inside, path in files_in(place))
    elif place.is_file():
        yield name, place


def _compare(known: Mapping[str, Any], path: Path, name: str, found: str) -> None:
    files = known["files"]
    if name not in files:
        beside = f"{name.partition('/')[0]}/"
        if any(other.startswith(beside) for other in files):
            raise _refused(path, "this file does not belong to the run")
    elif files[name] != found:
        raise _refused(
            path, f"this file was changed: its SHA-256 differs from the one in {CHECKSUMS}"
        )


def _refused(path: Path, problem: str) -> UserError:
    return UserError(problem, file=path, hint=_HINT)


def is_listed(path: Path) -> bool:
    """Return whether a file is one that a run has written and that decides something."""
    place = Path(os.path.realpath(path))
    for folder in place.parents:
        if (known := _known(folder)) is not None:
            name = place.relative_to(folder).as_posix()
            return name in known["files"] or name in (CHECKSUMS, RESULT, "run.json")
    return False


# The list itself


def _known(folder: Path) -> dict[str, Any] | None:
    """Return `run_id` and `files`; None where there is no list."""
    path = folder / CHECKSUMS
    try:
        content = read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        known = parse_json(content)
        if known["sha256"] == _digest(known["run_id"], known["files"]):
            return dict(known)
    except (ValueError, TypeError, KeyError):
        pass
    raise _refused(path, "the list of the run's checksums is damaged")


def _write(folder: Path, run_id: str, files: Mapping[str, str]) -> None:
    sha256 = _digest(run_id, files)
    write_json(folder / CHECKSUMS, {"run_id": run_id, "files": files, "sha256": sha256})


def _digest(run_id: str, files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([run_id, files], sort_keys=True).encode()).hexdigest()


_unverified: list[Path] = []


def _warn_unverified(folder: Path) -> None:
    if not _unverified:
        _unverified.append(folder)
        log.warning(
            "note: %s has no %s (deleted, or from an earlier version): its files are not "
            "verified, nor those of other runs without it",
            folder,
            CHECKSUMS,
        )
