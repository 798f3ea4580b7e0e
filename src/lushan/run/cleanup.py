"""Disk that runs no longer need, freed by rules; the result of a complete run is never touched.

Of a complete run go only states to resume from that were left behind, of any run what killed
writers have left. Runs that are old and were not completed lose the states to resume from;
the weights that were evaluated best stay, or the newest state where none were evaluated yet.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lushan.errors import UserError
from lushan.run import inside
from lushan.run import lock as locks
from lushan.run.columns import aligned
from lushan.run.files import TEMPORARY
from lushan.run.folder import RunFolder
from lushan.run.identity import CACHE
from lushan.run.listing import folders
from lushan.run.status import COMPLETE

CACHED = ("documents", "encoded", "hashes", "streams", "tokenizers")
"""Folders of a cache. Others in a folder of that name (`~/.cache`) belong to other programs."""
DAY = 24 * 60 * 60.0


@dataclasses.dataclass(frozen=True)
class Removal:
    """Something that may go.

    Attributes:
        path: A file or a folder.
        run: The run that it is of; None for a cache's.
        size: Bytes.
        why: What it is, or why it stays.
        stays: Whether it is only reported: it leads out of the folder that is pruned.
    """

    path: Path
    run: Path | None
    size: int
    why: str
    stays: bool = False


def plan(root: str | Path, older_than: float | None = None) -> list[Removal]:
    """List what may be removed below a folder; nothing is removed yet.

    Args:
        root: A folder with runs in it.
        older_than: Days. Runs that are not complete and whose files are older than this lose their
            states; what was cached and not read for as long goes too.

    Raises:
        UserError: There is no such folder.
    """
    before = None if older_than is None else time.time() - older_than * DAY
    found = [removal for run in folders(root) for removal in _of_run(run, before)]
    if before is not None:
        found += _of_cache(Path(root) / CACHE, before)
    return found


def _of_run(run: Path, before: float | None) -> Iterator[Removal]:
    folder = RunFolder(run)
    if (holder := folder.holder()) is not None:
        yield Removal(run, run, 0, f"stays: locked by {holder}", stays=True)
        return
    state = folder.state
    try:
        inside.require_own_run(run)
    except UserError as error:
        yield Removal(Path(error.file or run), run, 0, f"stays: {error.problem}", stays=True)
        return
    for path in sorted(run.rglob(f"{TEMPORARY}*")):
        if not any(part.startswith(TEMPORARY) for part in path.relative_to(run).parts[:-1]):
            yield _removal(path, run, "temporary file of a killed process")
    states = sorted(folder.checkpoints.glob("step-*"))
    if state == COMPLETE:
        for path in states:
            yield _removal(path, run, "checkpoint of a complete run")
    elif before is not None and _latest(run) < before:
        # Before its first validation a run has no other weights than those of its newest state.
        evaluated = any(folder.checkpoints.glob("best*"))
        for path in states if evaluated else states[:-1]:
            yield _removal(path, run, f"checkpoint of a run that is {state}")


def _of_cache(cache: Path, before: float) -> Iterator[Removal]:
    for place in (cache, *(cache / name for name in CACHED)):
        if not inside.is_inside(place, cache.parent):
            problem = inside.leads_out(place, cache.parent).problem
            yield Removal(place, None, 0, f"stays: {problem}", stays=True)
            return
    for path in (path for name in CACHED for path in sorted(_files(cache / name))):
        status = path.lstat()
        if max(status.st_atime, status.st_mtime) < before:
            yield Removal(path, None, status.st_size, "unused cache")


def _latest(folder: Path) -> float:
    """Return when the latest file of a run was written."""
    return max((path.stat().st_mtime for path in _files(folder)), default=0.0)


def _removal(path: Path, run: Path | None, why: str) -> Removal:
    return Removal(path, run, sum(file.lstat().st_size for file in _files(path)), why)


def _files(path: Path) -> Iterator[Path]:
    """The files of a folder, or a file; of a link what it is, not what it names."""
    if path.is_symlink() or path.is_file():
        yield path
        return
    for parent, _, names in os.walk(path):
        yield from (Path(parent, name) for name in names)


def execute(removals: Sequence[Removal]) -> tuple[int, list[str]]:
    """Remove what was planned, of runs that no process executes by now.

    Returns:
        The bytes freed, and what was left and why.
    """
    left = [f"{r.path}: {r.why.removeprefix('stays: ')}" for r in removals if r.stays]
    removals = [removal for removal in removals if not removal.stays]
    freed = 0
    for run in dict.fromkeys(removal.run for removal in removals):
        those = [removal for removal in removals if removal.run == run]
        try:
            if run is None:
                freed += sum(_remove(removal, _cache_of(removal.path)) for removal in those)
                continue
            inside.require_own_run(run)  # it may have changed since it was planned
            with locks.lock_run(run):
                freed += sum(_remove(removal, run) for removal in those)
        except (UserError, OSError) as error:
            left.append(f"{run or CACHE}: {getattr(error, 'problem', error)}")
    return freed, left


def _cache_of(path: Path) -> Path:
    return next(place for place in path.parents if place.name == CACHE)


def _remove(removal: Removal, root: Path) -> int:
    # Out of sight at once: half a state must not look like a whole one.
    hidden = f"{TEMPORARY}{removal.path.name.removeprefix(TEMPORARY)}"
    inside.remove(removal.path, root, hidden=hidden)
    return removal.size


def as_text(removals: Sequence[Removal]) -> str:
    """A line for each removal, and their sum."""
    rows = [(in_words(r.size), str(r.path), r.why) for r in removals]
    total = in_words(sum(removal.size for removal in removals))
    going = sum(not removal.stays for removal in removals)
    lines = aligned(rows, right=[0]) if rows else []
    return "\n".join([*lines, f"{total} in {going} places"])


def as_json(removals: Sequence[Removal]) -> str:
    """Return the removals as JSON for programs, with their bytes."""
    rows = [
        {
            "path": str(r.path),
            "run": r.run and str(r.run),
            "bytes": r.size,
            "why": r.why,
            "stays": r.stays,
        }
        for r in removals
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2)


def in_words(size: float) -> str:
    """Bytes as people read them: `3.4 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
