"""Bounds of a folder, links followed: nothing that a folder from elsewhere names lies outside it.

A folder may itself be a link, and so may those above it: that is how disks are laid out. What a
folder *contains* may have been made by another person; a link in it, or a path in one of its files,
that leads out of it is refused on reading and writing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath

from lushan.common import parsing
from lushan.errors import UserError

TRACKED = ("wandb",)
"""Folders of trackers in a run folder: W&B links its logs to its cache, and returns to none."""

SNAPSHOTS, BLOBS = "snapshots", "blobs"
"""Folders of a repository in the cache of the Hugging Face hub: its files link from one to the
other."""


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Return whether a path, links followed, lies in a folder; what is not there may, too."""
    place = _real(path)
    return any(place.is_relative_to(root) for root in _roots(folder))


def require(path: Path, folder: Path) -> None:
    """Make sure that a file, links followed, lies in a folder."""
    if not is_inside(path, folder):
        raise leads_out(path, folder)


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, it takes a loop of links


def _roots(folder: str | Path) -> list[Path]:
    """The folder and, where it is one of the hub's cache, that of its files."""
    root = _real(folder)
    above = [p.parent / BLOBS for p in (root, *root.parents) if p.name == SNAPSHOTS]
    return [root, *(blobs for blobs in above if blobs.is_dir())]


def is_bound(name: str) -> bool:
    """Return whether a path or pattern that a file of a folder holds stays below that folder.

    A URL does not, nor an absolute path. Links are not followed here: see `is_inside`.
    """
    if "://" in name or "::" in name or "\0" in name or name.startswith("~"):
        return False
    path = PurePath(os.path.normpath(name))
    return not path.is_absolute() and ".." not in path.parts


def files_of(folder: Path, *, key: str | None = None) -> dict[str, Path]:
    """Return the files of a folder and of those below it, by their paths inside it, sorted.

    Hidden ones and compiled code are left out.

    Raises:
        UserError: One is a link that leads out of the folder.
    """
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_left_out(name)]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            path = Path(parent, name)
            if _is_left_out(name):
                continue
            if path.is_symlink() and not is_inside(path, folder):
                raise leads_out(path, folder, key)
            require_no_pipe(path)
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def require_no_pipe(path: Path) -> None:
    """Make sure that reading a path, by a library perhaps, ends.

    Raises:
        UserError: It is a pipe, a socket or a device.
    """
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise parsing.not_regular(path)


def leads_out(path: Path, folder: Path, key: str | None = None) -> UserError:
    """Return the error for a link that leads out of its folder."""
    return UserError(
        f"this link points outside of {folder}",
        key=key,
        file=path,
        value=os.path.realpath(path),
        hint="Put the file itself there, or give the target instead of the link.",
    )


def require_no_way_out(folder: Path, *, but: Collection[str] = ()) -> None:
    """Make sure that no link below a folder leads out of it.

    Args:
        folder: A folder.
        but: Names of folders in it whose folders are not looked into.
    """
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() and not is_inside(path, folder):
                raise leads_out(path, folder)
            require_no_pipe(path)
        if Path(parent).parent == folder and Path(parent).name in but:
            folders.clear()


def require_own_run(folder: Path) -> None:
    """Make sure that what is read, written and removed below a run folder is its own."""
    require_no_way_out(folder, but=TRACKED)


@contextlib.contextmanager
def _opened(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """Open a folder below another by its parts, none of which may be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    descriptor = os.open(root, flags)
    try:
        for part in parts:
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def remove(path: Path, root: Path, *, hidden: str | None = None) -> None:
    """Remove a file or a folder below another; of a link the link alone, never what it names.

    It is safe against a link that replaces a folder meanwhile.

    Args:
        path: A path below `root`, which need not be there.
        root: The folder that nothing is removed outside of. It may be a link.
        hidden: A name that a folder gets before it is emptied.

    Raises:
        OSError: It cannot be removed, or a folder between `root` and it is a link.
    """
    *above, name = path.relative_to(root).parts
    with contextlib.suppress(FileNotFoundError), _opened(root, tuple(above)) as folder:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(kind):
            os.unlink(name, dir_fd=folder)
            return
        if hidden is not None and hidden != name:
            os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=folder)
            name = hidden
        shutil.rmtree(name, dir_fd=folder)
