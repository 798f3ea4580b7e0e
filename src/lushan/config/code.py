"""The source code behind a config's own targets: what of it there is, and whether it has changed.

A `_target_` of the user's is a file of theirs, with the modules that it imports from beside it.
Nothing is imported to find them: names are looked up as an import would, and imports are read from
the syntax tree. Comments and layout do not count; packages that are installed have a version, and
only the package of the target itself is followed there.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lushan.common import parsing
from lushan.config.allow_list import nodes, user_prefixes
from lushan.config.rules import HYDRA_RULES, RULES
from lushan.errors import RunFailed, UserError
from lushan.run import checksums
from lushan.run.caches import read_note, write_note
from lushan.run.files import intact
from lushan.run.hashes import noted
from lushan.run.identity import is_excluded
from lushan.run.input_changes import INPUTS, changes, in_words

log = logging.getLogger(__name__)

KNOWN = {rule.named.partition(".")[0] for rule in (*RULES, *HYDRA_RULES)}
"""Libraries whose code is known by their version: ours and those that every config may name."""

INSTALLED = {
    str(Path(sysconfig.get_path(name)).resolve())
    for name in ("purelib", "platlib", "stdlib", "platstdlib")
}


CHANGED = "LUSHAN_CHANGED_CODE"
"""In the environment: whether the weights of a run may be used by code that has changed since."""


class Module(NamedTuple):
    """A module that an import would find.

    Attributes:
        name: Dotted.
        file: Where its code is.
        root: The folder that its top-level package or module is in.
        is_package: Whether others may be inside it.
    """

    name: str
    file: Path
    root: Path
    is_package: bool


def sources(config: Mapping[str, Any], memory: Path | None = None) -> dict[str, str]:
    """Return the modules behind the targets that the user allowed, each with a hash of its code.

    Args:
        config: In plain values.
        memory: A folder where what was read of a module is kept.
    """
    user_prefixes()  # the folder that the user works in may be where their package is
    names = dict.fromkeys(
        str(node["_target_"]) for key, node in nodes(config) if not is_excluded(key)
    )
    found: dict[str, str] = {}
    waiting = [m for name in names if name.partition(".")[0] not in KNOWN for m in _chain(name)]
    while waiting:
        module = waiting.pop()
        if module.name in found:
            continue
        found[module.name], imported = _read(module, memory)
        waiting += [
            other
            for name in imported
            if _is_followed(name, module) and name not in found
            for other in _chain(name, module.root)
        ]
    return dict(sorted(found.items()))


def require_same(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Make sure that the weights of a run are used by the code that they were trained with.

    Returns:
        See `require_unchanged`, which also says what it raises.
    """
    return require_unchanged(targets_of(folder), folder, config)


def targets_of(folder: Path) -> dict[str, str]:
    """Return the modules behind a run's targets when it was trained, each with its code's hash."""
    before: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        before = checksums.read_json(folder, INPUTS)
    with intact(folder / INPUTS):
        return dict(before.get("targets") or {})


def require_unchanged(
    targets: Mapping[str, str], folder: Path, config: Mapping[str, Any]
) -> list[str]:
    """Make sure that code is what it was when a model was trained with it.

    Returns:
        A note where the code has changed and the environment allows that.

    Raises:
        UserError: It has changed. Code that is gone raises where it is imported.
    """
    known = {"targets": dict(targets)}
    now = {"targets": sources(config)} if known["targets"] else known
    found = [change for change in changes(known, now) if change.how != "gone"]
    if not found:
        return []
    message = f"{in_words(found)} since {folder} was trained"
    if not os.environ.get(CHANGED):
        raise UserError(
            f"{message}; its predictions now differ from what was evaluated",
            hint=f"Restore the old code, or train again with name=NAME. To use the old weights "
            f"with the new code, set {CHANGED}=1 in the environment.",
        )
    log.warning("note: %s", message)
    return [message]


def _is_followed(name: str, importer: Module) -> bool:
    top = name.partition(".")[0]
    if top in KNOWN:
        return False
    own = importer.name.partition(".")[0]
    return top == own or str(importer.root) not in INSTALLED


def _chain(name: str, root: Path | None = None) -> Iterator[Module]:
    """Yield the modules that importing a dotted name runs; what is no module ends them.

    Args:
        name: Of a module, or of something in it.
        root: The folder it must be in; anywhere when not given.
    """
    dotted, place, inside = "", root, None
    for part in name.split("."):
        dotted = f"{dotted}.{part}" if dotted else part
        spec = _spec(dotted, root) if inside is None else _below(dotted, inside)
        if spec is None or not spec.origin or not Path(spec.origin).is_file():
            return
        file = Path(spec.origin).resolve()
        inside = list(spec.submodule_search_locations or [])
        if place is None:
            place = file.parent.parent if inside else file.parent
        yield Module(dotted, file, place, bool(inside))
        if not inside:
            return


def _spec(name: str, root: Path | None) -> importlib.machinery.ModuleSpec | None:
    with contextlib.suppress(ImportError, ValueError):
        if root is not None:
            return importlib.machinery.PathFinder.find_spec(name, [str(root)])
        return importlib.util.find_spec(name)
    return None


def _below(name: str, folders: list[str]) -> importlib.machinery.ModuleSpec | None:
    return importlib.machinery.PathFinder.find_spec(name, folders)


def _read(module: Module, memory: Path | None) -> tuple[str, list[str]]:
    """Return the hash of a module's code, and the dotted names that it imports."""
    status = module.file.stat()
    note = None if memory is None else memory / f"{noted(module.file, status)}.json"
    if note is not None and (known := read_note(note)) is not None:
        found, imported = parsing.parse_json(known)
        return found, imported
    found, imported = _parsed(module, status.st_size, status.st_mtime_ns)
    if note is not None:
        with contextlib.suppress(RunFailed):
            write_note(note, json.dumps([found, imported]))
    return found, imported


@functools.lru_cache(maxsize=4096)
def _parsed(module: Module, _size: int, _changed: int) -> tuple[str, list[str]]:
    content = module.file.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # compiled, or not yet whole
        return hashlib.sha256(content).hexdigest(), []
    code = ast.unparse(tree).encode("utf-8", "surrogatepass")
    return hashlib.sha256(code).hexdigest(), sorted(set(_imports(tree, module)))


def _imports(tree: ast.AST, module: Module) -> Iterator[str]:
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                start = ".".join([*above, *([node.module] if node.module else [])])
            # What is imported from a package may be a module of it.
            yield from (f"{start}.{alias.name}" for alias in node.names if start)
