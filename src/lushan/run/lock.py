"""Lock of a run folder: one holder at a time; a dead one is distinguished from a live one.

Lock holders are numbered: `.owner/000007.json` is the seventh. The highest number holds the lock,
until its file says `released` or its process is dead; then the process that creates number eight
holds it, and creating a file that must not exist yet succeeds for exactly one process, on a local
disk as on a shared one. Numbers are never used twice, so a process that looked long ago cannot win
late.

The file's modification time is the heartbeat. On the same machine the process itself is asked
(pid, and its start time, for pids are used again); of another machine only the heartbeat is known.
A heartbeat in the future (the clock was set back) says nothing of its age: a process that wants the
folder watches whether another one follows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.errors import RunFailed, UserError
from lushan.run.files import TEMPORARY, read_bytes, write_json

BEAT = 5.0
"""Seconds from one heartbeat to the next."""

GRACE = 60.0
"""Seconds without a heartbeat after which a lock holder on another machine counts as dead."""

FOLDER = ".owner"


@dataclasses.dataclass(frozen=True)
class LockHolder:
    """A process that holds, or held, a run folder's lock."""

    host: str
    system: str
    """Boot id and pid namespace: where this is the same, a pid means the same process."""
    pid: int
    born: float
    """Start of the process, in seconds since the machine's."""
    since: float
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@functools.cache
def _system() -> str:
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: int) -> float:
    import psutil

    # Both times come from the same clock, so that setting the clock does not part them.
    return round(float(psutil.Process(pid).create_time() - psutil.boot_time()), 2)


def this_process() -> LockHolder:
    """Describe the running process as a lock holder."""
    pid = os.getpid()
    return LockHolder(socket.gethostname(), _system(), pid, _born(pid), round(time.time(), 3))


def current(folder: Path) -> tuple[LockHolder | None, float]:
    """Return the last lock holder of a run folder and its heartbeat; (None, 0.0) if it had none.

    A lock file that cannot be read yields a holder of unknown name, with its heartbeat only.
    """
    place = folder / FOLDER
    number = _highest(place)
    if not number:
        return None, 0.0
    try:
        path = _file(place, number)
        return _read(path), path.stat().st_mtime
    except FileNotFoundError:  # replaced by a higher number since we looked
        return current(folder)


def is_alive(holder: LockHolder | None, beat: float, *, now: float | None = None) -> bool:
    """Return whether the process that holds a lock is alive.

    Args:
        holder: The owner.
        beat: Time of its last heartbeat.
        now: The time by the clock that stamps the heartbeats; this machine's when not given.
    """
    if holder is None or holder.released:
        return False
    if holder.host == socket.gethostname() and holder.system == _system():
        import psutil  # most runs have no holder, and tables read thousands

        if not psutil.pid_exists(holder.pid):
            return False
        try:
            if psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(_born(holder.pid) - holder.born) < 1.0
        except psutil.Error:  # hidden from us, or gone just now: its heartbeat decides
            pass
    return abs((time.time() if now is None else now) - beat) < GRACE


def _beats(path: Path, beat: float) -> bool:
    """Watch for a heartbeat after `beat`, for as long as two of them may take."""
    until = time.monotonic() + 2 * BEAT
    while time.monotonic() < until:
        try:
            if path.stat().st_mtime != beat:
                return True
        except FileNotFoundError:  # replaced by another lock holder's
            return True
        time.sleep(BEAT / 20)
    return False


