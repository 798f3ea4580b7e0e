"""One file from the first of its addresses that has it: resumed, retried, and checked.

A file that is not whole lies beside its place as `NAME.part`; only what has the hash that was
expected gets the name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lushan.errors import RunFailed, in_a_line
from lushan.public_sets import Download
from lushan.run.files import is_disk_full, sha256_file
from lushan.sets.space import require_space
from lushan.version import VERSION

if TYPE_CHECKING:
    import httpx2

TRIES = 4
"""Of an address whose server fails, or whose connection breaks."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long."""
LONGEST_PAUSE = 30.0
"""Seconds that a server may ask to be left alone for."""
TIMEOUT = 30.0
"""Seconds without any answer."""
LARGEST = 8 << 30
"""Bytes of a file whose size is not known beforehand."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 18

Advance = Callable[[int], None]
"""Called with the bytes that are there by now."""


class _Refused(Exception):
    """An address does not have the file, or another one in its place."""


class _Failed(Exception):
    """A try that failed; another one may not.

    Args:
        problem: What happened.
        pause: Seconds that the server asked for.
    """

    def __init__(self, problem: str, pause: float = 0.0) -> None:
        super().__init__(problem)
        self.pause = pause


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A file that was downloaded."""

    url: str
    bytes: int
    sha256: str


def fetch(one: Download, folder: Path, advance: Advance) -> Fetched:
    """Download a file to a folder, where what a former try has left is resumed.

    Args:
        one: The file.
        folder: Where it is written.
        advance: Called with the bytes that are there.

    Raises:
        UserError: The disk has no room.
        RunFailed: No address gives it; says why not, address by address.
    """
    import httpx2

    headers = {"User-Agent": f"lushan/{VERSION}", "Accept-Encoding": "identity"}
    part = folder / f"{one.name}.part"
    if not one.is_known:  # what a former try left may be of another version of the file
        part.unlink(missing_ok=True)
    reasons = []
    with httpx2.Client(headers=headers, timeout=TIMEOUT, follow_redirects=True) as client:
        for url in one.urls:
            try:
                _tried(client, url, one, part, advance)
                return _checked(url, one, part, folder / one.name)
            except (_Refused, _Failed) as error:
                reasons.append(f"{url}: {error}")
    raise RunFailed(f"{one.name} cannot be downloaded\n  " + "\n  ".join(reasons))


def _tried(client: httpx2.Client, url: str, one: Download, part: Path, advance: Advance) -> None:
    for number in range(TRIES):
        try:
            _transfer(client, url, one, part, advance)
            return
        except _Failed as error:
            if number + 1 == TRIES:
                raise
            time.sleep(max(FIRST_PAUSE * 2**number, error.pause))


def _transfer(client: httpx2.Client, url: str, one: Download, part: Path, advance: Advance) -> None:
    """Bring what is missing of a file."""
    import httpx2

    there = part.stat().st_size if part.exists() else 0
    if there and there == one.bytes:
        return
    headers = {"Range": f"bytes={there}-"} if there else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 416:  # what is there is no beginning of it
                part.unlink()
                raise _Failed("the partial download does not match this file")
            resumed = _accepted(response, there)
            _write(response, one, part, there if resumed else 0, advance)
    except httpx2.ConnectError as error:  # no such host, or no network: waiting helps little
        raise _Refused(in_a_line(error)) from error
    except httpx2.HTTPError as error:
        raise _Failed(in_a_line(error)) from error


def _accepted(response: httpx2.Response, there: int) -> bool:
    """Return whether an answer continues what is there; False where it starts at the beginning."""
    status = response.status_code
    if status in _AGAIN:
        asked = response.headers.get("Retry-After", "")
        pause = min(float(asked), LONGEST_PAUSE) if asked.isdecimal() else 0.0
        raise _Failed(f"the server returns {status} {response.reason_phrase}", pause)
    if status not in (200, 206):
        raise _Refused(f"the server returns {status} {response.reason_phrase}")
    begins = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return status == 206 and begins == str(there)


def _write(
    response: httpx2.Response, one: Download, part: Path, start: int, advance: Advance
) -> None:
    length = response.headers.get("Content-Length", "")
    if length.isdecimal():
        require_space(int(length), part.parent)
    most = LARGEST if one.bytes is None else one.bytes
    total = start
    try:
        with part.open("ab" if start else "wb") as sink:
            for data in response.iter_raw(_BLOCK):
                total += len(data)
                if total > most:
                    raise _Refused(f"it has more than {most:,} bytes")
                sink.write(data)
                advance(total)
            sink.flush()
            os.fsync(sink.fileno())
    except OSError as error:
        if is_disk_full(error):
            with contextlib.suppress(OSError):
                part.unlink()
            raise RunFailed(f"no space left on the disk for {part}") from error
        raise
    except _Refused:
        part.unlink()
        raise


def _checked(url: str, one: Download, part: Path, target: Path) -> Fetched:
    """Give a file its name if it is the one that was meant; remove it if not."""
    size, found = part.stat().st_size, sha256_file(part)
    wrong = [
        f"its {what} is {is_now}, not {meant}"
        for what, is_now, meant in (
            ("size", size, one.bytes),
            ("SHA-256", found, one.sha256),
            ("Git hash", _git_blob(part) if one.git_blob else None, one.git_blob),
        )
        if meant is not None and is_now != meant
    ]
    if wrong:
        part.unlink()
        raise _Refused(f"the downloaded file is wrong and was deleted: {wrong[-1]}")
    part.replace(target)
    return Fetched(url, size, found)


def _git_blob(path: Path) -> str:
    """Return the name that Git gives to a content: SHA-1 of its length and itself."""
    head = f"blob {path.stat().st_size}\0".encode()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.sha1(head, usedforsecurity=False))
    return digest.hexdigest()
