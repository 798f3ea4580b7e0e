"""Folders of classes: one split, not the root of several, and no class without a file."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lushan.common.override_text import typed
from lushan.common.wording import plural
from lushan.data.split_names import NAMES, split_of
from lushan.data.which import listed
from lushan.errors import UserError


def require_one_split(paths: Iterable[str], place: Path, split: str, name: str) -> None:
    """Refuse a folder that holds several splits, which would become one.

    Folders named like splits may be classes, too; where one of them holds folders, they are not.

    Args:
        paths: Of the files in it.
        place: The folder, or an archive.
        split: Which split it is given for.
        name: What the config calls it.

    Raises:
        UserError: It does; says which folders to give.
    """
    for above, folders in _split_folders(paths).items():
        named = {split_of(folder): folder for folder in reversed(folders)}
        there = {s: named[s] for s in NAMES if s in named}
        with_classes = {s: f for s, f in there.items() if folders[f]}
        if len(there) < 2 or not with_classes:
            continue
        held = " and ".join(there.values())
        hint = "Make an archive of each split, or unpack it and give the folders."
        if place.is_dir():
            within = {s: posixpath.join(name, above, f) for s, f in with_classes.items()}
            keys = (typed(f"data.{s}", posixpath.normpath(path)) for s, path in within.items())
            hint = f"Write {' '.join(keys)}."
        raise UserError(
            f"it holds several splits, {held}, which would be mixed",
            key=f"data.{split}",
            value=name,
            file=place,
            hint=hint,
        )


def _split_folders(paths: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Return the folders named like splits, by the folder that they lie in.

    Returns:
        Folder to (name of such a folder to whether it holds folders itself).
    """
    found: dict[str, dict[str, bool]] = {}
    for path in paths:
        *folders, _ = path.split("/")
        for depth, folder in enumerate(folders):
            if split_of(folder) is not None:
                same = found.setdefault("/".join(folders[:depth]), {})
                same[folder] = same.get(folder, False) or depth + 1 < len(folders)
    return found


def notes_on_empty(paths: Collection[str], place: Path, split: str, what: str) -> Iterator[str]:
    """Yield a note on folders beside those of classes that hold no file that is read.

    Args:
        paths: Of the files that are read.
        place: The folder; an archive has no empty ones.
        split: Which split it is.
        what: What a file is: `image`.
    """
    if not place.is_dir():
        return
    filled = {above for path in paths for above in _above(path)}
    beside = {posixpath.dirname(posixpath.dirname(path)) for path in paths if "/" in path}
    empty = sorted(
        there.relative_to(place).as_posix()
        for folder in beside
        for there in (place / folder).iterdir()
        if there.is_dir() and not there.name.startswith((".", "__"))
    )
    empty = [name for name in empty if name not in filled]
    if empty:
        holds = plural(len(empty), f"folder holds no {what}", f"folders hold no {what}")
        no_class = "so it is no class" if len(empty) == 1 else "so they are no class"
        yield f"{split}: {holds}, {no_class}: {listed(empty)}"


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
