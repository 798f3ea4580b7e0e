"""Which file, or the command line, a key of the composed config came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

COMMAND_LINE = "command line"


@dataclasses.dataclass(frozen=True)
class Composition:
    """How the last config was composed.

    Attributes:
        choices: Group to the option that was chosen.
        assigned: Keys that overrides set.
        folders: Where config files are searched, first to last.
        primary: Name of the primary config.
    """

    choices: Mapping[str, str | None]
    assigned: tuple[str, ...]
    folders: tuple[Path, ...]
    primary: str


_last: list[Composition] = []


def remember(composition: Composition) -> None:
    """Keep how a config was composed, until the next one is."""
    _last[:] = [composition]


def forget() -> None:
    """The next config to be judged was not composed: it comes from a run's folder."""
    _last.clear()


def origin(key: str) -> str | None:
    """The file that sets a dotted key, or `command line`; None where it cannot be told."""
    if not _last:
        return None
    composition = _last[0]
    if any(_touches(name, key) for name in composition.assigned):
        return COMMAND_LINE
    found = None
    for file, package in _files(composition):
        if _has(_read(file), _below(key, package)):
            found = str(file)
    return found


def _touches(assigned: str, key: str) -> bool:
    return assigned == key or key.startswith(f"{assigned}.") or assigned.startswith(f"{key}.")


def _files(composition: Composition) -> Iterator[tuple[Path, str]]:
    """The files of a composition and the package of each; what comes later wins."""
    yield from _chain(composition.folders, composition.primary, "")
    global_groups = []
    for group, option in composition.choices.items():
        if option is None or "@" in group:
            continue
        if any(_is_global(path) for path in _find(composition.folders, f"{group}/{option}")):
            global_groups.append((group, option))
        else:
            yield from _chain(composition.folders, f"{group}/{option}", group.replace("/", "."))
    for group, option in global_groups:
        yield from _chain(composition.folders, f"{group}/{option}", "")


def _chain(folders: tuple[Path, ...], name: str, package: str) -> Iterator[tuple[Path, str]]:
    """A file, after the ones of its own group that its defaults list begins with."""
    for path in _find(folders, name):
        for entry in _read(path).get("defaults") or []:
            if isinstance(entry, str) and entry != "_self_":
                yield from _chain(folders, f"{name.rpartition('/')[0]}/{entry}", package)
        yield path, package


def _find(folders: tuple[Path, ...], name: str) -> Iterator[Path]:
    """The first file of a name on the search path."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            yield path
            return


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_global(path: Path) -> bool:
    try:
        return "@package _global_" in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _below(key: str, package: str) -> str | None:
    if not package:
        return key
    return key.removeprefix(f"{package}.") if key.startswith(f"{package}.") else None


def _has(content: Mapping[str, Any], key: str | None) -> bool:
    if key is None:
        return False
    node: Any = content
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
