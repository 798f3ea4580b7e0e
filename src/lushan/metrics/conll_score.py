"""Score the CoNLL output of any system: `lushan score --gold a.conll --pred b.conll`."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from lushan.common import units
from lushan.common.wording import plural
from lushan.data import files
from lushan.data.formats.conll import Conll
from lushan.data.tagged import TOKEN_LINES
from lushan.errors import UserError, shorten
from lushan.metrics.entities import (
    Sentences,
    TokenReport,
    entity_counts,
    score_entities,
    score_tokens,
)
from lushan.metrics.prf import Report
from lushan.metrics.stats.bootstrap import Interval, f1_interval
from lushan.text import tag_detection
from lushan.text import tags as tagging

SCORES = ("precision", "recall", "f1")
"""Scores of each class."""

Align = Literal["tokens", "position"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The scores of a system's output.

    Attributes:
        gold: File of the gold tags.
        predicted: File of the predicted tags.
        schemes: Tag schemes of the two.
        sentences: How many.
        tokens: How many.
        differing: How many of them are not the same in both files, where that is allowed.
        entity: Entity level, ill-formed tags read as conlleval reads them.
        entity_strict: Entity level, ill-formed tags dropped as seqeval's strict mode does.
        token: Token level.
        interval: 95 % bootstrap interval over sentences of the micro entity F1; None where all
            resamples agree.
        notes: What the reader of the numbers must know.
    """

    gold: str
    predicted: str
    schemes: tuple[str, str]
    sentences: int
    tokens: int
    differing: int
    entity: Report
    entity_strict: Report
    token: TokenReport
    interval: Interval | None
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
                "differing_tokens": self.differing,
                "gold": micro.support,
                "predicted": micro.predicted,
                "correct": micro.correct,
            },
            "metrics": metrics,
            "ci": {"entity_f1": list(self.interval)} if self.interval else {},
            "report": {"entity": self.entity.as_dict(), "token": self.token.as_dict()},
            "notes": self.notes,
        }

    def table(self) -> str:
        """Everything, to read: counts, the entity table, the token table, notes."""
        micro = self.entity.micro
        low, high = self.interval or (None, None)
        within = units.interval(low, high, units.SHARE)
        lines = [
            f"{self.sentences:,} sentences, {self.tokens:,} tokens, {micro.support:,} entities; "
            f"{micro.predicted:,} found, {micro.correct:,} of them right",
            "",
            *_rows(
                "entity level (an entity is correct if its words and its type are)",
                self.entity.as_dict(),
            ),
            f"entity F1 {units.text(micro.f1, units.SHARE)}"
            + (f", 95 % interval {within}" if within else ""),
            "",
            *_rows(
                "token level (each tag separately; this is not entity F1)",
                self.token.as_dict(),
            ),
            f"token accuracy {units.text(self.token.accuracy, units.SHARE)}, "
            f"without O {units.text(self.token.accuracy_without_o, units.SHARE)}",
        ]
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])


def _rows(title: str, rows: dict[str, dict[str, float | int]]) -> Iterator[str]:
    width = max(map(_width, rows))
    yield title
    heads = "".join(f"{units.head(name, units.SHARE):>14}" for name in SCORES)
    yield f"{'':{width}} {heads}  support"
    for name, row in rows.items():
        cells = "".join(f"{units.number(row[part], units.SHARE):>14}" for part in SCORES)
        yield f"{name}{' ' * (width - _width(name))} {cells}{row['support']:9,}"


def _width(text: str) -> int:
    """Columns on a terminal, where Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def score(
    gold_path: str | Path,
    pred_path: str | Path | None = None,
    *,
    scheme: str = "auto",
    gold_scheme: str | None = None,
    pred_scheme: str | None = None,
    align: Align = "tokens",
    token_column: int = 0,
    gold_column: int | None = None,
    pred_column: int = -1,
) -> Verdict:
    """Compare predicted tags with gold tags.

    Args:
        gold_path: Columns parted by tabs or spaces, an empty line after each sentence; may be .gz.
        pred_path: The same tokens with predicted tags. Without it, `gold_path` holds both, as
            conlleval wants it.
        scheme: Tag scheme of both sides; `auto` finds it on each side by itself.
        gold_scheme: Tag scheme of the gold tags, where it is not `scheme`.
        pred_scheme: Tag scheme of the predicted tags, likewise.
        align: What must be equal: `tokens`, or only how many there are in each sentence
            (`position`), for a system that changed tokens; those that differ are counted.
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
            hint="Give another file, or the columns.",
        )
    notes: list[str] = []
    gold = _read(Path(gold_path), token_column, gold_column, notes)
    predicted = _read(Path(other_path), token_column, pred_column, notes)
    notes = list(dict.fromkeys(notes))  # both sides may be one file
    differing, problems = _aligned(gold, predicted, align)
    notes += problems
    schemes = _schemes(gold, predicted, gold_scheme or scheme, pred_scheme or scheme)
    notes += _check_tags(gold, schemes[0], "gold") + _check_tags(predicted, schemes[1], "predicted")
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
            "Ill-formed tags are interpreted as in conlleval; seqeval's strict mode, which drops "
            f"them, gives F1 {units.text(strict.micro.f1, units.SHARE)}."
        )
    if schemes[0] != schemes[1]:
        notes.append(
            f"The schemes differ ({schemes[0]} in gold, {schemes[1]} in predictions): the token "
            "level compares both in iob2."
        )
    return Verdict(
        gold=str(gold_path),
        predicted=str(other_path),
        schemes=schemes,
        sentences=len(gold.tags),
        tokens=sum(map(len, gold.tags)),
        differing=differing,
        entity=entity,
        entity_strict=strict,
        token=score_tokens(*_comparable(gold.tags, predicted.tags, schemes)),
        interval=f1_interval(counts),
        notes=notes,
    )


