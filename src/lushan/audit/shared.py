"""Texts of the other splits that stand in the training split too, counted when training begins.

Each run asks this, so it must cost next to nothing: what would take longer is left to an audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from lushan.audit import texts
from lushan.audit.parts import Keeping, shared_parts
from lushan.data.fields import Fields

LARGEST = 1 << 25
"""Bytes of all texts up to which they are compared: about a second's work."""
REMARK = "texts also occur in train"
"""End of a source's own note, which counts letter by letter, and before `limit`."""


def copies_of_train(splits: Mapping[str, pa.Table], fields: Fields) -> dict[str, list[bool]] | None:
    """Find the rows of each other split whose text is in train, normalised and not empty.

    Returns:
        Split to whether each row is one; None where there is too much text to compare it in
        passing.
    """
    if sum(texts.size(table, fields) for table in splits.values()) > LARGEST:
        return None
    others = {
        split: [
            texts.digest(key) if (key := texts.key_of(parts)) else None
            for parts in texts.parts_of(table, fields)
        ]
        for split, table in splits.items()
        if split != "train"
    }
    wanted = {digest for found in others.values() for digest in found}
    train = (texts.digest(texts.key_of(parts)) for parts in texts.parts_of(splits["train"], fields))
    learned = wanted.intersection(train) if wanted - {None} else set()
    return {split: [digest in learned for digest in found] for split, found in others.items()}


def notes_of(
    splits: Mapping[str, pa.Table],
    fields: Fields,
    notes: Sequence[str],
    keeping: Keeping | None = None,
) -> list[str]:
    """Return the notes of a corpus, with one form for what its splits share.

    Args:
        splits: Of the corpus, as they are trained and evaluated on.
        fields: What their columns hold.
        notes: Of its source; its own remarks on that are replaced, where there is a count.
        keeping: What would keep values of a field in one split.
    """
    if "train" not in splits:
        return list(notes)
    copies = copies_of_train(splits, fields)
    lines = [
        f"{sum(rows):,} of {len(rows):,} {split} texts also in train"
        for split, rows in (copies or {}).items()
        if any(rows)
    ]
    lines += [part.sentence for part in shared_parts(splits, fields, copies, keeping)]
    return lines + (list(notes) if copies is None else others_of(notes))


def others_of(notes: Sequence[str]) -> list[str]:
    """Return a source's notes without its own remarks about what splits share."""
    return [note for note in notes if not note.endswith(REMARK)]
