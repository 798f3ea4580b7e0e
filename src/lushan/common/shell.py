"""Words of a shell command, quoted so that they stay easy to read."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

_EXPANDED = frozenset('"$`\\!')
"""Characters that mean something within double quotes."""


def quote(word: str) -> str:
    """Return a word as it is written in a shell.

    `shlex.quote` writes `a='b'` as `'a='"'"'b'"'"''`; here it is `"a='b'"`.
    """
    if "'" in word and not _EXPANDED & set(word):
        return f'"{word}"'
    return shlex.quote(word)


def join(words: Iterable[str]) -> str:
    """Return words as they are written in a shell, with spaces between them."""
    return " ".join(map(quote, words))
