"""Prompts of a file, read as the run's own data is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.data.dialogues import SCHEMAS
from lushan.data.field_roles import prompt_of, targets
from lushan.data.fields import Fields, Messages
from lushan.data.labelled import Labelled, id_column
from lushan.data.media import Beside
from lushan.data.messages import dialogues_of, stored_message
from lushan.data.raw_columns import Columns
from lushan.data.raw_input import STDIN, format_of, standard_input
from lushan.data.source import Format
from lushan.data.unlabelled import Reading, reader_class
from lushan.errors import UserError, did_you_mean
from lushan.inference.dialogues import asked, messages_of
from lushan.inference.inputs import reader_for
from lushan.run.config_yaml import read_config
from lushan.text import parts
from lushan.text.rendering import texts_in

USUAL = ("prompt", "text")
"""Names of the column of the prompts in a file, behind that of the field that a run reads."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt of a model.

    Attributes:
        id: Its name.
        value: A text; for a chat run, a list of messages.
        place: For errors: `key`, or `file` and `line`.
        tools: Of a chat run, what may be called.
        media: Of a chat run, where images lie that messages name.
    """

    id: str
    value: Any
    place: Mapping[str, Any]
    tools: Any = None
    media: Beside | None = None

    @property
    def asked(self) -> Any:
        """The prompt as a `TextGenerator` takes it."""
        return asked(self.value, self.tools)


def read_prompts(
    path: str | Path,
    fields: Fields,
    format: Format | None = None,
    *,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
    notes: list[str] | None = None,
) -> list[Prompt]:
    """Read the prompts of a file.

    Args:
        path: A file, perhaps .gz, or `-` for standard input.
        fields: What the model reads, of which the first input is the prompt.
        format: `txt` has a prompt in each line, others in a field; by the ending otherwise.
        run: The folder of the run whose settings say how the file is read; None where there are
            none, and the column is one of `columns_of_prompts`.
        overrides: Of the keys below `data` in the run's config.
        notes: Gets how the file was read.

    Raises:
        UserError: It cannot be read, or holds no prompts; names file and line.
    """
    if run is None and overrides:
        raise UserError(
            "data settings need a run, but this is a model in Hugging Face format",
            key=overrides[0],
            hint=f"The prompt field must have one of these names: "
            f"{', '.join(columns_of_prompts(fields))}.",
        )
    if run is None:
        place = STDIN if str(path) == "-" else str(path)
        data = standard_input() if place == STDIN else None
        chosen = format or format_of(place, "txt", data=data)
        reading = Reading(place, chosen, reader_class(chosen, fields)(), data=data, fields=fields)
    else:
        cfg = read_config(run)
        reading = reader_for(run, cfg, fields, path, format=format, overrides=overrides).reading
    reading.what = "prompt"
    columns = reading.columns()
    name, kind = prompt_of(fields)
    takes_messages = isinstance(kind, Messages)
    field = _field(reading, columns, fields)
    if run is None:
        field = _require_field(columns, field, fields)
    tools: Sequence[Any] = [None] * len(columns.lines)
    if field is not None:
        own = id_column(columns, "id")
        ids = columns.values[own] if own else Labelled(id=None).ids(columns).to_pylist()
        values: Sequence[Any] = columns.values[field]
        schemas = next((f for f in SCHEMAS if takes_messages and f in columns.values), None)
        tools = tools if schemas is None else columns.values[schemas]
    else:
        rows = reading.table(columns).to_pydict()
        ids, values = rows["id"], rows[name]
        if takes_messages:
            values, tools = dialogues_of(rows)
    if notes is not None:
        notes += reading.notes
    media = reading.beside() if takes_messages else None
    return [
        Prompt(str(i), value, {"file": reading.name, "line": line}, given, media)
        for i, value, line, given in zip(ids, values, columns.lines, tools, strict=True)
    ]


def columns_of_prompts(fields: Fields) -> tuple[str, ...]:
    """Return the names that the column of the prompts may have where no run names it."""
    name = prompt_of(fields)[0]
    return USUAL if name in USUAL else (name, *USUAL)


def _field(reading: Reading, columns: Columns, fields: Fields) -> str | None:
    """The field that holds the prompts as they are; None where the run's source reads them."""
    if reading.format in ("txt", "conll"):
        return "text" if reading.format == "txt" else None
    wanted = reading.wanted(prompt_of(fields)[0])
    if wanted is None:
        known = columns_of_prompts(fields)
        return next((column for column in known if column in columns.values), None)
    names = [wanted] if isinstance(wanted, str) else wanted
    is_there = any(name.split(".")[0] in columns.values for name in names)
    return "prompt" if "prompt" in columns.values and not is_there else None


def _require_field(columns: Columns, field: str | None, fields: Fields) -> str:
    """Refuse columns of which none is called as one of prompts is."""
    if field is None:
        names, known = list(columns.values), columns_of_prompts(fields)
        raise UserError(
            "no field contains the prompts",
            file=columns.file,
            hint=did_you_mean(known[0], names)
            or f"One of {', '.join(known)} is required; the fields are: {', '.join(names)}.",
        )
    return field


def as_taken(prompt: Prompt, fields: Fields, system: str | None = None) -> object:
    """Return a prompt's value in the form that a model with these fields takes.

    Raises:
        UserError: It is neither a text nor, where those are read, a list of messages.
    """
    value, takes_messages = prompt.value, isinstance(prompt_of(fields)[1], Messages)
    is_pair = bool(targets(fields))
    if isinstance(value, list) and is_pair and all(isinstance(v, str) for v in value):
        return " ".join(value)  # sentences
    if isinstance(value, str):
        _require_text(value, prompt)
        if not takes_messages:
            return value
        before = [] if system is None else [{"role": "system", "content": system}]
        return [*before, {"role": "user", "content": value}]
    if isinstance(value, parts.Parts):
        value = [{"role": "user", "content": list(value)}]
    if not takes_messages or not isinstance(value, list):
        raise UserError("a prompt must be a text", value=value, **prompt.place)
    messages = messages_of(value, prompt.place, prompt.media)
    if system is not None and isinstance(prompt.value, parts.Parts):
        messages = [{"role": "system", "content": system}, *messages]
    for text in texts_in(messages):
        _require_text(text, prompt)
    return messages


def stored(value: object) -> Any:
    """Return a prompt in JSON's types: images of messages by the paths of their files."""
    return [stored_message(message) for message in value] if isinstance(value, list) else value


def _require_text(text: str, prompt: Prompt) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"character {error.start + 1} is not UTF-8", **prompt.place) from None
