"""Meanings of arguments, from the docstrings of what takes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Attributes|Keyword Args):\s*$")
_ENTRY = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:\s*(.*)$")


def meanings_of(thing: object) -> dict[str, str]:
    """Return the meaning of each argument, from the docstrings of a callable and its bases."""
    several = thing.__mro__[:-1] if isinstance(thing, type) else [thing]
    found: dict[str, str] = {}
    for one in several:
        for documented in (one, vars(one).get("__init__") if isinstance(one, type) else None):
            for name, text in _entries(inspect.getdoc(documented) or ""):
                found.setdefault(name, text)
    return found


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
