"""Labels of a corpus: those that training has, and none that it has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lushan.common.arrays import pa
from lushan.common.override_text import typed
from lushan.data.field_roles import targets
from lushan.data.field_tables import classes, classified, distinct_classes
from lushan.data.fields import Fields
from lushan.data.label_names import KEY
from lushan.data.which import listed
from lushan.errors import UserError, did_you_mean, shorten

LONGEST_OPTION = 120
"""Characters of an option that a hint writes out."""


class Splits(Protocol):
    """Tables with labels, as a corpus has them (`lushan.data.source`)."""

    @property
    def splits(self) -> Mapping[str, pa.Table]:
        """A table a split."""

    @property
    def fields(self) -> Fields:
        """Fields of their columns."""

    @property
    def labels(self) -> list[str] | None:
        """All labels; None where they are not known yet."""

    @property
    def named(self) -> Sequence[str]:
        """Labels that evaluation may have without the training split."""


def has_classes(table: pa.Table, fields: Fields) -> bool:
    """Return whether a table has a target that is made of classes."""
    return classified(table, fields) is not None


def labels_of(corpus: Splits, least: int = 1) -> list[str]:
    """Return the classes that the training split has, sorted.

    Args:
        corpus: Its splits.
        least: How many there must be.

    Raises:
        UserError: There are fewer, or evaluation has one that training has not.
    """
    labels = _labels_of(corpus) if corpus.labels is None else corpus.labels
    if len(labels) < least:
        raise UserError(
            f"every example of the training split has the label {labels[0]!r}, so there is nothing "
            "to learn",
            file=corpus.splits["train"].column("file")[0].as_py(),
            hint="Check data.label. Of images or texts in folders, data.train is the folder with a "
            "folder for each class.",
        )
    return labels


def _labels_of(corpus: Splits) -> list[str]:
    if "train" not in corpus.splits:
        raise UserError(
            "labels come from the training split, but there is none",
            key="data.train",
            hint="Write data.train=FILE.",
        )
    train, fields = corpus.splits["train"], corpus.fields
    file = train.column("file")[0].as_py()
    if not targets(fields):
        raise UserError(
            "the training split has no labels",
            file=file,
            hint="Set the column of the labels: data.label=NAME.",
        )
    found = classified(train, fields)
    if found is None:
        raise UserError(
            "the labels are numbers",
            file=file,
            hint="For numbers, use task.kind=regression.",
        )
    learned = distinct_classes(train, fields)
    everywhere = [distinct_classes(table, fields) for table in corpus.splits.values()]
    labels = sorted(learned.union(*everywhere).intersection(learned.union(corpus.named)))
    if not learned:
        raise UserError(found[1].empty, file=file, hint=f"Check {found[1].setting}.")
    for split, table in corpus.splits.items():
        require_known(split, table, fields, labels)
    return labels


def require_known(split: str, table: pa.Table, fields: Fields, labels: Sequence[str]) -> None:
    """Make sure that a split has no class but these."""
    strange = distinct_classes(table, fields) - set(labels)
    if strange:
        raise _unknown(split, table, fields, strange, labels)


def _unknown(
    split: str, table: pa.Table, fields: Fields, strange: set[str], labels: Sequence[str]
) -> UserError:
    number, label = next(
        (number, label)
        for number, row in enumerate(classes(table, fields) or ())
        for label in row
        if label in strange
    )
    every = sorted(strange.union(labels))
    option = typed(KEY, every)
    if len(option) > LONGEST_OPTION:
        option = f"{KEY}=[...], with all {len(every):,} labels"
    near = did_you_mean(label, labels) or f"train has: {listed(labels)}."
    return UserError(
        f"the label {shorten(label)} of the {split} split never occurs in train",
        file=table.column("file")[number].as_py(),
        line=table.column("line")[number].as_py(),
        hint=f"{near} To evaluate it all the same, although it cannot be learned: {option}.",
    )
