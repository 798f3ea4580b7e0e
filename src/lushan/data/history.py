"""Earlier turns of a dialogue beside its last one, as Alpaca files keep them."""

from __future__ import annotations

from typing import Any

from lushan.data.raw_columns import Columns

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


def _listed(columns: Columns, field: str, row: int, value: object) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise columns.fail(f"{field} must be a list of pairs of texts", row, value=value)
