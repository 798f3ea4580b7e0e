"""Signatures of the callables that configs name, kept on disk.

Importing what a config names costs seconds (Lightning alone six); comparing a config with what was
read last time costs milliseconds. An entry holds as long as the files it was read from do: their
path, size and time of change stand in it. The same name may be found in several places (two
checkouts, two projects with a package of one name): each has an entry of its own.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import json
import math
import os
import re
import sys
import textwrap
import time
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lushan.common import parsing
from lushan.config.allow_list import Identity, identify, locate, require_allowed, rule_for
from lushan.config.docstrings import meanings_of
from lushan.config.types import ANY, Kind, kind_of, writable
from lushan.errors import RunFailed, UserError
from lushan.run.caches import read_note, write_note
from lushan.version import VERSION

FORMAT = 10
"""Version of the entries; a change makes old ones unread."""

LIMIT = 4096
"""Signatures that are kept, and verdicts, the latest ones."""

_BEGAN = time.time_ns()
"""A file that has changed since this process began may not be what the process has imported."""

_PARTS = ("signatures", "verdicts")
"""Of the file: what was read, and what `lushan.config.check_cache` keeps."""

_PRETRAINED_CONFIG = "transformers.configuration_utils.PreTrainedConfig"


@dataclass(frozen=True)
class Parameter:
    """One argument.

    Attributes:
        name: Its name.
        kind: The values it takes; see `lushan.config.types`.
        positional: Whether it may be given by position.
        required: Whether it has no default.
        default: Its default alone, as JSON can write it; empty where none is known.
        meaning: From the docstring; empty where that says nothing.
    """

    name: str
    kind: Kind
    positional: bool
    required: bool
    default: tuple[Any, ...] = ()
    meaning: str = ""

    @property
    def late(self) -> bool:
        """Return whether code gives it: required, and nothing that YAML can write."""
        return self.required and (not self.positional or not writable(self.kind))


@dataclass(frozen=True)
class Signature:
    """Signature of a target.

    Attributes:
        identity: What it really is.
        parameters: Name to argument.
        open: Whether it takes names beyond these (`**kwargs` that go nowhere we can see).
        checks: Whether it has a `check(cfg)` or `measures(node, added)` of its own, by name.
    """

    identity: Identity
    parameters: Mapping[str, Parameter]
    open: bool
    checks: tuple[str, ...] = ()


def signature(name: str, key: str = "") -> Signature:
    """Return the signature of a target, which is checked against the allow-list first.

    Raises:
        UserError: The target is not allowed, or there is no such thing.
    """
    rule_for(name, key)
    entry = _entry(name)
    if entry is not None and unchanged(entry["files"]):
        found = msgspec.convert(entry["signature"], Signature)
    else:
        thing = locate(name, key)
        found = read(thing)
        _cache()["signatures"][_place(name)] = {
            "files": _files(thing, name),
            "signature": msgspec.to_builtins(found),
        }
        save()
    # Also what was remembered: the rules may have changed since.
    require_allowed(name, found.identity, key)
    return found


def read(thing: Callable[..., Any]) -> Signature:
    """The signature of a class or function.

    Where a class hands `**kwargs` on to the class it derives from, the arguments of that count, but
    for those that it gives itself: an F1 score is an F-beta score whose `beta` is 1.
    """
    parameters: dict[str, Parameter] = {}
    given: set[str] = set()
    open_ = False
    meanings = meanings_of(thing)
    for layer in layers(thing):
        own = own_signature(layer)
        if own is None:
            open_ = True
            break
        hints = _hints(layer, thing)
        open_ = any(p.kind is p.VAR_KEYWORD for p in own.parameters.values())
        for p in own.parameters.values():
            if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or p.name in ("self", "cls", *given):
                continue
            parameters.setdefault(
                p.name,
                Parameter(
                    p.name,
                    _kind(hints.get(p.name, p.annotation), p.default),
                    p.kind is not p.KEYWORD_ONLY,
                    p.default is p.empty,
                    () if p.default is p.empty else (_in_json(p.default),),
                    meanings.get(p.name, ""),
                ),
            )
        given |= _given(layer) - set(parameters)
        if not open_:
            break
    for name in sorted(_attributes_of_model_code(thing)):
        parameters.setdefault(name, Parameter(name, ANY, False, False, (), meanings.get(name, "")))
    checks = tuple(n for n in ("check", "measures") if callable(getattr(thing, n, None)))
    return Signature(identify(thing), parameters, open_, checks)


def _given(layer: Any) -> set[str]:
    """Return the arguments that a class gives to the one it derives from, by name."""
    made = vars(layer).get("__init__") if isinstance(layer, type) else layer
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(made)))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):  # without a source: written in C, or generated
        return set()
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    above = (call for call in calls if getattr(call.func, "attr", None) == "__init__")
    return {keyword.arg for call in above for keyword in call.keywords if keyword.arg}


def _kind(annotation: object, default: object) -> Kind:
    if annotation is inspect.Parameter.empty:
        return ANY
    kind = kind_of(annotation)
    # `x: int = None` is often written and means what it says.
    return ["union", kind, ["none"]] if default is None and kind != ANY else kind


def _in_json(value: object) -> Any:
    """Return a default in JSON's types: a callable by its dotted name, others as Python does."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_in_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _in_json(one) for name, one in value.items()}
    name = getattr(value, "__qualname__", None) if callable(value) else None
    return repr(value) if name is None else f"{value.__module__}.{name}"


