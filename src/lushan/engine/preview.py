"""A picture of one training batch, for the eye: what is read, and what of it is learned.

`debug=batch` shows it instead of training. It is drawn from the tensors that the model would get.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from lushan.common.terminal import console, echo
from lushan.data.field_roles import inputs
from lushan.data.field_tables import present
from lushan.data.source import Source
from lushan.engine.components import Components, build_components
from lushan.engine.fit import batching_of, make_module, plan_of
from lushan.engine.limits import TrainLimits
from lushan.engine.quieting import quiet_lightning
from lushan.tasks.base import Task
from lushan.tasks.batches import IGNORED, Batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ROWS = 8
"""Rows that are drawn; the counts are those of all."""
LISTED = 48
"""Tokens of the first row that are listed one by one."""
_REPEATED = re.compile(r"(<[^<>\s]+>)\1{3,}")
"""A token that stands often, one beside the other, as that of an image."""
LEARNED, NOTE, BORDER = "bold black on green", "green", "bold magenta"


@dataclasses.dataclass
class Row:
    """One row of a batch.

    Attributes:
        example: Number of the example in its split; of several in one row, the first.
        tokens: The ids, without padding.
        learned: For each token, None where nothing is learned, else what besides the token itself.
        starts: Where documents begin among the tokens.
        padding: Tokens that fill the row up.
        note: What the row as a whole is to learn.
        noted: Tokens that the note counts for.
    """

    example: int
    tokens: list[int]
    learned: list[str | None]
    starts: list[int] = dataclasses.field(default_factory=lambda: [0])
    padding: int = 0
    note: str | None = None
    noted: int = 0

    @property
    def targets(self) -> int:
        """Number of targets."""
        return self.noted or sum(x is not None for x in self.learned)


def show(cfg: Mapping[str, Any], source: Source) -> None:
    """Draw the first batch of the run that a checked config describes.

    Raises:
        UserError: The data cannot be used, as in training.
    """
    quiet_lightning()
    limits = TrainLimits.of(cfg["trainer"])
    parts = build_components(cfg, source)
    plan = plan_of(parts, batching_of(cfg, parts, limits))
    batch = next(iter(make_module(cfg, parts, plan).training_loader(0)))
    rows = [row for micro in batch["micro"] for row in rows_of(parts.task, micro, parts.tokenizer)]
    plain = not sys.stdout.isatty()
    notes = [Text(f"note: {note}") for note in parts.notes]
    of = f"batch 1 of {plan.total_steps:,}"
    write([*notes, *drawn(rows, parts, plain=plain, of=of)], plain=plain)


def write(lines: Sequence[Text], *, plain: bool) -> None:
    """Put lines on standard output, with their colours where it is a terminal."""
    if not plain:
        screen = console(highlight=False, soft_wrap=True)
        for line in lines:
            screen.print(line)
        return
    try:
        echo("".join(f"{line.plain}\n" for line in lines), end="")
    except BrokenPipeError:  # the reader has closed the pipe: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What stands in a batch


def rows_of(task: Task, batch: Batch, tokenizer: PreTrainedTokenizerFast) -> list[Row]:
    """Return the rows of a batch, by what its model learns."""
    read: Mapping[str, Callable[..., Row]] = {
        "next": _next_tokens,
        "same": _hidden_tokens,
        "apart": _target_tokens,
    }
    lessons = task.lessons(batch)
    rows = []
    for number, example in enumerate(batch["example"].tolist()):
        if "input_ids" not in batch:  # an image, which is named instead of drawn
            rows.append(_labelled(Row(example, [], []), lessons[number] if lessons else {}))
            continue
        ids = batch["input_ids"][number].tolist()
        length = _length(batch, number, tokenizer.pad_token_id)
        row = Row(example, ids[:length], [None] * length, padding=len(ids) - length)
        if "position_ids" in batch:
            places = batch["position_ids"][number, :length].tolist()
            row.starts = [i for i, place in enumerate(places) if place == 0]
        if task.labels_of_tokens is not None:
            labels = batch["labels"][number].tolist()
            row = read[task.labels_of_tokens](row, labels, tokenizer)
        elif lessons:
            row = _labelled(row, lessons[number])
        rows.append(row)
    return rows


def _length(batch: Batch, number: int, pad_id: int) -> int:
    """Tokens of a row without its padding."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"][number].sum())
    ids = batch["input_ids"][number]
    real = ids != pad_id
    if "labels" in batch and batch["labels"].shape == batch["input_ids"].shape:
        real = real | (batch["labels"][number] != IGNORED)
    found = real.nonzero().flatten().tolist()
    return found[-1] + 1 if found else 0


def _next_tokens(row: Row, labels: Sequence[int], tokenizer: PreTrainedTokenizerFast) -> Row:
    """Each label beside the token that it should be: the one that follows."""
    tokens: list[int] = []
    learned: list[str | None] = []
    starts = []
    for start, end in zip(row.starts, [*row.starts[1:], len(row.tokens)], strict=True):
        starts.append(len(tokens))
        tokens.append(row.tokens[start])
        learned.append(None)
        for place in range(start, end):
            label = labels[place]
            follows = row.tokens[place + 1] if place + 1 < end else label
            if follows == IGNORED:
                continue
            tokens.append(follows)
            learned.append(_lesson(label, follows, tokenizer))
    return dataclasses.replace(row, tokens=tokens, learned=learned, starts=starts)


def _lesson(label: int, token: int, tokenizer: PreTrainedTokenizerFast) -> str | None:
    """Return the target at a token: None, '' for the token itself, or another one's text."""
    if label == IGNORED:
        return None
    return "" if label == token else str(tokenizer.decode([label]))


