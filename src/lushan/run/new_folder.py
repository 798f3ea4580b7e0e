"""A folder that takes the place of another when it is whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lushan.errors import RunFailed
from lushan.run.files import TEMPORARY, follow_umask


@contextlib.contextmanager
def replacing_folder(place: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of `place` when the block ends well.

    Raises:
        RunFailed: It cannot be written; what was at `place` is still there.
    """
    mark = f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    new, old = (place.with_name(f"{mark}-{name}") for name in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        follow_umask(*new.rglob("*"))
        if place.exists():
            place.rename(old)
        new.rename(place)
    except OSError as error:
        raise RunFailed(f"{place}: cannot be written: {error.strerror or error}") from error
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
        for path in (new, old):
            shutil.rmtree(path, ignore_errors=True)
