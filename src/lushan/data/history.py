"""Earlier turns of a dialogue beside its last one, as Alpaca files keep them, or TRL's."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from lushan.common.parsing import parse_json
from lushan.data.raw_columns import Columns
from lushan.data.written_lists import as_list

HISTORY = "history"


def earlier_turns(columns: Columns, field: str, row: int) -> list[tuple[str, str]]:
    """The messages before the instruction: `[[instruction, output], ...]`; none where it is null.

    Raises:
        UserError: It is no list of pairs of texts.
    """
    value = columns.values[field][row]
    messages: list[tuple[str, str]] = []
    for turn in [] if value is None else _listed(columns, field, row, value):
        is_pair = isinstance(turn, list | tuple) and len(turn) == 2
        if not is_pair or not all(isinstance(text, str) for text in turn):
            raise columns.fail(
                f"{field} must be a list of pairs of texts: an instruction and its output",
                row,
                value=turn,
            )
        messages += [("user", turn[0]), ("assistant", turn[1])]
    return messages


def as_messages(columns: Columns, prompt: str, answer: str | None, name: str) -> Columns:
    """Return columns with one of messages more, where a prompt is a list of them.

    `{"prompt": [{"role": "user", ...}], "completion": [{"role": "assistant", ...}]}` (TRL) is a
    dialogue of both lists.

    Args:
        columns: As they were read.
        prompt: The column of the prompts.
        answer: That of the answers; None where rows have none.
        name: Of the column that is added.
    """
    prompts: Sequence[Any] = columns.values.get(prompt, ())
    if not prompts or not all(isinstance(value, list) for value in prompts):
        return columns
    none = [None] * len(prompts)
    answers = none if answer is None else columns.values.get(answer, none)
    rows = [[*p, *(a or [])] for p, a in zip(prompts, answers, strict=True) if _is_list(a)]
    if len(rows) < len(prompts):
        return columns
    return dataclasses.replace(columns, values={**columns.values, name: rows})


def _is_list(value: object) -> bool:
    return value is None or isinstance(value, list)


def _listed(columns: Columns, field: str, row: int, value: object) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise columns.fail(f"{field} must be a list of pairs of texts", row, value=value)


def with_lists(columns: Columns, names: Collection[str]) -> Columns:
    """Return columns in which lists that some of them have as text are lists."""
    found = {
        name: [_as_messages(value) for value in values]
        for name, values in columns.values.items()
        if name in names and any(isinstance(value, str) for value in values)
    }
    return dataclasses.replace(columns, values={**columns.values, **found}) if found else columns


def _as_messages(value: object) -> object:
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        found = parse_json(value)
    except ValueError:
        found = as_list(value)
    return found if isinstance(found, list) else value
