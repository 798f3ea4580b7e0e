"""A column that says which split each row belongs to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lushan.data.labelled import require_column
from lushan.data.raw_columns import Columns
from lushan.data.split_names import NAMES, split_of
from lushan.errors import UserError

USUAL = ("split", "set", "subset", "partition", "fold", "stage")
"""Names of a column that may say so."""
MOST = 6
"""Values of a column that may say so."""


@dataclasses.dataclass(kw_only=True)
class WithSplitColumn:
    """Option of a source whose files may hold several splits.

    Args:
        split_column: Column that names the split of each row: train, validation (also valid, val or
            dev) or test. Give the same file as `train`, `validation` and `test`.
    """

    split_column: str | None = None

    def own_rows(self, columns: Columns, split: str, notes: list[str]) -> Columns:
        """Return the rows of a split, where a column says which they are.

        Raises:
            UserError: There is no such column, or no row of this split.
        """
        name = self.split_column
        if name is None:
            notes += _unused(columns) if split == "train" else []
            return columns
        require_column(name, list(columns.values), "data.split_column", columns.file)
        values = columns.values[name]
        rows = [row for row, value in enumerate(values) if split_of(value) == split]
        if not rows:
            raise UserError(
                f"no row of the column {name} is of the {split} split",
                key=f"data.{split}",
                file=columns.file,
                hint=f"The column has {_counted(values)}; {split} is {' or '.join(NAMES[split])}.",
            )
        others = [value for value in values if split_of(value) != split]
        if others and split == "train":
            notes.append(
                f"train: {len(rows):,} of {len(values):,} rows, by the column {name}; the others "
                f"are {_counted(others)}"
            )
        return columns.take(rows)


def _unused(columns: Columns) -> list[str]:
    """Return a note on a column that names several splits, one of which is the training split."""
    for name, values in columns.values.items():
        if name.strip().lower() not in USUAL or len(found := set(map(str, values))) > MOST:
            continue
        splits = {split_of(value) for value in found}
        if "train" in splits and len(splits - {None}) > 1:
            return [
                f"train: the column {name} names splits: {_counted(values)}; all rows are used. To "
                f"divide them by it, write data.split_column={name}, and this file as "
                "data.train, data.validation and data.test"
            ]
    return []


def _counted(values: Sequence[Any]) -> str:
    """Return how often there are which values, the most frequent first."""
    counts = Counter(map(str, values)).most_common()
    shown = ", ".join(f"{count:,} {value}" for value, count in counts[:MOST])
    return shown if len(counts) <= MOST else f"{shown}, ..."
