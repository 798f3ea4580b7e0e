"""Counts in sentences."""

from __future__ import annotations


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return so many of something: `1 tag is`, `2 tags are`.

    Args:
        count: How many.
        one: What it is called where it is one.
        many: What otherwise; `one` with an s when not given.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
