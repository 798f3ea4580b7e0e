"""Dialogues: messages with roles, plain turns, or an instruction with its output."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from lushan.data import files
from lushan.data.dialogues import Dialogues, untyped
from lushan.data.labelled import Columns
from lushan.data.source import FileSource
from lushan.data.sources.hub import HubSet
from lushan.data.sources.jsonl import parse_lines
from lushan.data.sources.table import PARQUET, read_parquet


@dataclasses.dataclass(kw_only=True)
class Chat(Dialogues, FileSource):
    """Dialogues in JSON lines or Parquet."""

    def load(self, split: str, name: str, notes: list[str]) -> pa.Table:
        """Read one file."""
        path = self.path_of(split, name)
        if files.bare_suffix(path) in PARQUET:
            return self.table_of(untyped(read_parquet(path)), split, notes)
        text = files.read_text(path, longest=self.longest_line)
        return self.table_of(parse_lines(text, path), split, notes)


@dataclasses.dataclass(kw_only=True)
class ChatHub(Dialogues, HubSet):
    """Dialogues of a set of the Hugging Face hub."""

    def table_of(self, columns: Columns, split: str, notes: list[str]) -> pa.Table:
        """Likewise; see `untyped`."""
        return super().table_of(untyped(columns), split, notes)
