"""Texts of the other splits that stand in the training split too, counted when training begins.

Each run asks this, so it must cost next to nothing: what would take longer is left to an audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from lushan.audit import texts
from lushan.data.fields import Fields

LARGEST = 1 << 25
"""Bytes of all texts up to which they are compared: about a second's work."""
REMARK = "texts also occur in train"
"""End of a source's own note, which counts letter by letter, and before `limit`."""


def shared_with_train(splits: Mapping[str, pa.Table], fields: Fields) -> dict[str, int] | None:
    """Count the texts of each other split that are in train, normalised and without empty ones.

    Returns:
        Split to count; None where there is too much text to compare it in passing.
    """
    if sum(texts.size(table, fields) for table in splits.values()) > LARGEST:
        return None
    others = {
        split: [
            texts.digest(key)
            for parts in texts.parts_of(table, fields)
            if (key := texts.key_of(parts))
        ]
        for split, table in splits.items()
        if split != "train"
    }
    wanted = {digest for found in others.values() for digest in found}
    if not wanted:
        return dict.fromkeys(others, 0)
    train = (texts.digest(texts.key_of(parts)) for parts in texts.parts_of(splits["train"], fields))
    learned = wanted.intersection(train)
    return {split: sum(digest in learned for digest in found) for split, found in others.items()}


def notes_of(splits: Mapping[str, pa.Table], fields: Fields, notes: Sequence[str]) -> list[str]:
    """Return the notes of a corpus, with one form for what its splits share.

    Args:
        splits: Of the corpus, as they are trained and evaluated on.
        fields: What their columns hold.
        notes: Of its source; its own remarks on that are replaced, where there is a count.
    """
    counts = shared_with_train(splits, fields) if "train" in splits else None
    if counts is None:
        return list(notes)
    lines = [
        f"{count:,} of {splits[split].num_rows:,} {split} texts also in train"
        for split, count in counts.items()
        if count
    ]
    return lines + others_of(notes)


def others_of(notes: Sequence[str]) -> list[str]:
    """Return a source's notes without its own remarks about what splits share."""
    return [note for note in notes if not note.endswith(REMARK)]
