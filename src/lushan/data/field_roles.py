"""Roles of a task's fields: what it is given, what it is to predict, what a corpus must have."""

from __future__ import annotations

from lushan.data.fields import Field, Fields, Tags


def inputs(fields: Fields) -> dict[str, Field]:
    """Return the fields that a model is given."""
    return {name: field for name, field in fields.items() if not field.target}


def has(fields: Fields, kind: type[Field]) -> bool:
    """Return whether a field of a kind is among some."""
    return any(isinstance(field, kind) for field in fields.values())


def prompt_of(fields: Fields) -> tuple[str, Field]:
    """Return the field that a text is written from, the first input, and the name of its column."""
    return next(iter(inputs(fields).items()))


def required(fields: Fields) -> list[str]:
    """Return the names of the fields that a corpus must have."""
    return [name for name, field in fields.items() if not field.optional]


def targets(fields: Fields) -> dict[str, Field]:
    """Return the fields that a model is to predict."""
    return {name: field for name, field in fields.items() if field.target}


def tagged(fields: Fields) -> tuple[str, Tags] | None:
    """Return the field of tags and the name of its column; None where there is none."""
    found = ((name, field) for name, field in fields.items() if isinstance(field, Tags))
    return next(found, None)
