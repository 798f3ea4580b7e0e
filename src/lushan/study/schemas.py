"""Schemas of the stored predictions of a run, from its result."""

from __future__ import annotations

from pathlib import Path

from lushan.config.allow_list import locate
from lushan.config.rules import FIELD
from lushan.data.fields import Field
from lushan.data.record_schema import RecordSchema
from lushan.errors import UserError
from lushan.run.result import RunResult


def schema_of(result: RunResult, folder: Path) -> RecordSchema:
    """Return what the predictions of a run hold.

    Raises:
        UserError: The result does not state it.
    """
    file = folder / "result.json"
    if result.records is None:
        raise UserError(
            "the fields of the stored predictions are unknown",
            file=file,
            hint="An earlier version wrote it. Delete the run's folder and train again.",
        )
    try:
        return RecordSchema.from_dict(result.records, _class_of)
    except ValueError as error:
        hint = "The file was changed after the run. Delete its folder and train again."
        raise UserError(str(error), file=file, hint=hint) from error


def _class_of(path: str) -> type[Field] | str:
    """Return a field's class, or why it must not be imported: a result may come from anywhere."""
    try:
        found = locate(path, FIELD)
    except UserError as error:
        return " ".join(part for part in (f"{path}: {error.problem}.", error.hint) if part)
    if not isinstance(found, type) or not issubclass(found, Field):
        return f"{path} is not a class of fields"
    return found
