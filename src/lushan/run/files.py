"""Files that are either there in full or not there at all.

A writer that is killed must never leave half a file under a name that a reader trusts. So each
file is written under a temporary name *in the same folder* (a rename across file systems is a
copy, and can be cut in two), flushed to the disk, and renamed. What a killed writer leaves behind
begins with `.tmp-` and is removed by the next owner of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lushan.common import parsing
from lushan.common.terminal import visible
from lushan.errors import RunFailed, UserError, in_a_line
from lushan.run import inside

TEMPORARY = ".tmp-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# As safetensors and other libraries in Rust put it; their exceptions carry no number.
_FULL_WORDS = tuple(f"(os error {number})" for number in sorted(_FULL))
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; at the end it takes the place of `path`, all at once.

    For writers that want a path of their own (safetensors, torch.save, matplotlib). After an
    exception in the block the temporary file is gone and `path` is as it was.

    Raises:
        RunFailed: The disk is full, or refuses the file.
        UserError: A device or a pipe is there, whose place no file may take, or it names a folder.
    """
    path = Path(path)
    if path.is_dir() or path.name in ("", ".."):
        problem = "this is a folder, but a file is required"
        raise UserError(problem, value=str(path), hint="Give a file in it.")
    if path.exists() and not path.is_file():
        raise UserError(
            "this is not a regular file, and would be replaced by one",
            value=str(path),
            hint="Give a file.",
        )
    # The suffix stays at the end: matplotlib, for one, reads the format from it.
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync_file(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except Exception as error:
        # safetensors and torch.save report a full disk in exceptions of their own, without the
        # number: the disk itself is asked, while the cut-off file still stands on it.
        refused = isinstance(error, OSError) and error.errno in _REFUSED
        if refused or is_disk_full(error) or _is_full(path.parent):
            raise _write_error(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def follow_umask(*files: Path) -> None:
    """Give files that only their owner may read the mode that new files have here.

    safetensors and `tempfile` write files of mode 0600, whatever the umask is.
    """
    for file in files:
        if not file.is_file() or stat.S_IMODE(file.stat().st_mode) & 0o077:
            continue
        # The umask itself cannot be read without changing it, which other threads would see.
        probe = file.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            probe.touch()
            file.chmod(stat.S_IMODE(probe.stat().st_mode))
        finally:
            probe.unlink(missing_ok=True)


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Write a whole file, or leave the old one as it was.

    Raises:
        RunFailed: The disk is full, or refuses the file.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def appending(path: Path, *, newline: str | None = None) -> IO[str]:
    """Open a text file to append to; make it, and a copy of it where it has other names.

    A copy of a run folder by hard links, as backups are made, stays as it was.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        _detach(path)
        descriptor = os.open(path, flags, 0o666)
    return os.fdopen(descriptor, "a", encoding="utf-8", newline=newline)


def _detach(path: Path) -> None:
    with replacing(path) as temporary:
        shutil.copy2(path, temporary)


def write_page(path: str | Path, text: str) -> None:
    """Write a text for people, in which text from data is visible, atomically."""
    atomic_write(path, visible(text))


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as JSON, atomically: UTF-8, indented, keys in the order given.

    What JSON has no number for (NaN, infinities) becomes null, so that every reader can read it.
    """
    atomic_write(path, as_json(value))


def as_json(value: object) -> bytes:
    """Return the content of the file that `write_json` writes."""
    text = json.dumps(jsonable(value), ensure_ascii=False, indent=2) + "\n"
    # File names that are not UTF-8 reach Python as lone surrogates; JSON has an escape for them.
    return text.encode("utf-8", "backslashreplace")


SUM = "sha256"
"""The key of the checksum in a JSON file that proves itself."""


def proved(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with the SHA-256 of the rest of it, which proves it."""
    rest = {key: value for key, value in content.items() if key != SUM}
    return {**rest, SUM: hashlib.sha256(as_json(rest)).hexdigest()}


def json_line(value: object) -> str:
    """A value as a line of JSON, which stays one for readers that end lines as Unicode does."""
    text = json.dumps(jsonable(value), ensure_ascii=False)
    for separator in "\x85\u2028\u2029":
        text = text.replace(separator, f"\\u{ord(separator):04x}")
    return text + "\n"


CHANGED = "It was changed or damaged after it was written."
"""The hint where a file that lushan has written cannot be read."""


@contextlib.contextmanager
def intact(path: str | Path) -> Iterator[Path]:
    """Require a stored file to be intact: whatever goes wrong in the block names it.

    For files that lushan has written and that are read by it or by a library: an exception while
    one is parsed, or while its values are taken over, means that the file is not what was written.
    Keep the block that short.

    Args:
        path: The file, or the folder that a library reads.

    Raises:
        UserError: It is missing, cannot be read, or its content is not what was written.
    """
    path = Path(path)
    try:
        yield path
    except UserError as error:
        raise error.located(path) from error.__cause__
    except RunFailed:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"the {_what(error, path)} is missing", file=path, hint=CHANGED) from error
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror or error}", file=path, hint=CHANGED
        ) from error
    except Exception as error:
        problem = f"its content is damaged: {in_a_line(error)}"
        raise UserError(problem, file=path, hint=CHANGED) from error


def _what(error: OSError, path: Path) -> str:
    """Name what is missing: the file itself, or one inside the folder."""
    inside = Path(error.filename or path).name
    return "file" if inside == path.name else f"file {inside}"


def read_bytes(path: str | Path) -> bytes:
    """Read a stored file.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It cannot be read.
    """
    try:
        with parsing.open_file(path) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise UserError(problem, file=path, hint=CHANGED) from error


def read_text(path: str | Path) -> str:
    """Read a stored file of text.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It cannot be read, or it is not UTF-8.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError("not UTF-8", file=path, line=line, hint=CHANGED) from error


def read_json(path: str | Path) -> Any:
    """Read a JSON file of a run's folder.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It cannot be read, is not JSON, or is beyond the bounds of `parsing`.
    """
    try:
        return parsing.read_json(path, hint=CHANGED)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise UserError(problem, file=path, hint=CHANGED) from error


def jsonable(value: object) -> Any:
    """Return `value` in what JSON can hold: paths as text, tuples as lists, NaN as None.

    Raises:
        TypeError: Something in it has no such form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [jsonable(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return jsonable(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with parsing.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(folder: Path) -> None:
    """Make a folder and those above it, which others may be removing because they are empty."""
    for last in (False, False, True):
        try:
            return folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            if last:
                raise
    return None


def check_writable(folder: str | Path) -> None:
    """Find out before the first step, not after the last, that a folder can be written to.

    Args:
        folder: Made when missing. A probe is written there, synced and removed.

    Raises:
        UserError: The folder cannot be made or written to; exit code 2.
        RunFailed: The disk is full; exit code 1.
    """
    folder = Path(folder)
    probe = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-probe"
    try:
        _make(folder)
        descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # By its descriptor alone: the folder's owner may clean the name away meanwhile.
            os.write(descriptor, b"\0" * 4096)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _FULL:
            raise _write_error(folder, error) from error
        raise UserError(
            f"the output folder cannot be written to: {error.strerror}",
            key="paths.output_dir",
            value=str(folder),
            hint="Choose another one with paths.output_dir=FOLDER, or change its permissions.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def clean_leftovers(folder: str | Path) -> list[Path]:
    """Remove what killed writers left under `folder`; return what was removed.

    Only for the folder's owner: another writer's temporary file would look just the same.
    """
    removed = []
    for parent, folders, files in os.walk(folder):
        for name in [name for name in (*folders, *files) if name.startswith(TEMPORARY)]:
            with contextlib.suppress(OSError):
                inside.remove(Path(parent, name), Path(folder))
            if name in folders:
                folders.remove(name)
            removed.append(Path(parent, name))
    return removed


def is_disk_full(error: BaseException) -> bool:
    """Return whether an exception, or one that led to it, is that of a full disk or quota."""
    return any(
        (isinstance(one, OSError) and one.errno in _FULL)
        or any(words in str(one) for words in _FULL_WORDS)
        for one in _chain(error)
    )


def disk_full(error: BaseException, folder: Path) -> RunFailed:
    """Return the failure of a run whose disk is full, with the file that did not fit if known."""
    named = (one.filename for one in _chain(error) if isinstance(one, OSError) and one.filename)
    return RunFailed(
        f"{next(named, folder)}: no space left on the disk\n"
        "  Free some space (`lushan runs --prune` lists what can be deleted), then run the same "
        "command to resume."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 2**16
    except OSError:
        return False


def _sync_file(path: Path, flags: int = os.O_RDWR) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself survive a power cut. Some file systems (and Windows) refuse to sync
    # a folder; there the rename is as durable as it gets.
    with contextlib.suppress(OSError):
        _sync_file(folder, os.O_RDONLY)


def _write_error(path: Path, error: Exception) -> RunFailed:
    reason = getattr(error, "strerror", None) or f"no space left on the disk ({error})"
    return RunFailed(f"{path}: cannot be written: {reason}")
