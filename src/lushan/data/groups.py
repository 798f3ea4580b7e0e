"""Rows that stay together where splits are taken by share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from lushan.common.arrays import pa
from lushan.common.override_text import typed
from lushan.data.labelled import remembered, require_column
from lushan.data.raw_columns import Columns, texts_of
from lushan.data.splits import GROUP

if TYPE_CHECKING:
    from lushan.data.source import Source


@dataclasses.dataclass(kw_only=True)
class WithGroup:
    """Option of a source whose rows may belong together.

    Args:
        group: Field of groups whose rows stay in one split when splits are shares, such as all
            questions on an article, or all images of a person.
    """

    group: str | None = None

    def with_group(self, table: pa.Table, columns: Columns) -> pa.Table:
        """Return a table with the group of each row, where there are any.

        Raises:
            UserError: The field is not there, or a row has none.
        """
        if self.group is None:
            return table
        require_column(self.group, list(columns.values), "data.group", columns.file)
        values = columns.values[self.group]
        for row, value in enumerate(values):
            if value is None or value == "":
                raise columns.fail(
                    f"the {self.group}, the group that keeps rows together, is missing", row
                )
        return table.append_column(GROUP, texts_of(columns, [str(value) for value in values]))


def keeping(source: Source) -> Callable[[str, str], str | None]:
    """Return what keeps rows with the same value of a field in one split.

    Returns:
        From a split and a field to the override; None where no option of the source does.
    """
    columns = remembered(source)

    def found(split: str, field: str) -> str | None:
        grouped = isinstance(source, WithGroup) and source.group is None
        if not grouped or split not in source.taken():
            return None
        column = columns.get(field)
        return typed("data.group", column if isinstance(column, str) else "COLUMN")

    return found