def layers(thing: object) -> list[Any]:
    """The callables whose signatures make up that of `thing`, the outermost first."""
    if not isinstance(thing, type):
        return [thing]
    # A class first as a whole: that heeds __signature__, __new__ and metaclasses.
    above = [vars(c)["__init__"] for c in thing.__mro__[1:-1] if "__init__" in vars(c)]
    if "__init__" not in vars(thing):
        above = above[1:]
    return [thing, *above]


def own_signature(layer: Any) -> inspect.Signature | None:
    """Return a callable's own signature; None of what was written in C without one."""
    try:
        return inspect.signature(layer)
    except (ValueError, TypeError):  # written in C, without a signature
        return None


def _hints(layer: object, thing: object) -> dict[str, Any]:
    """Annotations, resolved one by one: one that needs an unimported name spoils no other."""
    spaces = []
    classes = thing.__mro__ if isinstance(thing, type) else ()
    for function in (layer, *(vars(c).get("__init__") for c in classes)):
        bare = inspect.unwrap(function) if callable(function) else None
        if isinstance(bare, types.FunctionType):
            spaces.append(bare.__globals__)
    spaces += [vars(sys.modules[c.__module__]) for c in classes if c.__module__ in sys.modules]
    own = own_signature(layer)
    hints = {}
    for name, p in own.parameters.items() if own else ():
        if p.annotation is not p.empty:
            hints[name] = _resolve(p.annotation, spaces)
    return hints


def _resolve(annotation: object, spaces: list[dict[str, Any]]) -> Any:
    carrier = types.SimpleNamespace(__annotations__={"x": annotation})
    for space in spaces or [{}]:
        with contextlib.suppress(Exception):
            return typing.get_type_hints(carrier, globalns=space, include_extras=True)["x"]
    return Any


def _attributes_of_model_code(thing: object) -> set[str]:
    """The attributes of a config that its model's code reads.

    A config of transformers takes any name; the ones that do something are its arguments and what
    the `modeling_*.py` beside it asks for, such as DeBERTa's `position_buckets`.
    """
    if _PRETRAINED_CONFIG not in identify(thing).bases:
        return set()
    found = set()
    for path in _modeling_files(thing):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'getattr\((?:self\.)?config, "([a-z]\w*)"', text))
        found |= set(re.findall(r"(?<!\w)config\.([a-z]\w*)(?![\w(])", text))
    return found


