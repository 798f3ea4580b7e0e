"""Choice of a source by what a user names: a file, a folder, standard input or a URL."""

from __future__ import annotations

from pathlib import Path

from lushan.errors import UserError
from lushan.monitor.poll import HttpSource
from lushan.monitor.sources import FileSource, FolderSource, PipeSource, Source, files_of


def source_of(name: str, *, follow: bool, every: float) -> Source:
    """Return the source that a user names.

    Raises:
        UserError: There is none.
    """
    if name == "-":
        return PipeSource()
    if "://" in name:
        return HttpSource(name, every=every)
    path = Path(name).expanduser()
    if path.is_dir():
        if not follow and not files_of(path):
            raise UserError(
                "no file in this folder ends in .jsonl or .ndjson", key="--source", value=name
            )
        return FolderSource(path, whole=not follow)
    if path.exists() and not path.is_file():
        raise UserError("neither a file nor a folder", key="--source", value=name)
    if not path.exists() and not (follow and path.parent.is_dir()):
        raise UserError("the file or folder does not exist", key="--source", value=name)
    return FileSource(path, whole=not follow)
