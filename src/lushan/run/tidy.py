"""Removal of a complete run's checkpoints, but for the weights that were evaluated, `best`."""

from __future__ import annotations

import shutil
from pathlib import Path

from lushan.run import checksums
from lushan.run.artifacts import BEST, BEST_SUMS
from lushan.run.files import TEMPORARY, sha256_file

OTHERS = ("step-*", f"{BEST}-*", f"{TEMPORARY}*")


def left_over(folder: Path) -> list[Path]:
    """Return the checkpoints that `tidy` renames or removes; none where no weights are listed."""
    found = [path for pattern in OTHERS for path in (folder / "checkpoints").glob(pattern)]
    return found if found and checksums.listed_as(folder, BEST_SUMS) else []


def tidy(folder: Path) -> None:
    """Rename the evaluated weights to `best` and remove all others, from wherever that stands.

    Args:
        folder: Of a complete run, owned by this process.
    """
    checkpoints = folder / "checkpoints"
    wanted = checksums.listed_as(folder, BEST_SUMS)
    for path in sorted(checkpoints.glob(f"{BEST}-*")):
        sums = path / Path(BEST_SUMS).name
        if sums.is_file() and sha256_file(sums) == wanted:
            if (checkpoints / BEST).exists():  # of an attempt whose result was removed
                old = checkpoints / f"{TEMPORARY}old-{BEST}"
                shutil.rmtree(old, ignore_errors=True)
                (checkpoints / BEST).rename(old)
            path.rename(checkpoints / BEST)
    if not (checkpoints / BEST).is_dir():  # damaged: nothing is removed before a person has checked
        return
    for path in left_over(folder):
        shutil.rmtree(path, ignore_errors=True)
