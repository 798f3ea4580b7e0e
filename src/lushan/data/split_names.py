"""What published sets call a split."""

from __future__ import annotations

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing"),
}
"""Split to its usual names, in small letters."""


def split_of(value: object) -> str | None:
    """Return the split that a value names; None where it names none."""
    name = str(value).strip().lower()
    return next((split for split, known in NAMES.items() if name in known), None)
