"""A made-up corpus of a few rows, which every task has for the contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lushan.common.arrays import pa
from lushan.data.field_roles import tagged
from lushan.data.fields import Fields
from lushan.data.source import SPLITS, Corpus


def demo_corpus(fields: Fields, columns: Mapping[str, Any]) -> Corpus:
    """Return the same rows as all three splits of a corpus.

    Args:
        fields: What the columns hold; tags are IOB2.
        columns: Name of a column to its values; where the rows stand is added.
    """
    rows = range(len(next(iter(columns.values()))))
    ids = [f"demo:{row}" for row in rows]
    places = {"line": [row + 1 for row in rows], "file": ["demo" for _ in rows]}
    table = pa.table({"id": ids, **columns, **places})
    scheme = "iob2" if tagged(fields) else None
    return Corpus(splits=dict.fromkeys(SPLITS, table), fields=fields, scheme=scheme, notes=[])