def _modeling_files(thing: object) -> list[Path]:
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return sorted(Path(file).parent.glob("modeling_*.py")) if file else []


# On disk


def cache_file() -> Path:
    """Return the file that signatures are kept in: below `$XDG_CACHE_HOME`, or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    version = f"{VERSION}-py{sys.version_info.major}{sys.version_info.minor}"
    return Path(home).expanduser() / "lushan" / f"signatures-{version}-{FORMAT}.json"


_entries: dict[Path, dict[str, Any]] = {}


def files_of(name: str) -> list[list[Any]]:
    """Path, size and time of the files that a target's signature was read from."""
    return list(_cache()["signatures"][_place(name)]["files"])


def known_parameters(name: object) -> list[str]:
    """Return the arguments of a target that YAML can write, where they were read before."""
    entry = _entry(name) if isinstance(name, str) else None
    parameters = entry["signature"]["parameters"] if entry else {}
    return [known for known, p in parameters.items() if writable(p["kind"])]


def parameters_of(name: object) -> list[str]:
    """Return the arguments of a target that YAML can write; none where it may not be imported.

    What was not read before is read now, which may import it.
    """
    try:
        found = signature(name) if isinstance(name, str) else None
    except UserError:
        return []
    return [p.name for p in found.parameters.values() if writable(p.kind)] if found else []


def stamps(paths: Iterable[str | None]) -> list[list[Any]]:
    """Return path, size and time of some files; no file has the time of one that is too new."""
    found = [(path, *_stamp(path)) for path in sorted(filter(None, set(paths)))]
    return [[path, size, at if at < _BEGAN else -time.time_ns()] for path, size, at in found]


def unchanged(files: list[list[Any]]) -> bool:
    """Return whether files are as they were when `stamps` read them."""
    try:
        return all(_stamp(path) == (size, time) for path, size, time in files)
    except OSError:
        return False


def check_results() -> dict[str, Any]:
    """Return what `lushan.config.check_cache` keeps."""
    return _cache()["verdicts"]


def _cache() -> dict[str, Any]:
    path = cache_file()
    if path not in _entries:
        _entries[path] = _load(path)
    return _entries[path]


def _load(path: Path) -> dict[str, Any]:
    """Read what is kept: nothing where it is not what was written, which a hash in it says."""
    text = read_note(path)
    if text is None:
        return {part: {} for part in _PARTS}
    return dict(parsing.parse_json(text, bounded=False))


def save() -> None:
    """Write what was read beside what other processes have written meanwhile.

    Without a folder to write to, the next command reads again.
    """
    path = cache_file()
    known = _load(path)
    for part, own in _entries[path].items():
        kept = {name: entry for name, entry in known[part].items() if name not in own} | own
        known[part] = dict(list(kept.items())[-LIMIT:])
    with contextlib.suppress(OSError, RunFailed):
        write_note(path, json.dumps(known))


def _files(thing: object, name: str) -> list[list[Any]]:
    """Path, size and time of the files a signature was read from, and of those on the way."""
    parts = name.split(".")
    modules = {".".join(parts[:i]) for i in range(1, len(parts))} | {thing.__module__}
    if isinstance(thing, type):
        modules |= {c.__module__ for c in thing.__mro__}
    paths = {getattr(sys.modules.get(m), "__file__", None) for m in modules}
    if _PRETRAINED_CONFIG in identify(thing).bases:
        paths |= {str(p) for p in _modeling_files(thing)}
    return stamps(paths)


def _stamp(path: str) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def _entry(name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = _cache()["signatures"].get(_place(name))
    return found


def _place(name: str) -> str:
    """Return a target's name with the file that an import would find for its package."""
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except ValueError:  # of a module that was put together by hand
        spec = None
    return f"{name} {None if spec is None else spec.origin}"
