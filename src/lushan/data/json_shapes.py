"""Shapes of JSON: values that are rows though they are no objects, and objects that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.errors import UserError

ROWS_ARE = (
    "Each must be an object with the fields of a row, or a list of messages; or all must be texts."
)
_BY_COLUMNS = (
    "It is organised by columns. In pandas, to_json(FILE, orient='records', lines=True) writes "
    "rows."
)
_BY_NAMES = (
    "If each value is a row, write them in lines: jq -c '.[]' IN > OUT; with the names as ids: "
    "jq -c 'to_entries[] | {id: .key} + .value' IN > OUT."
)


def require_row(found: Mapping[str, Sequence[Any]], name: str | Path) -> None:
    """Refuse a file of one object whose values are the rows, or the columns.

    Args:
        found: Each key with its one value.
        name: Of the file.

    Raises:
        UserError: All values are objects with a key in common.
    """
    values = [value for (value,) in found.values()]
    if len(values) < 2 or not all(isinstance(value, dict) for value in values):
        return
    if not set(values[0]).intersection(*values[1:]):
        return
    by_columns = all(key.isdecimal() for value in values for key in value)
    raise UserError(
        f"the file is one object, whose {len(values):,} values are objects",
        file=name,
        line=1,
        hint=_BY_COLUMNS if by_columns else _BY_NAMES,
    )


def row_of(value: object) -> dict[str, Any] | None:
    """Return an element of an array as a row; None where it is none.

    A text with its annotations, `["text", {"entities": [...]}]` (spaCy), is a row with a field
    `text` more; another list of texts, or of objects, is one of messages.
    """
    if not isinstance(value, list) or not value:
        return value if isinstance(value, dict) else None
    if [type(item) for item in value] == [str, dict]:
        return {"text": value[0], **value[1]}
    alike = any(all(isinstance(item, kind) for item in value) for kind in (str, dict))
    return {"messages": value} if alike else None
