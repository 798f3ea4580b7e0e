"""Predictions of items: as people see them, and as a run stores them."""

from __future__ import annotations

import pyarrow as pa

from lushan.data.catalogue import Catalogue
from lushan.tasks.evaluation import Records

SHOWN = 10
"""Items of a stored prediction, and the last ones of a history that it shows."""


def users(table: pa.Table) -> list[str]:
    """Return the user of each row."""
    named = "user" if "user" in table.column_names else "id"
    return [str(user) for user in table.column(named).to_pylist()]


def shown(table: pa.Table, joined: Records, items: Catalogue) -> Records:
    """Return what `lushan predict` writes of each row."""
    read = [name for name in ("user", "history") if name in table.column_names]
    columns = [table.column(name).to_pylist() for name in read]
    numbers = items.numbers()
    found = []
    for row, *values in zip(joined, *columns, strict=True):
        given = dict(zip(read, values, strict=True))
        found.append({"id": row["id"], **given, "predicted": row["predicted"]})
        if unknown := [item for item in given.get("history", ()) if item not in numbers]:
            found[-1]["unknown"] = unknown
        found[-1]["top"] = [
            {"item": items.ids[n], "title": items.titles[n], "score": score}
            for n, score in zip(row["top"], row["scores"], strict=True)
        ]
    return found


def stored(table: pa.Table, joined: Records, items: Catalogue) -> Records:
    """Return the record of each row, items by their titles."""
    titles = [*items.titles, "(not in the catalogue)"]
    number = items.numbers()
    rows = zip(joined, users(table), table.column("history").to_pylist(), strict=True)
    return [
        {
            "id": row["id"],
            "user": user,
            "history": [titles[number.get(i, len(number))] for i in had[-SHOWN:]],
            "gold": [titles[n] for n in row["right"]],
            "predicted": row["predicted"],
            "top": [titles[n] for n in row["top"]],
            "rank": min(row["ranks"], default=0),
        }
        for row, user, had in rows
    ]
