"""Tables of a corpus by its fields: copies, texts to train on, classes."""

from __future__ import annotations

from collections.abc import Iterator

from lushan.common.arrays import pa
from lushan.data.field_roles import inputs, targets
from lushan.data.fields import (
    Field,
    Fields,
    Json,
    Label,
    Labels,
    Messages,
    Number,
    Tags,
    Text,
    Texts,
    Words,
)


def present(fields: Fields, table: pa.Table) -> dict[str, Field]:
    """Return the fields whose columns a table has, in the order of the fields."""
    return {name: field for name, field in fields.items() if name in table.column_names}


def keys(table: pa.Table, fields: Fields) -> list[tuple[str, ...]]:
    """Return of each row what makes another one its copy: the keys of all inputs.

    One source with two targets is still one source: what is learned of it must not be evaluated.
    """
    there = present(inputs(fields), table).items()
    found = [[field.key(v) for v in table.column(name).to_pylist()] for name, field in there]
    return [tuple(part for key in row for part in key) for row in zip(*found, strict=True)]


def training_texts(table: pa.Table, fields: Fields) -> Iterator[str]:
    """Yield the texts of a table for a tokenizer, column after column, a chunk at a time."""
    for name, field in present(fields, table).items():
        for chunk in table.column(name).chunks:
            for value in chunk.to_pylist():
                yield from field.training_texts(value)


def classified(table: pa.Table, fields: Fields) -> tuple[str, Field] | None:
    """Return the target that has classes, and the name of its column; None where there is none."""
    found = present(targets(fields), table).items()
    return next(((name, field) for name, field in found if field.has_classes), None)


def classes(table: pa.Table, fields: Fields) -> list[list[str]] | None:
    """Return the classes of each row; None where no target has any."""
    if (found := classified(table, fields)) is None:
        return None
    name, field = found
    return [list(field.classes(value)) for value in table.column(name).to_pylist()]


def distinct_classes(table: pa.Table, fields: Fields) -> set[str]:
    """Return all classes that occur in a table."""
    if (found := classified(table, fields)) is None:
        return set()
    name, field = found
    column = table.column(name)
    from pyarrow import compute  # slow to import, and checking a run's inputs needs it not

    flat = compute.list_flatten(column) if pa.types.is_list(column.type) else column
    values = compute.unique(flat).to_pylist()
    wrap = pa.types.is_list(column.type)
    return {label for value in values for label in field.classes([value] if wrap else value)}


def usual(table: pa.Table) -> dict[str, Field]:
    """Return the fields of a table that was read for no task, by the names of its columns."""
    kinds = {
        "tokens": Words(),
        "tags": Tags(),
        "text": Text(),
        "text_pair": Text(),
        "source": Text(),
        "targets": Texts(),
        "messages": Messages(),
        "tools": Json(optional=True),
        "label": Label(),
    }
    if "label" in table.column_names:
        kind = table.column("label").type
        if pa.types.is_list(kind):
            kinds["label"] = Labels()
        elif pa.types.is_floating(kind):
            kinds["label"] = Number()
    return present(kinds, table)
