"""Lists that were written as text: `['a', 'b']` in CSV, as pandas and numpy leave them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any

from lushan.common.parsing import parse_json

BRACKETS = {"[": "]", "(": ")", "{": "}"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_list(text: str) -> list[Any] | None:
    """A list that was written as JSON, by Python or by numpy; None where a text is no list."""
    text = text.strip()
    if not text or BRACKETS.get(text[0]) != text[-1]:
        return None
    try:
        found = parse_json(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return _numpy_numbers(text)
    if not isinstance(found, list | tuple | set):
        return None
    return _numpy_texts(text) or (sorted(found, key=str) if isinstance(found, set) else list(found))


def _numpy_texts(text: str) -> list[str] | None:
    """`['a' 'b']`, which to Python is one text: 'ab'."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    inner = [t for t in tokens if t.type not in (tokenize.NL, tokenize.NEWLINE)][1:-2]
    alone = len(inner) > 1 and all(t.type == tokenize.STRING for t in inner)
    return [str(ast.literal_eval(t.string)) for t in inner] if alone else None


def _numpy_numbers(text: str) -> list[Any] | None:
    """`[0 1 0]`, `[0. 1.]` and `[False True]`."""
    words = text[1:-1].split()
    if text[0] != "[" or not words:
        return None
    if all(word in ("True", "False") for word in words):
        return [word == "True" for word in words]
    return [float(word) for word in words] if all(map(NUMBER.fullmatch, words)) else None
