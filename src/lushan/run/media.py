"""Images that records of a run name, read from few places alone.

A record may name any file, and its author may be anyone. Read are files in the run's folder that
the run has written, and files below the working folder.
"""

from __future__ import annotations

from pathlib import Path

from lushan.common.parsing import read_bounded
from lushan.errors import UserError
from lushan.run import checksums, inside

LARGEST = 32 << 20
"""Bytes of the largest file that is read."""


class Refused(Exception):
    """A file is not read; states why."""


def read_media(folder: Path, path: str) -> bytes:
    """Return the content of a file that a record of a run names.

    Raises:
        Refused: It is not one that may be read.
    """
    try:
        if inside.is_bound(path) and (folder / path).is_file():
            inside.require(folder / path, folder)
            if (folder / path).stat().st_size > LARGEST:
                raise Refused("the file is too large")
            return checksums.read(folder, path)
        if "\0" in path or not inside.is_inside(path, Path.cwd()):
            raise Refused("it is neither in the run's folder nor below the working folder")
        return read_bounded(path, LARGEST)
    except UserError as error:
        raise Refused(error.problem) from error
    except OSError as error:
        raise Refused(error.strerror or "it cannot be read") from error
