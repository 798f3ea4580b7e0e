"""Judge the CoNLL output of any system: `lushan score --gold a.conll --pred b.conll`."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lushan import units
from lushan.data import files
from lushan.data.sources.conll import Conll
from lushan.errors import UserError, shorten
from lushan.metrics.bootstrap import Interval, f1_interval
from lushan.metrics.entities import (
    Sentences,
    TokenReport,
    entity_counts,
    score_entities,
    score_tokens,
)
from lushan.metrics.prf import Report
from lushan.text import tags as tagging

SCORES = ("precision", "recall", "f1")
"""Of each class."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a system's output is worth.

    Attributes:
        gold: File of the gold tags.
        predicted: File of the predicted tags.
        schemes: Tag schemes of the two.
        sentences: How many.
        tokens: How many.
        entity: Entity level, forbidden tags read as conlleval reads them.
        entity_strict: Entity level, forbidden tags dropped as seqeval's strict mode does.
        token: Token level.
        interval: 95 % bootstrap interval over sentences of the micro entity F1.
        notes: What the reader of the numbers must know.
    """

    gold: str
    predicted: str
    schemes: tuple[str, str]
    sentences: int
    tokens: int
    entity: Report
    entity_strict: Report
    token: TokenReport
    interval: Interval
    notes: list[str]

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers under the names that runs give them."""
        named = {"micro": "", "macro": "_macro", "weighted": "_weighted"}
        entity = {
            f"entity_{part}{suffix}": getattr(getattr(self.entity, average), part)
            for average, suffix in named.items()
            for part in ("f1", "precision", "recall")
        }
        return entity | {
            "entity_f1_strict": self.entity_strict.micro.f1,
            "token_accuracy": self.token.accuracy,
            "token_accuracy_without_o": self.token.accuracy_without_o,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON; a number that is not defined is null."""
        micro = self.entity.micro
        metrics = {k: None if math.isnan(v) else v for k, v in self.metrics.items()}
        return {
            "gold": self.gold,
            "predicted": self.predicted,
            "schemes": {"gold": self.schemes[0], "predicted": self.schemes[1]},
            "counts": {
                "sentences": self.sentences,
                "tokens": self.tokens,
                "gold": micro.support,
                "predicted": micro.predicted,
                "correct": micro.correct,
            },
            "metrics": metrics,
            "ci": {} if math.isnan(self.interval[0]) else {"entity_f1": list(self.interval)},
            "report": {"entity": self.entity.as_dict(), "token": self.token.as_dict()},
            "notes": self.notes,
        }

    def table(self) -> str:
        """Everything, to read: counts, the entity table, the token table, notes."""
        micro = self.entity.micro
        low, high = self.interval
        lines = [
            f"{self.sentences:,} sentences, {self.tokens:,} tokens, {micro.support:,} entities; "
            f"{micro.predicted:,} found, {micro.correct:,} of them right",
            "",
            *_rows(
                "entity level (an entity counts when its words and its type are right)",
                self.entity.as_dict(),
            ),
            f"entity F1 {units.text(micro.f1, 'f1')}, "
            f"95 % interval {units.interval(low, high, 'f1')}",
            "",
            *_rows(
                "token level (each tag by itself; not to be quoted as entity F1)",
                self.token.as_dict(),
            ),
            f"token accuracy {units.text(self.token.accuracy, 'accuracy')}, "
            f"without O {units.text(self.token.accuracy_without_o, 'accuracy')}",
        ]
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])


def _rows(title: str, rows: dict[str, dict[str, float | int]]) -> Iterator[str]:
    width = max(map(_width, rows))
    yield title
    yield f"{'':{width}} {''.join(f'{units.head(name):>14}' for name in SCORES)}  support"
    for name, row in rows.items():
        cells = "".join(f"{units.number(row[part], part):>14}" for part in SCORES)
        yield f"{name}{' ' * (width - _width(name))} {cells}{row['support']:9,}"


def _width(text: str) -> int:
    """Columns on a terminal, where Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def score(
    gold_path: str | Path,
    pred_path: str | Path | None = None,
    *,
    scheme: str = "auto",
    token_column: int = 0,
    gold_column: int | None = None,
    pred_column: int = -1,
) -> Verdict:
    """Judge predicted tags against gold tags.

    Args:
        gold_path: Columns parted by tabs or spaces, an empty line after each sentence; may be .gz.
        pred_path: The same tokens with predicted tags. Without it, `gold_path` holds both, as
            conlleval wants it.
        scheme: Tag scheme of both files; `auto` tells it from the gold tags, and from the predicted
            ones only where these do not fit it.
        token_column: Where the token stands, from 0; negative numbers count from the end.
        gold_column: Where the gold tag stands; by default in the last column, and in the last but
            one if there is one file.
        pred_column: Where the predicted tag stands.

    Raises:
        UserError: A file that cannot be read, a tag of no scheme, or tokens that differ.
    """
    if gold_column is None:
        gold_column = -2 if pred_path is None else -1
    other_path = gold_path if pred_path is None else pred_path
    if Path(gold_path) == Path(other_path) and gold_column == pred_column:
        raise UserError(
            "gold and predicted tags are the same column of the same file",
            file=gold_path,
            hint="Name another file, or the columns.",
        )
    gold = _read(Path(gold_path), token_column, gold_column)
    predicted = _read(Path(other_path), token_column, pred_column)
    _same_tokens(gold, predicted)
    schemes = _schemes(gold, predicted, scheme)
    notes = _check_tags(gold, schemes[0], "gold") + _check_tags(predicted, schemes[1], "predicted")
    entity, strict = (
        score_entities(
            gold.tags, predicted.tags, scheme=schemes[0], predicted_scheme=schemes[1], strict=strict
        )
        for strict in (False, True)
    )
    counts = entity_counts(
        gold.tags, predicted.tags, scheme=schemes[0], predicted_scheme=schemes[1]
    )
    if strict.micro != entity.micro:
        notes.append(
            "Tags that the scheme forbids are read as conlleval does; seqeval's strict mode, which "
            f"drops them, gives F1 {units.text(strict.micro.f1, 'f1')}."
        )
    if schemes[0] != schemes[1]:
        notes.append(f"The schemes differ ({' and '.join(schemes)}): token level in iob2.")
    return Verdict(
        gold=str(gold_path),
        predicted=str(other_path),
        schemes=schemes,
        sentences=len(gold.tags),
        tokens=sum(map(len, gold.tags)),
        entity=entity,
        entity_strict=strict,
        token=score_tokens(*_comparable(gold.tags, predicted.tags, schemes)),
        interval=f1_interval(counts),
        notes=notes,
    )


@dataclasses.dataclass
class _Side:
    """One column of tags, with the tokens beside it and the line of each sentence's first."""

    path: Path
    tokens: list[list[str]]
    tags: list[list[str]]
    lines: list[int]


def _read(path: Path, token_column: int, tag_column: int) -> _Side:
    try:
        text = files.read_text(path)
        table = Conll(token_column=token_column, tag_column=tag_column).table(text, path)
    except UserError as error:  # it speaks of the keys of a run, and here there is none
        hint = None if error.key or "data." in (error.hint or "") else error.hint
        raise UserError(
            error.problem,
            value=error.value,
            file=path,
            line=error.line,
            column=error.column,
            hint=hint,
        ) from None
    return _Side(path, *(table.column(name).to_pylist() for name in ("tokens", "tags", "line")))


def _same_tokens(gold: _Side, predicted: _Side) -> None:
    """Both files must hold the same words in the same sentences."""
    for g, p, start, at in zip(
        gold.tokens, predicted.tokens, predicted.lines, gold.lines, strict=False
    ):
        if g == p:
            continue
        i = next(
            (i for i, (a, b) in enumerate(zip(g, p, strict=False)) if a != b), min(len(g), len(p))
        )
        ours, theirs = (shorten(s[i]) if i < len(s) else "the end of the sentence" for s in (g, p))
        raise UserError(
            f"the files differ: {theirs} here, {ours} in {gold.path}:{at + i}",
            file=predicted.path,
            line=start + i,
            hint="Both must hold the same tokens and the same empty lines; only tags may differ.",
        )
    if len(gold.tokens) != len(predicted.tokens):
        longer, shorter = sorted((gold, predicted), key=lambda s: -len(s.tokens))
        raise UserError(
            f"{len(longer.tokens)} sentences, but {len(shorter.tokens)} in {shorter.path}; "
            "this is the first one too many",
            file=longer.path,
            line=longer.lines[len(shorter.tokens)],
        )


def _schemes(gold: _Side, predicted: _Side, scheme: str) -> tuple[str, str]:
    if scheme != "auto":
        named = tagging.scheme_name(scheme)
        return named, named
    first = _detect(gold)
    fits = not any(
        v.repaired is None for tags in predicted.tags for v in tagging.violations(tags, first)
    )
    return first, first if fits else _detect(predicted)


def _comparable(
    gold: Sentences, predicted: Sentences, schemes: tuple[str, str]
) -> tuple[Sentences, Sentences]:
    """Tags in one scheme: as they are, or in IOB2 where theirs differ."""
    if schemes[0] == schemes[1]:
        return gold, predicted
    ours, theirs = (
        [tagging.convert(tags, scheme, "iob2", lenient=True) for tags in side]
        for side, scheme in zip((gold, predicted), schemes, strict=True)
    )
    return ours, theirs


def _detect(side: _Side) -> str:
    try:
        return tagging.detect(side.tags)
    except UserError as error:
        place = next(
            start + i
            for start, tags in zip(side.lines, side.tags, strict=True)
            for i, tag in enumerate(tags)
            if tag == error.value
        )
        raise UserError(
            error.problem, value=error.value, file=side.path, line=place, hint=error.hint
        ) from None


def _check_tags(side: _Side, scheme: str, which: str) -> list[str]:
    """Refuse tags of no scheme; count those that stand where theirs forbids them."""
    count, first = 0, ""
    for start, tags in zip(side.lines, side.tags, strict=True):
        for bad in tagging.violations(tags, scheme):
            line = start + bad.position
            if bad.repaired is None:
                raise UserError(bad.problem, file=side.path, line=line)
            count += 1
            first = first or f"{bad.problem} in line {line}"
    if not count:
        return []
    return [f"{count:,} {which} tags stand where {scheme} forbids them; the first: {first}."]
