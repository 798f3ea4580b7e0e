"""Prompts of a file, read as the run's own data is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.data.dialogues import SCHEMAS
from lushan.data.fields import DIALOGUES, DOCUMENTS, PAIRS, Fields
from lushan.data.labelled import Labelled
from lushan.data.messages import dialogues_of
from lushan.data.raw_columns import Columns
from lushan.data.raw_input import STDIN, format_of, standard_input
from lushan.data.source import Format
from lushan.data.unlabelled import Reading, reader_class
from lushan.errors import UserError, did_you_mean
from lushan.inference.dialogues import asked
from lushan.inference.generator import Kind
from lushan.inference.inputs import reader_for
from lushan.run.config_yaml import read_config

FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "text": ("prompt", "text"),
    "source": ("source", "prompt", "text"),
    "messages": ("messages", "prompt", "text"),
}
"""Field of the prompts in JSON lines, by the kind of prompt."""
READS: Mapping[Kind, Fields] = {"text": DOCUMENTS, "source": PAIRS, "messages": DIALOGUES}
"""Fields that are read from a file, by the kind of prompt."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt of a model.

    Attributes:
        id: Its name.
        value: A text; for a chat run, a list of messages.
        place: For errors: `key`, or `file` and `line`.
        tools: Of a chat run, what may be called.
    """

    id: str
    value: Any
    place: Mapping[str, Any]
    tools: Any = None

    @property
    def asked(self) -> Any:
        """The prompt as a `TextGenerator` takes it."""
        return asked(self.value, self.tools)


def read_prompts(
    path: str | Path,
    kind: Kind,
    format: Format | None = None,
    *,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
    notes: list[str] | None = None,
) -> list[Prompt]:
    """Read the prompts of a file.

    Args:
        path: A file, perhaps .gz, or `-` for standard input.
        kind: Of the prompts that the model takes.
        format: `txt` has a prompt in each line, others in a field; by the ending otherwise.
        run: The folder of the run whose settings say how the file is read; None where there are
            none, and the field is one of `FIELDS`.
        overrides: Of the keys below `data` in the run's config.
        notes: Gets how the file was read.

    Raises:
        UserError: It cannot be read, or holds no prompts; names file and line.
    """
    if run is None and overrides:
        raise UserError(
            "a model in Hugging Face format has no settings of data",
            key=overrides[0],
            hint=f"The field of the prompts is called {', '.join(FIELDS[kind])}.",
        )
    reads = READS[kind]
    if run is None:
        name = STDIN if str(path) == "-" else str(path)
        data = standard_input() if name == STDIN else None
        chosen = format or format_of(name, "txt", data=data)
        reading = Reading(name, chosen, reader_class(chosen, reads)(), data=data, fields=reads)
    else:
        cfg = read_config(run)
        reading = reader_for(run, cfg, reads, path, format=format, overrides=overrides).reading
    reading.what = "prompt"
    columns = reading.columns()
    field = _field(reading, columns, kind)
    if run is None:
        field = _require_field(columns, field, kind)
    tools: Sequence[Any] = [None] * len(columns.lines)
    if field is not None:
        ids = columns.values.get("id") or Labelled(id=None).ids(columns).to_pylist()
        values: Sequence[Any] = columns.values[field]
        schemas = next((f for f in SCHEMAS if kind == "messages" and f in columns.values), None)
        tools = tools if schemas is None else columns.values[schemas]
    else:
        rows = reading.table(columns).to_pydict()
        ids, values = rows["id"], rows[kind]
        if kind == "messages":
            values, tools = dialogues_of(rows)
    if notes is not None:
        notes += reading.notes
    return [
        Prompt(str(i), value, {"file": reading.name, "line": line}, given)
        for i, value, line, given in zip(ids, values, columns.lines, tools, strict=True)
    ]


def _field(reading: Reading, columns: Columns, kind: Kind) -> str | None:
    """The field that holds the prompts as they are; None where the run's source reads them."""
    if reading.format in ("txt", "conll"):
        return "text" if reading.format == "txt" else None
    wanted = reading.wanted(kind)
    if wanted is None:
        return next((field for field in FIELDS[kind] if field in columns.values), None)
    names = [wanted] if isinstance(wanted, str) else wanted
    is_there = any(name.split(".")[0] in columns.values for name in names)
    return "prompt" if "prompt" in columns.values and not is_there else None


def _require_field(columns: Columns, field: str | None, kind: Kind) -> str:
    """Refuse columns of which none is called as one of prompts is."""
    if field is None:
        names = list(columns.values)
        raise UserError(
            "no field holds the prompts",
            file=columns.file,
            hint=did_you_mean(FIELDS[kind][0], names)
            or f"One of {', '.join(FIELDS[kind])} is expected; there are: {', '.join(names)}.",
        )
    return field