class RunLock:
    """The ownership of a run folder by this process; it beats until it is released."""

    def __init__(self, path: Path, holder: LockHolder, dead: LockHolder | None) -> None:
        self.path, self.holder = path, holder
        self.dead = dead
        """The dead lock holder that this one took over from, if any."""
        self.lost = False
        """True if another process took the lock because this one had no heartbeat."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT) and not self.lost:
            with contextlib.suppress(OSError):  # a moment without the disk is no loss
                self.touch()

    def touch(self) -> None:
        """Give one heartbeat, or notice that the folder has another lock holder now."""
        number = int(self.path.stem)
        self.lost = _highest(self.path.parent) > number or not self.path.exists()
        if not self.lost:
            os.utime(self.path)

    def require(self) -> None:
        """Make sure that the folder is still this process's.

        Raises:
            RunFailed: It has another owner: this process slept for longer than `GRACE`.
        """
        with contextlib.suppress(OSError):
            self.touch()
        if self.lost:
            other, _ = current(self.path.parent.parent)
            raise RunFailed(
                f"{self.path.parent.parent}: taken over by {other}, "
                f"after {GRACE:.0f} s without a heartbeat of this process"
            )

    def release(self) -> None:
        """Stop beating and let others have the folder."""
        self._stop.set()
        if os.getpid() != self.holder.pid:  # a forked child leaves its parent's claim alone
            return
        self._thread.join(timeout=1.0)
        if not self.lost and self.path.exists():
            # Where the disk refuses even this, the end of the process says the same.
            with contextlib.suppress(RunFailed):
                write_json(self.path, dataclasses.asdict(self.holder) | {"released": True})


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[RunLock]:
    """Hold a run folder's lock for the length of the block.

    Raises:
        UserError: Another live process holds the lock; exit code 2.
    """
    lock = _acquire(folder)
    try:
        yield lock
    finally:
        lock.release()


def _acquire(folder: Path) -> RunLock:
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    me = this_process()
    while True:
        number = _highest(place)
        holder, beat = current(folder)
        now = _now(place)
        unsure = holder is not None and not holder.released and beat - now >= GRACE
        if is_alive(holder, beat, now=now) or (unsure and _beats(_file(place, number), beat)):
            assert holder is not None
            raise UserError(
                f"this run is locked by {holder} since {_in_words(holder.since)}",
                file=folder,
                hint=f"Wait until it ends, or stop it; then run the same command to resume. If "
                f"that process no longer exists: lushan runs --unlock {folder}",
            )
        path = _file(place, number + 1)
        if not _create(path, me):
            continue  # another was quicker: see whether it is alive
        if _highest(place) > number + 1:
            path.unlink(missing_ok=True)  # we looked before others came and went
            continue
        for old in _numbers(place):
            if old <= number:
                _file(place, old).unlink(missing_ok=True)
        return RunLock(path, me, holder if holder and not holder.released else None)


def unlock(folder: Path) -> str:
    """Take the lock of a run from a process that cannot be asked any more; return whose it was.

    A process on this machine is asked; one elsewhere that is at work after all notices that it has
    lost the folder before it writes a state or a result.

    Raises:
        UserError: Nothing is locked, or the lock holder is alive on this machine.
    """
    holder, beat = current(folder)
    if holder is None or holder.released:
        raise UserError("this run is not locked", file=folder)
    here = holder.host == socket.gethostname() and holder.system == _system()
    if here and is_alive(holder, beat):
        raise UserError(
            f"this run is locked by {holder} since {_in_words(holder.since)}",
            file=folder,
            hint=f"That process is running. Stop it first: kill {holder.pid}",
        )
    place = folder / FOLDER
    number = _highest(place)
    me = dataclasses.replace(this_process(), released=True)
    if not _create(_file(place, number + 1), me):
        raise UserError("another process has just taken the lock", file=folder)
    _file(place, number).unlink(missing_ok=True)
    age = time.time() - beat
    last = f"{age:.0f} s ago" if age >= 0 else f"{-age:.0f} s in the future"
    return f"{holder}, since {_in_words(holder.since)}, last heartbeat {last}"


def _in_words(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _file(place: Path, number: int) -> Path:
    return place / f"{number:06d}.json"


def _numbers(place: Path) -> list[int]:
    try:
        files = list(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(file.stem) for file in files if file.suffix == ".json" and file.stem.isdigit()]


def _highest(place: Path) -> int:
    return max(_numbers(place), default=0)


def _read(path: Path) -> LockHolder:
    try:
        fields: dict[str, Any] = parse_json(read_bytes(path))
        return LockHolder(**fields)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, UserError):
        unknown = f"an unknown host ({FOLDER}/{path.name} cannot be read)"
        return LockHolder(unknown, "", 0, 0.0, path.stat().st_mtime)


def _now(place: Path) -> float:
    """Return the time by the clock of the folder's disk, which may be another machine's."""
    probe = place / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-clock"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # cleaned away by a lock holder who was quicker
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _create(path: Path, holder: LockHolder) -> bool:
    """Create a lock file with its content at once; False if there is one already."""
    text = json.dumps(dataclasses.asdict(holder))
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):  # taken, or cleaned away by who has taken it
        return False
    except OSError:
        # No hard links here (exFAT, some mounts). Then the file is empty for a moment, and is
        # read as one of an unknown lock holder with a fresh heartbeat: alive.
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True
