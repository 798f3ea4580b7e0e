"""Archives that stand where a file of rows should: what is in them, and what unpacks them."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

from lushan.common import shell
from lushan.errors import UserError

ZIP = b"PK\x03\x04"
TAR = b"ustar"
TAR_AT = 257
"""Place of the mark of a tar archive."""
SHOWN = 10
"""Files of an archive that are named."""
_HIDDEN = ("__MACOSX", ".")
_PATTERN = frozenset("*?[]\\")
"""Characters that mean something in the names that `unzip` is given."""


def names_in(file: IO[bytes]) -> list[str] | None:
    """Return the names in a zip archive; None where it cannot be read."""
    try:
        return zipfile.ZipFile(file).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None


def refused_zip(names: Sequence[str] | None, name: str | Path) -> UserError:
    """Return the error for a zip archive, with the command that unpacks it.

    One file is written beside the archive under its own name, several to a new folder.

    Args:
        names: In the archive; None where they cannot be read.
        name: Of the archive.
    """
    if names is None:
        problem = "this file is a damaged or truncated zip archive"
        return UserError(problem, file=name, hint="Download it again.")
    held = [one for one in names if not one.endswith("/") and not _is_hidden(one)]
    if not held:
        return UserError("this file is an empty zip archive", file=name)
    path = Path(name)
    given = shell.quote(str(path))
    if not path.is_file():
        hint = "Unpack it first."
    elif len(held) > 1 or _PATTERN & set(held[0]):
        folder = shell.quote(str(unused(path.with_suffix(""))))
        hint = f"It holds {_listed(held)}. Unpack it: unzip {given} -d {folder}"
    else:
        member = f" {shell.quote(held[0])}" if len(names) > 1 else ""
        new = shell.quote(str(unused(path.with_name(Path(held[0]).name))))
        hint = f"Unpack it: unzip -p {given}{member} > {new}"
    return UserError("this file is a zip archive", file=name, hint=hint)


def refused_tar(name: str | Path) -> UserError:
    """Return the error for a tar archive, with the command that unpacks it to a new folder."""
    path = Path(name)
    while path.suffix:
        path = path.with_suffix("")
    folder = shell.quote(str(unused(path)))
    hint = "Unpack it first."
    if Path(name).is_file():
        hint = f"Unpack it: mkdir {folder} && tar -xf {shell.quote(str(name))} -C {folder}"
    return UserError("this file is a tar archive", file=name, hint=hint)


def unused(path: Path) -> Path:
    """Return a path, or one beside it, at which nothing stands."""
    return path.with_stem(f"{path.stem}-converted") if path.exists() else path


def _is_hidden(name: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in name.split("/"))


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:SHOWN]
    more = [f"... ({len(names):,} in all)"] if len(names) > SHOWN else []
    return ", ".join([*shown, *more])
