"""Meanings of arguments, from the docstrings of what takes them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterator

_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Attributes|Keyword Args):\s*$")
_ENTRY = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:\s*(.*)$")
_REFERENCE = re.compile(r"See `([\w.]+)`(?:[.;] ?|$)")


def meanings_of(thing: object, seen: Collection[object] = ()) -> dict[str, str]:
    """Return the meaning of each argument, from the docstrings of a callable and its bases.

    Where one only says in whose docstring it is (``See `fresh`.``), it is taken from there.

    Args:
        thing: The callable.
        seen: Callables that have referred to it.
    """
    several = thing.__mro__[:-1] if isinstance(thing, type) else [thing]
    found: dict[str, str] = {}
    for one in several:
        for documented in (one, vars(one).get("__init__") if isinstance(one, type) else None):
            for name, text in _entries(inspect.getdoc(documented) or ""):
                found.setdefault(name, text)
    return {name: _followed(text, name, thing, seen) for name, text in found.items()}


def _followed(text: str, name: str, thing: object, seen: Collection[object]) -> str:
    """Return the meaning of an argument, that of another callable where it refers to it."""
    reference = _REFERENCE.match(text)
    if reference is None:
        return text
    other = _named(reference[1], thing)
    known = {} if other is None or other in seen else meanings_of(other, [*seen, thing])
    return f"{known.get(name, '')} {text[reference.end() :]}".strip()


def _named(name: str, thing: object) -> object | None:
    """Return what a dotted name in the docstring of a callable means; None where it is unknown."""
    found: object = sys.modules.get(getattr(thing, "__module__", ""))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def _entries(doc: str) -> Iterator[tuple[str, str]]:
    """Give the entries of the sections of arguments of a docstring: name and text."""
    lines = doc.splitlines()
    for start, line in enumerate(lines):
        if _SECTION.match(line) is None:
            continue
        depth = _depth(line)
        name, level = "", 0
        texts: list[str] = []
        for inner in [*lines[start + 1 :], "end"]:
            if inner.strip() and _depth(inner) <= depth:
                break
            level = level or _depth(inner)
            match = _ENTRY.match(inner) if _depth(inner) == level else None
            if match is not None:
                if name:
                    yield name, " ".join(texts).strip()
                name, texts = match[1], [match[2]]
            else:
                texts.append(inner.strip())
        if name:
            yield name, re.sub(r"\s+", " ", " ".join(texts)).strip()


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0
