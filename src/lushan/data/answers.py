"""Answers as spans of a text, as SQuAD has them: each a text and the place where it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lushan.common.arrays import pa
from lushan.data.encode import arrow
from lushan.data.fields import Field, Fields, Text
from lushan.data.raw_columns import Columns, halves
from lushan.errors import UserError

IMPOSSIBLE = "is_impossible"
"""The field by which SQuAD 2.0 states that a question has no answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers(Field):
    """Gold answers, each a text and the character at which it begins; none where there is none."""

    target: bool = True
    names: Sequence[str] = ("answers", "answer")
    what: ClassVar[str] = "list of answers"
    sources: ClassVar[str] = "data=squad, or data=jsonl with a field `answers`, as SQuAD has it."

    def texts(self, value: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return [answer["text"] for answer in value]

    def training_texts(self, value: Any) -> Sequence[str]:
        return ()

    def preview(self, value: Sequence[Mapping[str, Any]]) -> str:
        return " | ".join(self.texts(value)) or "(no answer)"

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return answers as lists of structs; both forms that SQuAD has in files are read."""
        rows = [_answers(columns, row, value) for row, value in enumerate(columns.values[name])]
        _require_some(columns, rows)
        flat = [answer for row in rows for answer in row]
        try:
            texts = arrow.texts([text for text, _ in flat])
        except UnicodeEncodeError as error:
            raise halves(columns, [[text for text, _ in row] for row in rows]) from error
        starts = arrow.numbers([start for _, start in flat], pa.int64())
        return arrow.lists(rows, pa.StructArray.from_arrays([texts, starts], ["text", "start"]))


QUESTIONS: Fields = {
    "question": Text(names=("query", "query_text")),
    "context": Text(names=("passage", "paragraph", "context_text")),
    "answers": Answers(),
}
"""Questions on contexts, and the spans of these that answer them."""


def _answers(columns: Columns, row: int, value: object) -> list[tuple[str, int]]:
    """Return the answers of a row; one without a text is none."""
    pairs: object = value or []
    if isinstance(pairs, dict):  # one list of texts and one of places, as `datasets` has them
        pairs = _paired(pairs.get("text"), pairs.get("answer_start"))
    if not isinstance(pairs, list) or not all(map(_is_answer, pairs)):
        raise columns.fail(
            "answers must be a list of texts with answer_start",
            row,
            value=value,
            hint='[{"text": "...", "answer_start": 0}], and [] if there is no answer. '
            "docs/forms.md shows how to compute answer_start from the texts.",
        )
    return [(pair["text"], pair["answer_start"]) for pair in pairs if pair["text"].strip()]


def _require_some(columns: Columns, rows: Sequence[Sequence[object]]) -> None:
    """Refuse a file without any answer, as test splits whose answers are kept secret have none.

    Evaluated, each would count as "no answer". Rows may state that they have none.
    """
    if not rows or any(rows) or all(columns.values.get(IMPOSSIBLE, [False])):
        return
    raise columns.fail(
        "the answers are missing: no row of this file has one",
        0,
        hint="If the test split has no answers, write data.test=null. A question that cannot be "
        f"answered has {IMPOSSIBLE}: true.",
    )


def _paired(texts: object, starts: object) -> list[Any] | None:
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        return None
    return [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]


_MOST = 1 << 62
"""Number of a character that no text has."""


def _is_answer(pair: object) -> bool:
    return (
        isinstance(pair, dict)
        and isinstance(pair.get("text"), str)
        and type(start := pair.get("answer_start")) is int
        and abs(start) < _MOST
    )


def require_places(table: pa.Table, answers: str, text: str) -> None:
    """Make sure that each answer stands in its text where it says."""
    columns = (table.column(answers).to_pylist(), table.column(text).to_pylist())
    for row, (several, whole) in enumerate(zip(*columns, strict=True)):
        for answer in several:
            start, wanted = answer["start"], answer["text"]
            if start < 0 or whole[start : start + len(wanted)] != wanted:
                raise UserError(
                    f"the {text} of {table.column('id')[row].as_py()} has "
                    f"{whole[max(0, start) :][: len(wanted)]!r} at character {start}",
                    file=table.column("file")[row].as_py(),
                    line=table.column("line")[row].as_py(),
                    value=wanted,
                    hint="answer_start counts characters, from 0.",
                )
