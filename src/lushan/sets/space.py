"""Whether a disk has room, asked before anything is written to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lushan.errors import UserError

SPARE = 32 << 20
"""Bytes that stay free."""


def size_text(size: int) -> str:
    """Return a size as people read it: `0.6 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def require_space(size: int, folder: Path) -> None:
    """Make sure that a folder, or the nearest one above it, has room.

    Raises:
        UserError: It has not; says what is needed and what is free.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise UserError(
            f"the disk has {size_text(free)} free, but {size_text(size + SPARE)} are needed",
            file=folder,
            hint="Free some space, or use a folder on another disk: XDG_CACHE_HOME=FOLDER.",
        )