@dataclasses.dataclass
class _Side:
    """One column of tags, with the tokens beside it and the line of each."""

    path: Path
    tokens: list[list[str]]
    tags: list[list[str]]
    lines: list[Sequence[int]]


def _read(path: Path, token_column: int, tag_column: int, notes: list[str]) -> _Side:
    found: list[str] = []
    try:
        text = files.read_text(path)
        conll = Conll(token_column=token_column, tag_column=tag_column)
        table = conll.table(text, path, notes=found)
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
    notes += [f"{path}: {note}." for note in found]
    tokens, tags = (table.column(name).to_pylist() for name in ("tokens", "tags"))
    if TOKEN_LINES in table.column_names:
        lines = table.column(TOKEN_LINES).to_pylist()
    else:
        starts = table.column("line").to_pylist()
        lines = [range(n, n + len(words)) for n, words in zip(starts, tokens, strict=True)]
    return _Side(path, tokens, tags, lines)


def _aligned(gold: _Side, predicted: _Side, align: Align) -> tuple[int, list[str]]:
    """Both files must hold the same words, or as many, in as many sentences.

    Returns:
        How many words differ, where they may, and what to say of them.
    """
    differing, first = 0, ""
    for g, p, here, there in zip(
        gold.tokens, predicted.tokens, predicted.lines, gold.lines, strict=False
    ):
        if g == p:
            continue
        if align == "tokens" or len(g) != len(p):
            raise _differ(gold, predicted, (g, there), (p, here), align)
        places = [i for i, (a, b) in enumerate(zip(g, p, strict=True)) if a != b]
        differing += len(places)
        i = places[0]
        first = first or f"{shorten(p[i])} in {predicted.path}:{here[i]}, {shorten(g[i])} in gold"
    if len(gold.tokens) != len(predicted.tokens):
        longer, shorter = sorted((gold, predicted), key=lambda s: -len(s.tokens))
        raise UserError(
            f"{len(longer.tokens)} sentences, but {len(shorter.tokens)} in {shorter.path}; "
            "this is the first one too many",
            file=longer.path,
            line=longer.lines[len(shorter.tokens)][0],
        )
    if not differing:
        return 0, []
    note = f"{differing:,} of {sum(map(len, gold.tokens)):,} tokens differ, compared by position"
    return differing, [f"{note}; the first: {first}."]


def _differ(
    gold: _Side,
    predicted: _Side,
    ours: tuple[list[str], Sequence[int]],
    theirs: tuple[list[str], Sequence[int]],
    align: Align,
) -> UserError:
    """The error for two sentences that do not hold the same words."""
    (g, there), (p, here) = ours, theirs
    shared = min(len(g), len(p))
    i = next((i for i in range(shared) if g[i] != p[i]), shared)
    problems = [
        shorten(words[i]) if i < len(words) else "the end of the sentence" for words in (p, g)
    ]
    lines = [lines[i] if i < len(lines) else lines[-1] + 1 for lines in (here, there)]
    problem = f"the files differ: {problems[0]} here, {problems[1]} in {gold.path}:{lines[1]}"
    hint = "Both files must have the same tokens and empty lines; only tags can differ."
    if align == "position":
        problem += f" ({len(p)} and {len(g)} tokens in this sentence)"
        hint = "To compare by position, each sentence must have as many tokens in both files."
    elif len(p) == len(g):
        hint += " If the system changed tokens, compare by position: --align position."
    return UserError(problem, file=predicted.path, line=lines[0], hint=hint)


def _schemes(gold: _Side, predicted: _Side, ours: str, theirs: str) -> tuple[str, str]:
    """The scheme of each side; of those that fit predictions equally well, that of gold."""
    first = _detect(gold) if ours == "auto" else tagging.scheme_name(ours)
    if theirs != "auto":
        return first, tagging.scheme_name(theirs)
    second = _detect(predicted)
    against = {fit.scheme: fit.against for fit in tag_detection.fits(predicted.tags)}
    return first, first if against[first] == against[second] else second


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
        return tag_detection.detect(side.tags)
    except UserError as error:
        line = next(
            line
            for lines, tags in zip(side.lines, side.tags, strict=True)
            for line, tag in zip(lines, tags, strict=True)
            if tag == error.value
        )
        raise UserError(
            error.problem, value=error.value, file=side.path, line=line, hint=error.hint
        ) from None


def _check_tags(side: _Side, scheme: str, which: str) -> list[str]:
    """Refuse what is not a tag of any scheme; count those that are ill-formed in theirs."""
    count, first = 0, ""
    for lines, tags in zip(side.lines, side.tags, strict=True):
        for bad in tagging.violations(tags, scheme):
            line = lines[bad.position]
            if bad.repaired is None:
                raise UserError(bad.problem, file=side.path, line=line)
            count += 1
            first = first or f"{bad.problem} in line {line}"
    if not count:
        return []
    entities = sum(len(tagging.spans(tags, scheme)) for tags in side.tags)
    best = tag_detection.fits(side.tags)[0].scheme
    better = f" {best} fits them better." if best != scheme else ""
    return [
        f"{plural(count, f'{which} tag is', f'{which} tags are')} ill-formed in {scheme} "
        f"({plural(entities, 'entity', 'entities')}); the first: "
        f"{first}.{better}"
    ]
