"""Rows of an assistant's files: entries of a knowledge base, dialogues and what is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lushan.assist.settings import Gold, Knowledge
from lushan.common.parsing import is_text
from lushan.data import files, unpacking
from lushan.data.json_rows import Row, rows_of
from lushan.errors import UserError


@dataclass(frozen=True)
class Expected:
    """What is right for a turn.

    Attributes:
        asks: Whether it asks for knowledge.
        keys: Of the entries that answer it.
        intent: Its intent; None where that is not known.
    """

    asks: bool
    keys: frozenset[tuple[str, ...]]
    intent: str | None


@dataclass(frozen=True)
class Dialogue:
    """A row of dialogues.

    Attributes:
        turns: Their texts; the last is to be answered.
        expected: What is right; None where the row does not say.
    """

    turns: list[str]
    expected: Expected | None


def entries_of(
    knowledge: Knowledge, folder: Path
) -> Iterator[tuple[tuple[str, ...], str, str, str | None]]:
    """Yield key, question, answer and entity of each entry.

    An entry may have several questions, each in a row.

    Raises:
        UserError: A row lacks one, or two entries have one key; names file and line.
    """
    place = folder / knowledge.file
    named: dict[tuple[str, ...], tuple[str, str | None]] = {}
    for row in _rows(place):
        question, answer = (_text(row, n, place) for n in (knowledge.question, knowledge.answer))
        entity = row.value.get(knowledge.entity) if knowledge.entity else None
        key = _key(row.value, knowledge.key, place, row.line)
        if named.setdefault(key, (answer, entity)) != (answer, entity):
            raise UserError(
                f"another entry has the key {', '.join(key)}",
                key="knowledge.key",
                file=place,
                line=row.line,
                hint="Add columns in which they differ.",
            )
        yield key, question, answer, entity


def dialogues_of(place: Path, turns: str, gold: Gold, key: list[str]) -> list[Dialogue]:
    """Return the dialogues of a file.

    Args:
        place: The file.
        turns: The column of the turns.
        gold: Columns of what is right.
        key: Keys that name an entry.

    Raises:
        UserError: A row has no turns; names file and line.
    """
    return [
        Dialogue(_turns(row, turns, place), _expected(row, gold, key, place))
        for row in _rows(place)
    ]


def _rows(place: Path) -> Iterator[Row]:
    if not place.is_file():
        raise UserError("the file does not exist", file=place)
    empty = True
    for row in rows_of(unpacking.unpacked(place), place, longest=files.LONGEST_LINE):
        empty = False
        yield row
    if empty:
        raise files.empty(place)


def _text(row: Row, name: str, place: Path) -> str:
    value = row.value.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"there is no text at {name}", file=place, line=row.line, value=value)
    _require_text(value, row, place)
    return value


def _require_text(value: str, row: Row, place: Path) -> None:
    if not is_text(value):
        raise UserError("half of a surrogate pair", file=place, line=row.line)


def _turns(row: Row, name: str, place: Path) -> list[str]:
    value = row.value.get(name)
    several = value if isinstance(value, list) else []
    found = [turn.get("text") if isinstance(turn, dict) else turn for turn in several]
    if not found or not all(isinstance(text, str) for text in found):
        raise UserError(
            f"{name} must be a list of texts, or of objects with a text",
            key="turns",
            file=place,
            line=row.line,
        )
    for text in found:
        _require_text(str(text), row, place)
    return [str(text) for text in found]


def _key(value: Any, names: list[str], place: Path, line: int) -> tuple[str, ...]:
    if not isinstance(value, dict) or any(name not in value for name in names):
        raise UserError(f"the key of an entry is {', '.join(names)}", file=place, line=line)
    return tuple(str(value[name]) for name in names)


def _expected(row: Row, gold: Gold, key: list[str], place: Path) -> Expected | None:
    asks = row.value.get(gold.asks)
    if asks is None:
        return None
    if not isinstance(asks, bool):
        raise UserError(f"{gold.asks} must be true or false", file=place, line=row.line, value=asks)
    entries = row.value.get(gold.source) or []
    if not isinstance(entries, list) or (asks and not entries):
        raise UserError(f"{gold.source} must be a list of entries", file=place, line=row.line)
    keys = frozenset(_key(entry, key, place, row.line) for entry in entries)
    intent = row.value.get(gold.intent) if gold.intent else None
    return Expected(asks, keys, intent)
