"""Queries, the passages that they are to find, and others that they are not."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from lushan.common.arrays import pa
from lushan.data.encode import arrow
from lushan.data.fields import Field, Fields, Text
from lushan.data.raw_columns import Columns, halves
from lushan.data.stored_values import StoredNumber
from lushan.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Negatives(Field):
    """Texts that are wrong; in a file a list, one text, or null."""

    target: bool = True
    optional: bool = True
    names: Sequence[str] = ("negatives", "negative", "hard_negatives", "neg")
    what: ClassVar[str] = "list of texts"

    def texts(self, value: Sequence[str] | None) -> Sequence[str]:
        """Return the texts, of which there may be none."""
        return tuple(value or ())

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return lists of texts."""
        rows = [_texts(columns, row, value) for row, value in enumerate(columns.values[name])]
        try:
            return arrow.lists(rows, arrow.texts([text for row in rows for text in row]))
        except UnicodeEncodeError as error:
            raise halves(columns, rows) from error


def _texts(columns: Columns, row: int, value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else list(value or [])
    if not all(isinstance(text, str) for text in found):
        raise columns.fail("negatives must be a list of texts", row, value=value)
    return [text for text in found if text.strip()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores(Field):
    """Numbers of a teacher: of the right passage and of each negative; in a file a list."""

    target: bool = True
    optional: bool = True
    names: Sequence[str] = ("teacher_scores",)
    what: ClassVar[str] = "list of numbers"

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return lists of numbers."""
        rows = [self._numbers(columns, row, value) for row, value in _values(columns, name)]
        return pa.array(rows, pa.list_(pa.float32()))

    def _numbers(self, columns: Columns, row: int, value: Any) -> list[float]:
        if not isinstance(value, list) or not all(_is_finite(number) for number in value):
            raise columns.fail("scores must be a list of numbers", row, value=value)
        return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vectors(Field):
    """Vectors of a teacher: of the query, the right passage, each negative; in a file lists."""

    target: bool = True
    optional: bool = True
    names: Sequence[str] = ("teacher_vectors",)
    what: ClassVar[str] = "list of vectors"

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return lists of vectors of one width."""
        width = 0
        for row, value in _values(columns, name):
            several = value if isinstance(value, list) else []
            if not several or not all(isinstance(vector, list) for vector in several):
                raise columns.fail("vectors must be a list of lists of numbers", row, value=value)
            if not all(_is_finite(number) for vector in several for number in vector):
                raise columns.fail("vectors must be lists of numbers", row)
            width = width or len(several[0])
            if not width or any(len(vector) != width for vector in several):
                raise columns.fail(
                    f"all vectors must have as many numbers as the first, {width}", row
                )
        rows = [value for _, value in _values(columns, name)]
        return pa.array(rows, pa.list_(pa.list_(pa.float32())))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Relevance(StoredNumber, Field):
    """How right a passage is for a query, from 0 to 1."""

    target: bool = True
    optional: bool = True
    names: Sequence[str] = ("label",)
    what: ClassVar[str] = "number from 0 to 1"

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return the numbers; files of texts alone write them as such."""
        rows = [self._number(columns, row, value) for row, value in _values(columns, name)]
        return pa.array(rows, pa.float32())

    def _number(self, columns: Columns, row: int, value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not 0 <= found <= 1:
            raise columns.fail("relevance must be a number from 0 to 1", row, value=value)
        return found


RATINGS = ("label", "relevance", "score", "gold_label", "is_duplicate", "similarity", "rating")
"""Columns by which a file says how right a passage is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passage(Text):
    """A passage; in a file a text, or a list of one."""

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return the passages.

        Raises:
            UserError: A row has several, or none.
        """
        values = list(columns.values[name])
        for row, value in enumerate(values):
            if isinstance(value, list) and value and isinstance(value[0], str):
                if len(value) > 1:
                    raise columns.fail(
                        f"{name} has {len(value)} texts, but a row must have one relevant passage",
                        row,
                        hint=f"To write a row for each: jq -c '.{name}[] as $one | . + "
                        f"{{{name}: $one}}' "
                        "IN > OUT.",
                    )
                values[row] = value[0]
        return super().read(dataclasses.replace(columns, values={name: values}), name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Right(Passage):
    """A passage that is right for its query, in a file that says of none that it is wrong."""

    target: bool = True

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return the passages.

        Raises:
            UserError: Another column says how right each is, which would be ignored.
        """
        for other in (o for o in columns.values if o.lower() in RATINGS and o != name):
            ratings = [str(value) for value in columns.values[other]]
            row = next((r for r, value in enumerate(ratings) if value != ratings[0]), None)
            if row is not None:
                raise columns.fail(
                    f"each pair counts as relevant, but {other} grades the relevance: "
                    f"{ratings[0]!r} in {columns.place(0)}, here {ratings[row]!r}",
                    row,
                    hint="Keep only relevant pairs in the file. For grades from 0 to 1, use "
                    "task=reranker task.loss=pointwise. If the column means something else, "
                    "rename it.",
                )
        return super().read(columns, name)


def _values(columns: Columns, name: str) -> Iterator[tuple[int, Any]]:
    return enumerate(columns.values[name])


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast(float, value))


SEARCHED: Fields = {
    "query": Text(names=("question", "anchor", "source", "sentence1")),
    "positive": Right(names=("passage", "context", "answer", "target", "sentence2", "pos")),
    "negatives": Negatives(),
    "scores": Scores(),
    "vectors": Vectors(),
}
"""Queries, the passage that each is to find, and others that it is not."""
RANKED: Fields = {
    "query": SEARCHED["query"],
    "passage": Passage(names=("positive", "context", "document", "answer", "sentence2", "pos")),
    "negatives": Negatives(),
    "relevance": Relevance(),
}
"""Queries with a passage that is right, or as right as the relevance says, and wrong ones."""


RIGHT = 0.5
"""Relevance from which a passage is a right one."""


def key_of(text: str) -> int:
    """Return a number that texts which are the same share."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def passages_of(table: pa.Table) -> tuple[list[str], list[list[int]]]:
    """Return the different passages of a split, and the numbers of each query's right ones.

    Args:
        table: With `query` and `positive`; passages that stand under `negatives` are among them.
    """
    queries, positives = (table.column(n).to_pylist() for n in ("query", "positive"))
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(text, len(numbers)) for text in positives]
    if "negatives" in table.column_names:
        for several in table.column("negatives").to_pylist():
            for text in several or ():
                numbers.setdefault(text, len(numbers))
    of_query: dict[str, dict[int, None]] = {}
    for query, number in zip(queries, own, strict=True):
        of_query.setdefault(query, {})[number] = None
    right = [
        [number, *(n for n in of_query[query] if n != number)]
        for query, number in zip(queries, own, strict=True)
    ]
    return list(numbers), right


def candidates_of(rows: Mapping[str, list[Any]]) -> list[tuple[list[str], list[float]]]:
    """Return the different passages of each row, its own first, and how right each is."""
    count = len(rows["query"])
    relevance = rows.get("relevance") or [1.0] * count
    others = rows.get("negatives") or [None] * count
    found = []
    for passage, right, several in zip(rows["passage"], relevance, others, strict=True):
        texts = list(dict.fromkeys([passage, *(several or [])]))
        found.append((texts, [right, *[0.0] * (len(texts) - 1)]))
    return found


def require_taught(table: pa.Table, column: str, *, key: str) -> None:
    """Refuse rows without what a teacher says of their passages.

    Args:
        table: A split.
        column: `scores`, a number a passage, or `vectors`, one more for the query.
        key: The config key that asks for it.
    """
    asked = column == "vectors"
    if column not in table.column_names:
        raise UserError(
            f"the loss needs a teacher's {column}, but the rows have none",
            key=key,
            hint="`lushan search INDEX --input FILE --relevant COLUMN --negatives 4"
            f"{' --vectors' if asked else ' --rerank RUN'}` writes them.",
        )
    for row in table.to_pylist():
        count = len(row.get("negatives") or ())
        if len(row[column]) != 1 + count + asked or not (count or asked):
            raise UserError(
                f"{len(row[column])} {column} of {'a query, ' if asked else ''}a relevant "
                f"passage and {count} negatives",
                file=row["file"],
                line=row["line"],
                hint="The teacher must score each of them, in this order.",
            )
