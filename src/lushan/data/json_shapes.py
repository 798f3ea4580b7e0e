"""Shapes of JSON: values that are rows though they are no objects, and objects that are none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common import shell
from lushan.common.parsing import parse_json_at
from lushan.data.unpacking import with_names
from lushan.errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".json")
"""Endings of files of JSON rows."""
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
_BY_SPLIT = (
    "To write rows: jq -c '.columns as $names | .data[] | [$names, .] | transpose | "
    "map({(.[0]): .[1]}) | add' IN > OUT"
)
_KEY = re.compile(r'[\s,]*"((?:[^"\\]|\\.)*)"\s*:\s*')
_BEGUN = re.compile(r"(\[\s*)?\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_SCRIPTS = {"COCO's captions": ("annotations", "caption"), "VQA v2": ("questions", "question_id")}
"""Sets that docs/forms.md converts, by a list in them and a key of its elements."""
ENDING = ".jsonl"
"""Of the files that the commands write."""


def lists_in(value: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the lists of objects that an object holds, by their keys."""
    return {
        key: one
        for key, one in value.items()
        if isinstance(one, list) and one and all(isinstance(item, dict) for item in one)
    }


def begun(text: str) -> dict[str, Any]:
    """Return what is known of an object whose end is not: its values, the last one without its end.

    A list of objects that is not read to its end is one of an empty object, an object is empty.
    """
    found: dict[str, Any] = {}
    at = text.index("{") + 1
    while (key := _KEY.match(text, at)) is not None:
        try:
            value, at = parse_json_at(text, key.end())
        except ValueError:
            kind = _BEGUN.match(text, key.end())
            return found if kind is None else {**found, key[1]: [{}] if kind[1] else {}}
        found[key[1]] = value
    return found


def _is_split(value: Mapping[str, Any]) -> bool:
    """Return whether an object is what pandas writes with orient='split'."""
    return {"columns", "data"} <= value.keys() <= {"columns", "index", "data"}


def path_to(*keys: str) -> str:
    """Return how jq names a value below some keys."""
    named = (k if _NAME.fullmatch(k) else json.dumps(k, ensure_ascii=False) for k in keys)
    return "".join(f".{key}" for key in named)


def where_rows_are(value: object, *, whole: bool = True) -> str | None:
    """Return where a file that is one object may have its rows, and the command that writes them.

    They are the elements of a list, or the values; None where there are neither.

    Args:
        value: The object.
        whole: Whether all of it is known.
    """
    if not isinstance(value, Mapping):
        return None
    lists = lists_in(value)
    if _is_split(value):
        return _BY_SPLIT
    if not lists:
        values = list(value.values())
        is_rows = len(values) > 1 and all(isinstance(one, dict) for one in values)
        return "If each value is a row: jq -c '.[]' IN > OUT" if is_rows else None
    counts = (f" ({len(items):,})" if whole else "" for items in lists.values())
    counted = " and ".join(f"{key!r}{count}" for key, count in zip(lists, counts, strict=True))
    what = f"It has {'lists' if len(lists) > 1 else 'a list'} of objects, {counted}."
    longest = max(reversed(lists), key=lambda key: len(lists[key]))
    for script, (key, inner) in _SCRIPTS.items():
        if inner in lists.get(key, [{}])[0]:
            what, longest = f"{what} docs/forms.md has a script for {script}.", key
    if not whole:
        what = f"{what} All keys: jq -c keys IN."
    path = f"{path_to(longest)}[]"
    these = f"those of {longest!r}" if len(lists) > 1 else "they"
    return f"{what} If {these} are the rows: jq -c {shell.quote(path)} IN > OUT"


def require_row(found: Mapping[str, Sequence[Any]], name: str | Path) -> None:
    """Refuse a file of one object whose values are the rows, or the columns.

    Args:
        found: Each key with its one value.
        name: Of the file.

    Raises:
        UserError: All values are objects with a key in common; or there are names of columns
            beside lists of values.
    """
    values = [value for (value,) in found.values()]
    if _is_split(found):
        raise UserError(
            "the file is one object, with the names of columns apart from the rows",
            file=name,
            line=1,
            hint=with_names(_BY_SPLIT, name, ENDING),
        )
    if len(values) < 2 or not all(isinstance(value, dict) for value in values):
        return
    if not set(values[0]).intersection(*values[1:]):
        return
    by_columns = all(key.isdecimal() for value in values for key in value)
    raise UserError(
        f"the file is one object, whose {len(values):,} values are objects",
        file=name,
        line=1,
        hint=_BY_COLUMNS if by_columns else with_names(_BY_NAMES, name, ENDING),
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
