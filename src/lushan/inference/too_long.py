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
        f"this prompt has {tokens} tokens, but the limit of prompt and generated text together is "
        f"{most}",
        **place,
        hint="Shorten it from the start: the end matters most.",
    )
