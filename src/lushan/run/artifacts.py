"""Use of an earlier run as a start: the model that its folder holds."""

from __future__ import annotations

from pathlib import Path

from lushan.common.override_text import typed
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.hashes import files_in

TASK_STATE = "task.json"
SUMS = "checksums.json"
PROCESSOR, ENCODER = "processor", "encoder"
BEST = "best"
BEST_SUMS = f"checkpoints/{BEST}/{SUMS}"
"""Checksum that a complete run keeps of its evaluated weights: of the list of their checksums."""


def is_run(path: str | Path) -> bool:
    """Return whether a path is a run's folder."""
    place = Path(path).expanduser()
    return any(place.joinpath(name).is_file() for name in ("run.json", checksums.RESULT))


def best_weights(folder: Path) -> Path:
    """The best checkpoint's folder: `best` of a complete run, `best-<step>` of another.

    Raises:
        UserError: There is none yet, or it is none of this run's.
    """
    checkpoints = folder / "checkpoints"
    found = [checkpoints / BEST, *sorted(checkpoints.glob(f"{BEST}-*"), reverse=True)]
    whole = next((path for path in found if path.is_dir()), None)
    if whole is None:
        raise UserError(
            "the run has no best checkpoint yet",
            file=folder,
            hint="Train it until its first validation. `lushan runs` shows the state of each run.",
        )
    checksums.require_listed_as(folder, BEST_SUMS, whole / SUMS)
    return whole


def require_checkpoint(key: str, path: str) -> None:
    """Refuse a path that is not the folder of a checkpoint, before anything is loaded."""
    place = Path(path).expanduser()
    if (place / SUMS).is_file() and not is_run(place):
        return
    hint = "Write the path of a run's checkpoints/best, or of a step-... folder next to it."
    if is_run(place):
        problem = "this is the folder of a run, but the weights are in its checkpoint"
        hint = f"Write {typed(key, str(best_weights(place)))}."
    elif not place.exists():
        problem = "the folder does not exist"
    else:
        problem = "this is not a checkpoint folder"
        if (place / BEST / SUMS).is_file():
            hint = f"Write {typed(key, str(place / BEST))}."
        elif (place.parent / SUMS).is_file():  # a file inside one
            hint = f"Write {typed(key, str(place.parent))}."
    raise UserError(problem, key=key, value=path, hint=hint)


def of_run(folder: Path) -> dict[str, Path]:
    """Return what a new run may take from a complete one: its best weights, shape and processor.

    Returns:
        Path inside the folder to the file.

    Raises:
        UserError: The run is not complete.
    """
    folder = folder.expanduser()
    if not (folder / "result.json").is_file():
        raise UserError(
            "the run to start from is not complete: it has no result.json",
            key="init_from",
            value=str(folder),
            hint="Run the command that started it to resume. `lushan runs` lists all runs.",
        )
    parts = (ENCODER, PROCESSOR, str(best_weights(folder).relative_to(folder)))
    return {f"{p}/{name}": file for p in parts for name, file in files_in(folder / p)}
