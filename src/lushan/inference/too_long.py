"""The error of a prompt that leaves no room for a text."""

from __future__ import annotations

from typing import Any

from lushan.errors import UserError


class TooLong(UserError):
    """A prompt that leaves no room for a text."""


def too_long(tokens: object, most: int, **place: Any) -> TooLong:
    """Return the error of a prompt.

    Args:
        tokens: How many it has.
        most: Tokens of prompt and text together.
        place: Where it comes from: `key`, or `file` and `line`.
    """
    return TooLong(
        f"this prompt has {tokens} tokens, and prompt and text together have room for {most}",
        **place,
        hint="Shorten it: the text near its end counts most.",
    )
