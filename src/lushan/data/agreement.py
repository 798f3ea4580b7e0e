"""Agreement of a corpus's splits with its task and with one another, and notes on oddities."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping

from lushan.common.arrays import pa
from lushan.data.field_roles import required
from lushan.data.field_tables import classes, distinct_classes, keys, present, usual
from lushan.data.fields import Field, Fields
from lushan.errors import UserError, shorten

MOST_NAMED = 5
"""Groups of labels that look alike which a note names."""


def require_fields(wanted: Fields, given: Fields) -> None:
    """Refuse data that has not the fields that a task reads."""
    missing = {
        name: field
        for name, field in wanted.items()
        if not field.optional and not isinstance(given.get(name), type(field))
    }
    if missing:
        by_source: dict[str, Fields] = {}
        for name, field in missing.items():
            by_source.setdefault(field.sources, {})[name] = field
        raise UserError(
            f"this task reads {_described(wanted)}, but the data contain {_described(given)}",
            key="data",
            hint=" ".join(f"For {_described(f)}: {s}" for s, f in by_source.items()),
        )


def _described(fields: Fields) -> str:
    return ", ".join(f"{name} ({fields[name].what})" for name in required(fields))


def require_alike(tables: Mapping[str, pa.Table], fields: Fields | None) -> dict[str, Field]:
    """Return the fields of all splits.

    Args:
        tables: Split to table.
        fields: What was looked for; None takes the columns for what their names say.

    Raises:
        UserError: The splits do not hold the same.
    """
    found = {
        split: usual(table) if fields is None else present(fields, table)
        for split, table in tables.items()
    }
    first = next(iter(found))
    for split, here in found.items():
        if required(here) != required(found[first]):
            raise UserError(
                f"{split} holds {', '.join(here)}, and {first} {', '.join(found[first])}",
                key=f"data.{split}",
            )
    return found[first]


def remarks(tables: Mapping[str, pa.Table], fields: Fields) -> list[str]:
    """Return what is odd about the examples and still allowed, counted."""
    notes = []
    train: set[tuple[str, ...]] = set()
    for split, table in tables.items():
        rows = keys(table, fields)
        blank = sum(not any(part.strip() for part in key) for key in rows)
        if blank:
            notes.append(f"{split}: {blank} of {len(rows)} texts are empty")
        if split == "train":
            train = set(rows)
        elif shared := sum(key in train for key in rows):
            notes.append(f"{split}: {shared} of {len(rows)} texts also occur in train")
    return notes + [f"train: {alike}" for alike in _alike(tables.get("train"), fields)]


def _alike(table: pa.Table | None, fields: Fields) -> list[str]:
    """Return the labels of a table that look like one, with the number of examples of each."""
    if table is None:
        return []
    groups: dict[str, list[str]] = {}
    for label in sorted(distinct_classes(table, fields)):
        form = unicodedata.normalize("NFKC", label).casefold()
        groups.setdefault(" ".join(form.split()), []).append(label)
    groups = {form: labels for form, labels in groups.items() if len(labels) > 1}
    if not groups:
        return []
    counts = Counter(label for row in classes(table, fields) or () for label in set(row))
    named = [
        " and ".join(f"{shorten(label)} ({counts[label]:,})" for label in labels)
        for labels in list(groups.values())[:MOST_NAMED]
    ]
    more = f"; and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else ""
    return [f"labels differ in case, spaces or width alone: {'; '.join(named)}{more}"]
