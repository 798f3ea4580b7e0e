"""Several columns with a 0 or 1 for a label each, as one column of lists of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lushan.data.classes import label_text
from lushan.data.labelled import require_column
from lushan.data.raw_columns import Columns

_SET = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_UNKNOWN = ("", "-1")
"""What stands where an annotator did not say."""


def with_one_column(columns: Columns, names: Sequence[str], name: str) -> Columns:
    """Return columns with one of lists of labels in place of several of indicators.

    A row in which one of them is blank, or -1, has no labels: null.

    Args:
        columns: As they were read.
        names: Of those with indicators, which name the labels.
        name: Of the one that stands for them.

    Raises:
        UserError: One is not there, or holds something else; names file and line.
    """
    for one in names:
        require_column(one, list(columns.values), "data.label", columns.file)
    rows = [_labels(columns, names, row) for row in range(len(columns.lines))]
    values = {one: several for one, several in columns.values.items() if one not in names}
    return dataclasses.replace(columns, values={**values, name: rows})


def _labels(columns: Columns, names: Sequence[str], row: int) -> list[str] | None:
    found = []
    for name in names:
        text = label_text(columns.values[name][row]).lower()
        if text in _UNKNOWN:
            return None
        if text not in _SET:
            raise columns.fail(
                f"{name} is the column of a label, so it must be 0 or 1",
                row,
                value=columns.values[name][row],
                hint="data.label=[...] is for indicator columns. For a column of labels, write "
                "data.label=NAME.",
            )
        if _SET[text]:
            found.append(name)
    return found
