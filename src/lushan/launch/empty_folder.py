"""An empty working folder, in which Ray is started.

Ray puts the folder that it is started in first on the `sys.path` of each worker: what lies in a
folder where a command is typed would be imported by it.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def empty_folder() -> Iterator[None]:
    """Work in an empty folder, which is removed when the process ends."""
    empty = tempfile.mkdtemp(prefix="lushan-ray-")
    atexit.register(shutil.rmtree, empty, ignore_errors=True)
    with contextlib.chdir(empty):
        yield
