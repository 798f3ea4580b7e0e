"""Stored predictions in the few bytes a browser needs.

What the examples are (texts, words, gold answers) is the same for all runs on one data set and is
written once, under the hash of its content; of each run there is only what it predicted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lushan.report.class_scores import kind_of, spans
from lushan.run.files import jsonable
from lushan.study.example_statistics import set_of
from lushan.study.records import Records

# Line ends of Unicode are ones in older scripts; lone surrogates are no UTF-8.
_UNSAFE = re.compile("[<\u2028\u2029\ud800-\udfff]")
_NO_NUMBERS = ("id", "gold", "predicted", "example")


@dataclasses.dataclass(frozen=True)
class Compact:
    """The predictions of a run on a split.

    Attributes:
        kind: See `judging.kind_of`.
        shared: Rows of [id, text, gold]: of tags [id, words, entities].
        own: Rows of [predicted, numbers]: of tags the entities, of labels [label, p, p of gold].
        numbers: What the numbers of each row are.
        left_out: Examples for which nothing was predicted.
        hash: Of the kind and what is shared.
    """

    kind: str
    shared: list[Any]
    own: list[Any]
    numbers: list[str]
    left_out: int
    hash: str

    @property
    def errors(self) -> int:
        """Examples that are wrong, as far as examples are right or wrong."""
        return sum(not self._is_right(*pair) for pair in zip(self.shared, self.own, strict=True))

    def _is_right(self, shared: Sequence[Any], own: Sequence[Any]) -> bool:
        gold, predicted = shared[2], own[0]
        if self.kind == "tags":
            return bool(gold == [span[:3] for span in predicted])
        if self.kind == "labels":
            return set_of(gold) == set_of(predicted[0])
        return bool(predicted == gold or (isinstance(gold, list) and predicted in gold))


def compact(records: Records, prompts: Mapping[str, str] | None = None) -> Compact | None:
    """What a browser needs of some records; None where nothing was predicted.

    Args:
        records: As `studies.records.read` gives them.
        prompts: Example to the text it began with, of runs that store no source.

    Raises:
        KeyError, TypeError, ValueError: A record is not like the others.
    """
    kind = kind_of(records)
    if kind is None:
        return None
    rows = [r for r in records if "predicted" in r and "gold" in r]
    numbers = _numbers(rows)
    one = {"tags": _tagged, "labels": _labelled, "texts": _written, "numbers": _written}[kind]
    pairs = [one(row, (prompts or {}).get(str(row["id"]))) for row in rows]
    shared = [pair[0] for pair in pairs]
    own = [[pair[1], _values(row, numbers)] for pair, row in zip(pairs, rows, strict=True)]
    text = json.dumps([kind, shared], ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return Compact(kind, shared, own, numbers, len(records) - len(rows), digest)


def _tagged(row: Mapping[str, Any], _: str | None) -> tuple[list[Any], list[Any]]:
    words = [str(word) for word in row["tokens"]]
    if not len(words) == len(row["gold"]) == len(row["predicted"]):
        raise ValueError(f"example {row['id']} has not one tag a word")
    sure = {(e["start"], e["end"]): e.get("score") for e in row.get("entities") or ()}
    found = []
    for span in spans(row["predicted"]):
        score = sure.get((span.start, span.end))
        found.append([*span] if score is None else [*span, _short(score)])
    return [str(row["id"]), words, [[*span] for span in spans(row["gold"])]], found


def _labelled(row: Mapping[str, Any], _: str | None) -> tuple[list[Any], list[Any]]:
    text = [str(row[name]) for name in ("text", "text_pair") if row.get(name) is not None]
    gold, predicted = row["gold"], row["predicted"]
    chances = row.get("probabilities") or {}
    alone = isinstance(gold, str) and isinstance(predicted, str)
    sure = [_short(chances.get(label)) for label in (predicted, gold)] if alone else [None, None]
    return [str(row["id"]), text, gold], [predicted, *sure]


def _written(row: Mapping[str, Any], prompt: str | None) -> tuple[list[Any], Any]:
    names = ("source", "text", "text_pair", "prompt")
    text = [str(row[name]) for name in names if row.get(name) is not None]
    if not text and prompt is not None:
        text = [prompt]
    return [str(row["id"]), text, row["gold"]], row["predicted"]


def _numbers(rows: Records) -> list[str]:
    """Names of the numbers that every row has."""
    names = [
        name
        for name, value in rows[0].items()
        if name not in _NO_NUMBERS and isinstance(value, int | float) and type(value) is not bool
    ]
    return [n for n in names if all(isinstance(r.get(n), int | float | None) for r in rows)]


def _values(row: Mapping[str, Any], numbers: Sequence[str]) -> list[float | None]:
    return [_short(row.get(name)) for name in numbers]


def _short(value: Any) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.4g}")


def script(name: str, content: object) -> str:
    """A file that hands some data to the page: a page opened from a disk may fetch none.

    The data are JSON in a string: read by `JSON.parse`, a label called `__proto__` is a label.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):  # what JSON has no number or no form for
        text = json.dumps(jsonable(content), ensure_ascii=False, separators=(",", ":"))
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    safe = _UNSAFE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", quoted)
    return f"lushan.put({json.dumps(name)}, JSON.parse('{safe}'));\n"
