"""Files whose rows lie deeper than they were looked for: errors about fields say where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lushan.common import shell
from lushan.data.json_shapes import ENDING, lists_in, path_to, where_rows_are
from lushan.data.raw_columns import Columns
from lushan.data.unpacking import with_names
from lushan.errors import UserError

_ONE_OBJECT = "the file is one object"
_LABELS = {
    "labels": "label: [$found[] | [.start, .end, .labels[0]]]",
    "choices": "label: $found[0].choices[0]",
}
"""What Label Studio calls its marks, and what a row takes of them."""


@contextmanager
def explained(columns: Columns, *, can_unnest: bool = False) -> Iterator[None]:
    """Say in errors about fields of JSON where its rows are, if they lie deeper.

    Args:
        columns: That are read.
        can_unnest: Whether the source has an option `each`.

    Raises:
        UserError: What was raised, with that in its hint.
    """
    try:
        yield
    except UserError as error:
        first = {name: values[0] for name, values in columns.values.items()}
        if (studio := _label_studio(first, columns)) is not None:
            raise error.also(with_names(studio, columns.file, ENDING)) from None
        if (labels := _labels_by_name(error.value, columns)) is not None:
            raise error.also(with_names(labels, columns.file, ENDING)) from None
        if error.line is not None or error.key is None or error.file is None:
            raise  # it is about a row or an option, not about the fields of the file
        is_object = len(columns.lines) == 1 and columns.elements is None
        found = where_rows_are(first) if is_object else _inside(first, can_unnest=can_unnest)
        if found is not None:
            about = _ONE_OBJECT if is_object else None
            error.also(with_names(found, columns.file, ENDING), problem=about)
        raise


def _inside(row: Mapping[str, Any], *, can_unnest: bool) -> str | None:
    """Return what to do about lists of objects in rows; None where there are none."""
    lists = lists_in(row)
    if any("qas" in item for item in lists.get("paragraphs", ())):
        return "This is SQuAD's form: write data=squad."
    if not lists or not can_unnest:
        return None
    names = " or ".join(f"data.each={shell.quote(name)}" for name in lists)
    return f"To read the objects in a list of each row as rows: {names}."


def _labels_by_name(value: object, columns: Columns) -> str | None:
    """Return what makes lists of labels of 0 or 1 by label; None where a value is not that."""
    if not isinstance(value, dict) or not value or not all(v in (0, 1) for v in value.values()):
        return None
    found = next((name for name, values in columns.values.items() if value in values), None)
    if found is None:
        return None
    each = "" if columns.elements is None else ".[] | "
    taken = "[to_entries[] | select(.value == 1 or .value == true) | .key]"
    path = shell.quote(f"{each}{path_to(found)} |= {taken}")
    return f"To make lists of those with 1: jq -c {path} IN > OUT"


def _label_studio(row: Mapping[str, Any], columns: Columns) -> str | None:
    """Return what makes rows of Label Studio's full export; None where this is none."""
    data, annotations = row.get("data"), row.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list) or not annotations:
        return None
    text = next((name for name, value in data.items() if isinstance(value, str)), None)
    results = annotations[0].get("result") if isinstance(annotations[0], dict) else None
    if text is None or not isinstance(results, list):
        return None
    values = [one.get("value") for one in results if isinstance(one, dict)]
    kinds = [kind for kind in _LABELS if any(kind in value for value in values if value)]
    taken = _LABELS[kinds[0] if kinds else "labels"]
    each = "" if columns.elements is None else ".[] | "
    path = (
        f"{each}[.annotations[0].result[].value] as $found | "
        f"{{text: {path_to('data', text)}, {taken}}}"
    )
    return (
        "This is Label Studio's full export; its JSON_MIN needs no conversion. To convert it: "
        f"jq -c {shell.quote(path)} IN > OUT"
    )
