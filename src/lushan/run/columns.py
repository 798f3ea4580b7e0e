"""Columns of text for the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from itertools import zip_longest

CUT = "…"
"""Mark where something was cut out of a text."""


def display_width(text: str) -> int:
    """Places that a text takes on a terminal, where Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """A text filled up with blanks; to its left where it stands at the right."""
    blanks = " " * (width - display_width(text))
    return blanks + text if right else text + blanks


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The rows as lines whose columns stand below each other.

    Args:
        rows: Of the same length.
        right: Which columns stand at the right, from 0.
    """
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            padded(cell, width, right=place in right)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shortened(text: str, longest: int) -> str:
    """Return a text with its middle cut out where it takes more places than it may."""
    if display_width(text) <= longest:
        return text
    head, tail = "", ""
    for front, back in zip(text, reversed(text), strict=True):
        if display_width(head + front + tail) >= longest:
            break
        head += front
        if display_width(head + back + tail) >= longest:
            break
        tail = back + tail
    return head + CUT + tail


def distinguished(texts: Sequence[str], longest: int) -> list[str]:
    """Return different texts, no longer than they may be, such that they still are different.

    Where the middle that is cut out is what differs, all before it is cut out as well.

    Args:
        texts: All different.
        longest: Places of each, 16 or more.
    """
    found = [shortened(text, longest) for text in texts]
    for short in {text for text in found if found.count(text) > 1}:
        places = [i for i, text in enumerate(found) if text == short]
        letters = zip_longest(*(texts[i] for i in places))
        shared = next(at for at, those in enumerate(letters) if len(set(those)) > 1)
        for number, i in enumerate(places, 1):
            found[i] = _begun(f"{texts[i][:4]}{CUT}{texts[i][max(4, shared - 4) :]}", longest - 5)
            if found[i] in found[:i]:
                found[i] += f" ({number})"
    return found


def _begun(text: str, longest: int) -> str:
    """Return a text with its end cut off where it takes more places than it may."""
    if display_width(text) <= longest:
        return text
    while display_width(text) >= longest:
        text = text[:-1]
    return text + CUT
