"""Labels of a corpus: those that training has, and none that it has not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lushan.errors import UserError, did_you_mean


class Splits(Protocol):
    """Tables with labels, as a corpus has them (`lushan.data.source`)."""

    @property
    def splits(self) -> Mapping[str, pa.Table]:
        """A table a split."""

    @property
    def kind(self) -> str:
        """`tokens` for tagged words."""

    @property
    def labels(self) -> list[str] | None:
        """All labels; None where they are not known yet."""


def has_classes(table: pa.Table) -> bool:
    """Whether a table has labels that are no numbers."""
    if "tags" in table.column_names:
        return True
    return "label" in table.column_names and not pa.types.is_floating(table.column("label").type)


def labels_of(corpus: Splits) -> list[str]:
    """The labels that the training split has, sorted: entity types of words, labels of texts.

    Raises:
        UserError: There are none, or evaluation has one that training has not.
    """
    if corpus.labels is not None:
        return corpus.labels
    if "train" not in corpus.splits:
        raise UserError(
            "labels come from the training split, and there is none",
            key="data.train",
            hint="Write data.train=FILE.",
        )
    train = corpus.splits["train"]
    if "tags" not in train.column_names and "label" not in train.column_names:
        raise UserError(
            "the training split has no labels",
            file=train.column("file")[0].as_py(),
            hint="Name the column that holds them: data.label=NAME.",
        )
    if not has_classes(train):
        raise UserError(
            "the labels are numbers",
            file=train.column("file")[0].as_py(),
            hint="Numbers are learned by task.kind=regression.",
        )
    labels = sorted(_distinct(train))
    if not labels:
        raise UserError(
            "the training split has no entity: every tag is O"
            if corpus.kind == "tokens"
            else "the training split has no label",
            file=train.column("file")[0].as_py(),
            hint="Check data.tag_column." if corpus.kind == "tokens" else "Check data.label.",
        )
    for split, table in corpus.splits.items():
        require_known(split, table, labels)
    return labels


def require_known(split: str, table: pa.Table, labels: list[str]) -> None:
    """Make sure that a split has no label but these; labels that are numbers are not judged.

    Raises:
        UserError: It has one; names its file and line.
    """
    strange = _distinct(table) - set(labels) if has_classes(table) else set()
    if strange:
        raise _unknown(split, table, strange, labels)


def _labels(table: pa.Table) -> pa.ChunkedArray:
    column = table.column("tags" if "tags" in table.column_names else "label")
    return pc.list_flatten(column) if pa.types.is_list(column.type) else column


def _distinct(table: pa.Table) -> set[str]:
    values = pc.unique(_labels(table)).to_pylist()
    return set(_types(values)) if "tags" in table.column_names else set(values)


def _types(tags: Iterable[str]) -> list[str]:
    return [tag.partition("-")[2] for tag in tags if tag != "O"]


def _unknown(split: str, table: pa.Table, strange: set[str], labels: list[str]) -> UserError:
    words = "tags" in table.column_names
    values = table.column("tags" if words else "label").to_pylist()
    rows = [value if isinstance(value, list) else [value] for value in values]
    number, label = next(
        (number, label)
        for number, row in enumerate(rows)
        for label in (_types(row) if words else row)
        if label in strange
    )
    return UserError(
        f"the label {label!r} of the {split} split never stands in train",
        file=table.column("file")[number].as_py(),
        line=table.column("line")[number].as_py(),
        hint=did_you_mean(label, labels) or f"train has: {', '.join(labels[:20])}.",
    )
