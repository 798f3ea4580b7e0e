"""Inputs of a run besides its data: files that its config names, and the code of its targets.

This is the one place that says so. A string is a file's name where there is a file of that name;
a folder's likewise, where a key is one that names places. Of an earlier run what it left of its
model is read. Callbacks and loggers also write: of them files alone count, and of Lightning's
none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lushan.config import code
from lushan.run import hashes
from lushan.run.artifacts import is_run, of_run
from lushan.run.identity import LOCATIONS, PATHS, relevant
from lushan.run.places import PACKAGE, in_package

Inputs = dict[str, dict[str, str]]
"""`data`: split to hash; `files`: key, or key/file, to hash; `targets`: module to hash."""

OF_SOURCE = re.compile(rf"(data|data\.sources\.[^.]+)\.({'|'.join(k[5:] for k in PATHS)}|path)")
"""Keys whose files a data source hashes itself."""

WRITERS = ("callbacks", "trainer")
"""Groups whose folders are written to."""

LIGHTNING = "pytorch_lightning."

_NAMES_A_PLACE = re.compile(r"(^|[._])(path|dir|folder)$")


def read_by(config: Mapping[str, Any]) -> Inputs:
    """Return a hash of each file that a config names, and of each module behind its targets.

    Raises:
        UserError: A file cannot be read, or an earlier run is not complete.
    """
    memory = Path(config["paths"]["cache_dir"]).expanduser() / "hashes"
    found: dict[str, str] = {}
    seen: set[Path] = set()
    for key, place in sorted(named(config)):
        if place in seen:  # model.path is mostly processor.path too
            continue
        seen.add(place)
        if is_run(place):
            files = of_run(place)
        elif place.is_dir():
            files = dict(hashes.files_in(place))
        else:
            found[key] = hashes.sha256(place, memory=memory)
            continue
        found |= {f"{key}/{n}": hashes.sha256(file, memory=memory) for n, file in files.items()}
    return {"files": found, "targets": code.sources(config, memory)}


def named(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the dotted keys that name a file or folder which is there, and where it is."""
    for key, value in _texts(relevant(config)):
        place = None if OF_SOURCE.fullmatch(key) else _place(key, value)
        if place is not None:
            yield key, place


def _texts(node: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all strings of a config with their dotted keys, less those such as `_target_`."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        if not str(node.get("_target_", "")).startswith(LIGHTNING):
            for name, value in node.items():
                if name not in ("_target_", "_convert_"):
                    yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _texts(value, f"{key}.{number}")


def _place(key: str, value: str) -> Path | None:
    if value.startswith(PACKAGE):
        return in_package(value, key)
    if "://" in value or not any(map(str.isalnum, value)):
        return None
    path = Path(value).expanduser()
    with contextlib.suppress(OSError, ValueError):  # too long for a name, or no name at all
        if path.is_file() or (path.is_dir() and _may_be_folder(key, value)):
            return path
    return None


def _may_be_folder(key: str, value: str) -> bool:
    if key.partition(".")[0] in WRITERS:
        return False
    return key in LOCATIONS or bool(_NAMES_A_PLACE.search(key)) or len(Path(value).parts) > 1
