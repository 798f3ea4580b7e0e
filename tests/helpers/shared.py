"""What the tests of all workers share: runs to look at, each trained by one of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

PLACE = "LUSHAN_TESTS_SHARED"
"""The variable that names the folder to the processes of one session."""


@contextmanager
def place() -> Iterator[Path]:
    """Have a folder as long as the tests run, for this process and all that it starts."""
    with tempfile.TemporaryDirectory(prefix="lushan-tests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # a test may be another user
        os.environ[PLACE] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[PLACE]


def folder() -> Path:
    """Return the folder of this session."""
    return Path(os.environ[PLACE])


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that one worker fills; the others wait, and only look.

    Args:
        name: Of the folder.
        make: Fills it.
    """
    found = folder() / name
    whole = found.with_name(f"{name}.whole")
    with FileLock(f"{found}.lock"):
        if not whole.exists():
            shutil.rmtree(found, ignore_errors=True)
            found.mkdir(parents=True)
            make(found)
            whole.touch()
    return found
