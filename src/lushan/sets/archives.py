"""Archives unpacked into a folder, and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from lushan.errors import RunFailed, UserError
from lushan.sets.space import require_space

_BLOCK = 1 << 20


def unpack(archive: Path, folder: Path) -> bool:
    """Unpack a tar or zip file; return whether it is one.

    Args:
        archive: The file; a tar file may be packed by gzip, bzip2 or xz.
        folder: What all its members lie in afterwards.

    Raises:
        UserError: It is damaged, a member is no plain file or would lie elsewhere, or the disk has
            no room for it.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                _write_all(_in_zip(file), archive, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _write_all(_in_tar(tar), archive, folder)
        else:
            return False
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"the archive is damaged: {error}", file=archive) from error
    return True


Member = tuple[str, int, "IO[bytes] | None"]
"""Name, bytes, and content; None of what is neither a file nor a folder."""


def _in_zip(file: zipfile.ZipFile) -> Iterator[Member]:
    require_space(sum(one.file_size for one in file.infolist()), Path(str(file.filename)).parent)
    for one in file.infolist():
        is_link = (one.external_attr >> 28) == 0o12
        if not one.is_dir():
            yield one.filename, one.file_size, None if is_link else file.open(one)


def _in_tar(tar: tarfile.TarFile) -> Iterator[Member]:
    members = tar.getmembers()
    require_space(sum(one.size for one in members), Path(str(tar.name)).parent)
    for one in members:
        if not one.isdir():
            yield one.name, one.size, tar.extractfile(one) if one.isreg() else None


def _write_all(members: Iterator[Member], archive: Path, folder: Path) -> None:
    for name, size, content in members:
        path = PurePosixPath(name)
        if content is None:
            raise UserError(f"its member {name!r} is a link or not a plain file", file=archive)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise UserError(f"its member {name!r} would be outside of the folder", file=archive)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink, content:
            shutil.copyfileobj(content, sink, _BLOCK)
            if sink.tell() != size:
                raise RunFailed(f"{archive}: {name} has {sink.tell():,} bytes, not {size:,}")
