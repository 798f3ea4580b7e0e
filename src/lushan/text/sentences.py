"""Ends of sentences in English and Chinese, as a lead baseline needs them."""

from __future__ import annotations

import re

_CLOSING = r"[”’\"'」』》）)\]]*"
_END = re.compile(
    rf"[。！？!?…]+{_CLOSING}"  # for itself
    rf"|\.+{_CLOSING}(?=\s+[^\sa-z]|\s*$)"  # only where something new begins
    r"|\n\s*\n"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|e\.g|i\.e|cf|vs|etc|al|resp|approx|Fig|Figs|Eq|Eqs|Sec|Ch|No|vol|pp"
    r"|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|Inc|Ltd|Co|U\.S|U\.K)$"
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, without what stands between them.

    A full stop ends one where a blank and no small letter follow, and no abbreviation or single
    letter stands before it; the marks 。！？!?… end one anywhere, and so does an empty line.
    """
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if (
            end[0][0] == "."
            and len(end[0]) == 1
            and _ABBREVIATION.search(text[start : end.start()])
        ):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def first_sentence(text: str) -> str:
    """The first sentence of a text; '' where it is empty."""
    return next(iter(sentences(text)), "")
