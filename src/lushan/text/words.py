"""Words of raw text with their places, and text of words."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence

Offsets = list[tuple[int, int]]

_HAN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ALONE = rf"{_HAN}\u3001-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_ASCII = re.compile(r"[@#]?[A-Za-z0-9](?:\S*[A-Za-z0-9])?|\S")


@functools.cache  # large sets of characters take milliseconds to compile
def _alone() -> re.Pattern[str]:
    return re.compile(f"[{_ALONE}]")


@functools.cache
def _runs() -> re.Pattern[str]:
    return re.compile(rf"[{_ALONE}]|[^\s{_ALONE}]+")


def split_words(text: str) -> tuple[list[str], Offsets]:
    """Split text into words: what stands between blanks, with the marks at its edges peeled off.

    Each Chinese character, and each kana, is a word. Marks inside a word stay (`don't`, `3.5`), and
    so do `@` and `#` before one.

    Returns:
        The words, and the characters [start, end) of each.
    """
    words: list[str] = []
    offsets: Offsets = []
    for run in _runs().finditer(text):
        for start, end in _pieces(run[0]):
            words.append(run[0][start:end])
            offsets.append((run.start() + start, run.start() + end))
    return words, offsets


def _pieces(run: str) -> Iterable[tuple[int, int]]:
    if len(run) == 1:
        return [(0, 1)]
    if run.isascii():
        return [match.span() for match in _ASCII.finditer(run)]
    start, end = 0, len(run)
    while start < end and _is_mark(run[start]):
        start += 1
    while end > start and _is_mark(run[end - 1]):
        end -= 1
    if start and start < end and run[start - 1] in "@#":
        start -= 1
    before = [(i, i + 1) for i in range(start)]
    after = [(i, i + 1) for i in range(end, len(run))]
    return [*before, *([(start, end)] if start < end else []), *after]


@functools.cache
def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def join_words(words: Sequence[str]) -> tuple[str, Offsets]:
    """Write words as text, with a blank between them except next to a Chinese character.

    Returns:
        The text, and the characters [start, end) of each word.
    """
    parts: list[str] = []
    offsets: Offsets = []
    at, before = 0, ""
    for word in words:
        if parts and not (_is_alone(before[-1:]) and _is_alone(word[:1])):
            parts.append(" ")
            at += 1
        parts.append(word)
        offsets.append((at, at + len(word)))
        at += len(word)
        before = word
    return "".join(parts), offsets


def _is_alone(character: str) -> bool:
    return bool(_alone().match(character))


def locate_words(words: Sequence[str], text: str) -> Offsets | None:
    """Find words in the text that they come from; None where one is not there in its order."""
    offsets: Offsets = []
    at = 0
    for word in words:
        start = text.find(word, at)
        if start < 0 or text[at:start].strip():
            return None
        at = start + len(word)
        offsets.append((start, at))
    return offsets
