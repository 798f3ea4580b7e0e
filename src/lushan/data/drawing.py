"""The parts of a page: what a field draws its values with.

A page draws these few parts and knows no field, so that a new field needs no change of the page.
A part is plain JSON: its name, and what belongs to it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

Part = list[Any]
Mark = tuple[bool, str]
"""Right or wrong, for a piece (a span, a chip), and a few words after it."""


@dataclasses.dataclass(frozen=True)
class Marks:
    """Marks of the pieces of both sides of an example, in the order they are drawn."""

    gold: Sequence[Mark]
    predicted: Sequence[Mark]


def text(content: str) -> Part:
    """Return a text."""
    return ["text", content]


def number(value: float) -> Part:
    """Return a number."""
    return ["number", value]


def chips(names: Sequence[str]) -> Part:
    """Return short names, each a piece that can be marked."""
    return ["chips", list(names)]


def spans(of: str, found: Sequence[tuple[int, int, str, str]]) -> Part:
    """Return the text of another entry with spans, each a piece that can be marked.

    Args:
        of: Name of the entry, whose field draws a text.
        found: First character, the one behind the last, label, and a tooltip or ''.
    """
    return ["spans", of, [[*span] if span[3] else [*span[:3]] for span in found]]


def image(path: str, alternative: str = "") -> Part:
    """Return an image: its file in the run's folder, or one of the data."""
    return ["image", path, alternative]


def turns(note: Sequence[tuple[str, Sequence[Part]]]) -> Part:
    """Return a dialogue: its speakers, and the parts of their messages."""
    return ["turns", [[speaker, list(parts)] for speaker, parts in note]]


def several(parts: Sequence[Part]) -> Part:
    """Return parts one below the other."""
    return ["several", list(parts)]


def value(content: object) -> Part:
    """Return a value of any form, as JSON text."""
    return ["json", json.dumps(content, ensure_ascii=False, default=str)]


def with_images(part: Part, shown: Callable[[str], Part]) -> Part:
    """Return a part in which others stand for the images."""
    kind = part[0]
    if kind == "image":
        return shown(part[1])
    if kind == "several":
        return several([with_images(inner, shown) for inner in part[1]])
    if kind == "turns":
        return turns([(who, [with_images(p, shown) for p in note]) for who, note in part[1]])
    return part
