"""Rows that stay together where splits are taken by share."""

from __future__ import annotations

import dataclasses

from lushan.common.arrays import pa
from lushan.data.labelled import require_column
from lushan.data.raw_columns import Columns, texts_of
from lushan.data.splits import GROUP


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
