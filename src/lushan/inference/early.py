"""What a command names, looked for before anything heavy is imported.

Whatever is refused here is refused later, too, in the same words: then torch has been imported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lushan.common import parsing
from lushan.data import files
from lushan.errors import UserError
from lushan.run.artifacts import is_run
from lushan.run.config_yaml import CONFIG, no_run
from lushan.text import hub

_NAMED = re.compile(r"(\w[\w.-]*)=(.+)")
EXPORTED = "lushan.json"
"""File of lushan in an exported folder."""


def require_run(folder: str | Path) -> None:
    """Make sure that a folder is that of a run, or of an exported one.

    Raises:
        UserError: It is neither.
    """
    place = Path(folder)
    if not any((place / name).is_file() for name in (CONFIG, EXPORTED)):
        raise no_run(place)


def require_runtime(folder: str | Path, runtime: str | None) -> None:
    """Make sure that an exported folder is run by what the user names.

    Args:
        folder: A run, or an exported one.
        runtime: `torch`, or that of a graph; None is whatever runs it.
    """
    path = Path(folder) / EXPORTED
    graph = parsing.read_json(path).get("graph") if path.is_file() else None
    own = "torch" if graph is None else graph["runtime"]
    if runtime not in (None, own):
        hint = f"Write --runtime {own}, or remove --runtime."
        if graph is None:
            hint = f"lushan export RUN FOLDER --format {runtime} exports a model for {runtime}."
        raise UserError(f"this model runs on {own}", key="--runtime", value=runtime, hint=hint)


def is_ours(place: str | Path) -> bool:
    """Return whether a model that writes is a run's, and not one in Hugging Face format."""
    folder = Path(place).expanduser()
    # For a folder that is neither, the error names what a run would have.
    return is_run(folder) or (folder.is_dir() and not (folder / "config.json").is_file())


def require_writer(place: str | Path) -> None:
    """Make sure that there is a model that may write.

    Raises:
        UserError: There is no such folder, package or model of the hub.
    """
    if is_ours(place):
        require_run(Path(place).expanduser())
    else:
        hub.require_known(hub.find(str(place), key="RUN"), key="RUN", what="model")


def is_assistant(place: str) -> bool:
    """Return whether a place is the config of an assistant."""
    return place.endswith((".yaml", ".yml")) and Path(place).is_file()


def named_places(arguments: Sequence[str]) -> list[tuple[str | None, str]]:
    """Return the name, where one is given, and the place of each model: `NAME=PLACE` or `PLACE`.

    Raises:
        UserError: There is no such folder, package or model of the hub.
    """
    found: list[tuple[str | None, str]] = []
    for argument in arguments:
        match = None if Path(argument).expanduser().exists() else _NAMED.fullmatch(argument)
        name, place = (match[1], match[2]) if match else (None, argument)
        if not is_assistant(place):
            require_writer(place)
        found.append((name, place))
    return found


def require_input(path: str | Path) -> None:
    """Make sure that there is an input.

    Raises:
        UserError: There is none; says which names are near.
    """
    if str(path) != "-" and not Path(path).expanduser().is_dir():
        files.find(str(path), None, key="--input")
