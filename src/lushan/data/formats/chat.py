"""Dialogues: messages with roles, plain turns, or an instruction with its output."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data import files, unpacking
from lushan.data.dialogues import Dialogues, untyped
from lushan.data.fields import DIALOGUES, Fields
from lushan.data.formats.hub import HubSet
from lushan.data.formats.table import PARQUET, Table, read_parquet
from lushan.data.json_rows import columns_of
from lushan.data.nested_rows import explained
from lushan.data.raw_columns import Columns
from lushan.data.source import Format, WholeFiles


@configurable
@dataclasses.dataclass(kw_only=True)
class Chat(Dialogues, WholeFiles):
    """Dialogues in JSON (an object a line, or one array), Parquet, or CSV with instructions."""

    input_format: ClassVar[Format | None] = "jsonl"
    gives: ClassVar[Fields | None] = DIALOGUES

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        if files.bare_suffix(path) in PARQUET:
            return self.table_of(
                untyped(read_parquet(path, self.largest_file)), split, notes, fields
            )
        if files.bare_suffix(path) in (".csv", ".tsv"):
            table = Table(longest_line=self.longest_line, largest_file=self.largest_file)
            return self.table_of(table.raw_columns(path, split, notes), split, notes, fields)
        columns = columns_of(
            unpacking.bounded(path, self.largest_file), path, longest=self.longest_line
        )
        with explained(columns):
            return self.table_of(columns, split, notes, fields)


@configurable
@dataclasses.dataclass(kw_only=True)
class ChatHub(Dialogues, HubSet):
    """Dialogues of a set of the Hugging Face hub."""

    gives: ClassVar[Fields | None] = DIALOGUES

    def table_of(
        self, columns: Columns, split: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Return the table of a split; see `untyped`."""
        return super().table_of(untyped(columns), split, notes, fields)
