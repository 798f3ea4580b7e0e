"""JSON: an object a line, or one array of objects."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data import unpacking
from lushan.data.fields import Fields
from lushan.data.json_rows import columns_of
from lushan.data.nested_rows import explained
from lushan.data.rows import Rows
from lushan.data.source import Format, WholeFiles


@configurable
@dataclasses.dataclass(kw_only=True)
class Jsonl(Rows, WholeFiles):
    """Words with tags, texts with entities as spans or with labels, or sources with targets.

    Args:
        each: Keys of nested lists in a row, from the outermost: the innermost elements are the
            examples, with the other values of the levels above. For SQuAD: `paragraphs.qas`.
    """

    input_format: ClassVar[Format | None] = "jsonl"

    each: str | None = None

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        columns = columns_of(
            unpacking.bounded(path, self.largest_file),
            path,
            longest=self.longest_line,
            each=self.each,
        )
        with explained(columns, can_unnest=self.each is None):
            return self.table_of(columns, split, notes, fields)