def _hidden_tokens(row: Row, labels: Sequence[int], tokenizer: PreTrainedTokenizerFast) -> Row:
    """Each label at its own place."""
    pairs = zip(row.tokens, labels, strict=False)
    learned = [_lesson(label, token, tokenizer) for token, label in pairs]
    return dataclasses.replace(row, learned=learned)


def _target_tokens(row: Row, labels: Sequence[int], tokenizer: PreTrainedTokenizerFast) -> Row:
    """All labels as one text."""
    ids = [label for label in labels if label != IGNORED]
    return dataclasses.replace(row, note=str(tokenizer.decode(ids)), noted=len(ids))


def _labelled(row: Row, lesson: str | Mapping[int, str]) -> Row:
    if isinstance(lesson, str):
        return dataclasses.replace(row, note=lesson, noted=1)
    return dataclasses.replace(row, learned=[lesson.get(i) for i in range(len(row.tokens))])


# How it is drawn


def drawn(rows: Sequence[Row], parts: Components, *, plain: bool, of: str) -> Iterator[Text]:
    """The lines of the picture; marks instead of colours where it is `plain`."""
    read, padding = sum(len(r.tokens) for r in rows), sum(r.padding for r in rows)
    targets = sum(r.targets for r in rows)
    share = 100 * padding / max(1, read + padding)
    tokens = f"{read:,} tokens, " if read else ""
    filled = f", {padding:,} padding ({share:.1f} %)" if read else ""
    yield Text(f"{of}: {len(rows)} rows, {tokens}{targets:,} learned{filled}")
    yield Text("learned: ").append(*_marked("so", "", plain))
    ids = parts.corpus.splits["train"].column("id")
    for number, row in enumerate(rows[:ROWS], start=1):
        yield Text()
        yield Text(_heading(number, row, str(ids[row.example])), style="bold")
        yield _line(row, parts.tokenizer, plain=plain, named=_named(parts, row))
        if row.tokens and (seen := _media(parts, row)):
            yield Text(f"images: {seen}", style="dim")
    if len(rows) > ROWS:
        yield Text(f"\nand {len(rows) - ROWS} rows more")
    if rows and rows[0].tokens:
        yield Text("\nrow 1, token by token:", style="bold")
        yield from _listing(rows[0], parts.tokenizer, plain=plain)


def _heading(number: int, row: Row, name: str) -> str:
    parts = [f"{row.targets} learned"]
    if row.tokens:
        parts = [f"{len(row.tokens)} tokens", *parts, f"{row.padding} padding"]
    if len(row.starts) > 1:
        places = ", ".join(map(str, row.starts))
        parts.append(f"{len(row.starts)} documents, at {places}")
    return f"row {number} ({name}): {', '.join(parts)}"


def _named(parts: Components, row: Row) -> str:
    """Say what a row without tokens holds, by the fields of its example."""
    if row.tokens:
        return ""
    table = parts.corpus.splits["train"]
    there = present(inputs(parts.corpus.fields), table).items()
    return " | ".join(field.preview(table.column(n)[row.example].as_py()) for n, field in there)


def _media(parts: Components, row: Row) -> str:
    """Return the values of a row's example that hold images, as texts; '' where none does."""
    table = parts.corpus.splits["train"]
    there = present(inputs(parts.corpus.fields), table).items()
    values = ((field, table.column(name)[row.example].as_py()) for name, field in there)
    return " | ".join(field.preview(value) for field, value in values if field.media_keys(value))


def _line(row: Row, tokenizer: PreTrainedTokenizerFast, *, plain: bool, named: str = "") -> Text:
    """Return a row as text, what is learned marked, documents set apart.

    Args:
        row: The row.
        tokenizer: Decodes its tokens.
        plain: Marks instead of colours.
        named: What stands for tokens where there are none.
    """
    line = Text(named)
    for start, end in _runs(row):
        if start and start in row.starts:
            line.append(" ‖ ", BORDER)
        text = _REPEATED.sub(_times, str(tokenizer.decode(row.tokens[start:end])))
        extra = row.learned[start]
        line.append(*((text,) if extra is None else _marked(text, extra, plain)))
    if row.note is not None:
        line.append("\n→ ", NOTE).append(*_marked(row.note, "", plain))
    return line


def _times(found: re.Match[str]) -> str:
    return f"{found[1]}×{len(found[0]) // len(found[1])}"


def _runs(row: Row) -> Iterator[tuple[int, int]]:
    """Stretches of tokens that are drawn alike."""
    begin = 0
    for place in range(1, len(row.tokens) + 1):
        if place == len(row.tokens) or place in row.starts or _apart(row.learned, place):
            yield begin, place
            begin = place


def _apart(learned: Sequence[str | None], place: int) -> bool:
    return learned[place - 1] != learned[place] or bool(learned[place])


def _marked(text: str, extra: str, plain: bool) -> tuple[str, str]:
    """Return a text with its targets marked, and the legend of the marks."""
    whole = f"{text}→{extra}" if extra else text
    return (f"[[{whole}]]" if plain else whole), LEARNED


def _listing(row: Row, tokenizer: PreTrainedTokenizerFast, *, plain: bool) -> Iterator[Text]:
    """The tokens of a row, one a line: place, id, token, and what is learned there."""
    names = tokenizer.convert_ids_to_tokens(row.tokens)
    for place, (token, name, extra) in enumerate(
        zip(row.tokens[:LISTED], names, row.learned, strict=False)
    ):
        line = Text(f"{place:>6} {token:>7}  {'‖ ' if place and place in row.starts else ''}")
        line.append(*((name,) if extra is None else _marked(name, extra, plain)))
        yield line
    if len(row.tokens) > LISTED:
        yield Text(f"       and {len(row.tokens) - LISTED} more")
