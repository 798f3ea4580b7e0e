"""A trained run asked about new data: entities with offsets, labels with probabilities."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from lushan.common.terminal import Output
from lushan.config.build import build
from lushan.data.batch.batching import EVALUATION, mix, plan_evaluation
from lushan.data.source import Format
from lushan.errors import UserError
from lushan.inference.inputs import reader_for
from lushan.inference.load import Loaded, config_of, load
from lushan.models.precision import best_precision
from lushan.run import remote_code
from lushan.run.files import replacing
from lushan.run.identity import RESOLVED
from lushan.tasks.base import Task
from lushan.tasks.batches import Features, Limits
from lushan.tasks.evaluation import Records

BATCH_TOKENS, ON_A_PROCESSOR = 8192, 2048
"""Padded tokens in a batch, unless others are asked for; on a processor fewer.

There a feed-forward layer's states then stay below the 32 MB from which on the C library asks the
system for new memory each time, page by page.
"""
ROWS_AT_ONCE = 5000
"""Examples that are held in memory together."""


def predict(
    run: str | Path,
    *,
    input: str | Path,
    output: str | Path = "-",
    format: Format | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
    batch_tokens: int | None = None,
    notes: list[str] | None = None,
) -> int:
    """Write one JSON line an example of `input`, in its order.

    NER: `id`, `text`, `entities` with `start` and `end` in characters, `text`, `label`, `score`.
    Classification: `id`, `text`, `predicted`, `score`, `probabilities`. Encoder-decoders: `id`,
    `text`, and as `predicted` what they write. Language models: `id`, `text` or `messages`, and the
    text's `perplexity`. An example that was not read to its end has `truncated`.

    Args:
        run: A run folder.
        input: A file, or `-` for standard input; read as the run's own data is. A folder, an
            archive or an image, where the task reads one image.
        output: A file, or `-` for standard output.
        format: Of the input; by its ending when not given.
        overrides: Of the keys below `data` in the run's config, such as `data.text=body`.
        labels: Among which a task that compares texts with its inputs chooses; none: as trained.
        batch_tokens: Padded tokens in a batch; see `BATCH_TOKENS`.
        notes: Gets how the input was read, and what was not.

    Returns:
        How many examples there were.

    Raises:
        UserError: There is no such run, or the input cannot be read; names file and line.
    """
    notes = [] if notes is None else notes
    cfg = config_of(run)
    remote_code.require(cfg)
    task = build(cfg["task"])
    if labels:
        require_labels(labels)
        task.choose_among(labels)
    fields = task.fields
    found = reader_for(run, cfg, fields, input, format=format, overrides=overrides).read()
    notes += found.notes
    if empty := _empty(found.table):
        notes.append(
            f"{empty:,} of {found.table.num_rows:,} texts are empty and get the same prediction"
        )
    loaded = load(run, found.cfg)
    if labels:
        loaded.task.choose_among(labels)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded.model.to(device)
    with writing(output) as sink:
        truncated = write_records(loaded, found.table, sink, batch_tokens, device)
    notes += truncated.notes(loaded.task, found.table.num_rows)
    return int(found.table.num_rows)


@dataclasses.dataclass(frozen=True)
class Truncation:
    """What of the inputs was not read.

    Attributes:
        count: How many were not read whole.
        longest: Tokens of an input that are read.
        stride: Reads them whole, in windows; 0 where the task does not read all inputs so.
        unknown: Parts of inputs that the run does not know, such as items of no catalogue.
    """

    count: int
    longest: int
    stride: int
    unknown: int = 0

    def notes(self, task: Task, examples: int) -> list[str]:
        """Report them among so many examples of a task, and how they can be read."""
        found = []
        if self.count:
            limits = Limits(self.longest, self.stride or None)
            found.append(task.truncation_note(self.count, examples, limits))
        if self.unknown:
            found.append(task.unknown_note(self.unknown))
        return found


def write_records(
    loaded: Loaded,
    table: pa.Table,
    sink: Sink,
    batch_tokens: int | None = None,
    device: str = "cpu",
) -> Truncation:
    """Write one JSON line an example of a table; return which were truncated.

    Args:
        loaded: A run.
        table: From `read_unlabelled`.
        sink: Takes the lines.
        batch_tokens: Padded tokens in a batch; see `BATCH_TOKENS`.
        device: Where the model is.
    """
    truncated = unknown = 0
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        rows = table.slice(start, ROWS_AT_ONCE)
        for record in predict_rows(loaded, rows, batch_tokens=batch_tokens, device=device):
            truncated += "truncated" in record
            unknown += len(record.get("unknown", ()))
            sink.write(json.dumps(record, ensure_ascii=False) + "\n")
    stride = _stride(loaded, table) if truncated else 0
    return Truncation(truncated, loaded.limits.max_length, stride, unknown)


def _stride(loaded: Loaded, table: pa.Table) -> int:
    """Return a stride with which the task reads texts whole; 0 where it does not."""
    limits = Limits(loaded.limits.max_length, max(1, loaded.limits.max_length // 4))
    try:
        loaded.task.encode(table.slice(0, 1).to_pydict(), 0, loaded.processor, limits)
    except UserError:
        return 0
    return limits.stride or 0


def _empty(table: pa.Table) -> int:
    """Return how many rows of texts, or of pairs of them, say nothing."""
    names = [name for name in ("text", "text_pair") if name in table.column_names]
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    return sum(not any((text or "").strip() for text in row) for row in rows)


def require_labels(labels: Sequence[str]) -> None:
    """Make sure that there are two labels or more, each another one, and none is blank.

    Raises:
        UserError: There are not.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(map(str.strip, labels)):
        raise UserError(
            "at least two different labels are required",
            key="--label",
            value=", ".join(labels),
            hint="--label 'a red circle' --label 'a blue circle'",
        )


def predict_rows(
    loaded: Loaded, table: pa.Table, *, batch_tokens: int | None = None, device: str = "cpu"
) -> Records:
    """Predictions of the examples of a table, in its order.

    Args:
        loaded: A run.
        table: From `read_unlabelled`.
        batch_tokens: Padded tokens in a batch; see `BATCH_TOKENS`.
        device: Where the model is.
    """
    encoded = Encoded.of(loaded, table)
    return predict_encoded(loaded, [encoded], batch_tokens=batch_tokens, device=device)[0]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A table of examples, and their features."""

    table: pa.Table
    features: Features

    @classmethod
    def of(cls, loaded: Loaded, table: pa.Table) -> Encoded:
        """Encode a table.

        Raises:
            UserError: The task refuses an example.
        """
        return cls(table, loaded.task.encode(table.to_pydict(), 0, loaded.processor, loaded.limits))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each feature, with its number."""
        columns = {name: [np.asarray(v) for v in vs] for name, vs in self.features.items()}
        count = len(self.features["length"])
        return [{n: c[i] for n, c in columns.items()} | {"index": i} for i in range(count)]


def predict_encoded(
    loaded: Loaded,
    several: Sequence[Encoded],
    *,
    batch_tokens: int | None = None,
    device: str = "cpu",
) -> list[Records]:
    """Return the predictions of several tables, whose features share batches.

    Args:
        loaded: A run.
        several: The tables; chance is each one's own.
        batch_tokens: Padded tokens in a batch; see `BATCH_TOKENS`.
        device: Where the model is.
    """
    task = loaded.task
    answers = []
    records = records_of(loaded, several, batch_tokens=batch_tokens, device=device)
    for encoded, found in zip(several, records, strict=True):
        shown = task.present(encoded.table, task.join(encoded.table, found))
        lost = encoded.features.get("cut", ())
        for example, cut in zip(encoded.features["example"], lost, strict=False):
            if cut:
                shown[example]["truncated"] = True
        answers.append(shown)
    return answers


def records_of(
    loaded: Loaded,
    several: Sequence[Encoded],
    *,
    batch_tokens: int | None = None,
    device: str = "cpu",
) -> list[Records]:
    """Return a record for each feature of several tables; see `predict_encoded`."""
    rows = [(place, row) for place, encoded in enumerate(several) for row in encoded.rows]
    lengths = np.asarray([row["length"] for _, row in rows], dtype=np.int64)
    bound = batch_tokens or (ON_A_PROCESSOR if device == "cpu" else BATCH_TOKENS)
    records: list[Records] = [[] for _ in several]
    with torch.inference_mode(), autocast(loaded, device):
        for indices in plan_evaluation(lengths, bound=bound):
            chosen = [rows[i] for i in indices.tolist()]
            found = _predicted(loaded, [row for _, row in chosen], device)
            for (place, _), record in zip(chosen, found, strict=True):
                records[place].append(record)
    return records


def _predicted(loaded: Loaded, rows: list[dict[str, Any]], device: str) -> Records:
    """Return a record for each feature of a batch."""
    task = loaded.task
    batch = task.collate(task.transform(rows, mix(0, EVALUATION)))
    batch = {name: value.to(device) for name, value in batch.items() if name != "targets"}
    _, found = task.predict(loaded.model, batch)
    if not (task.generates or task.writes):
        return found
    generated = task.generate(loaded.model, batch)
    return [{**row, **more} for row, more in zip(found, generated, strict=True)]


@contextmanager
def autocast(loaded: Loaded, device: str) -> Iterator[None]:
    """The precision of the run's training, as far as this device has it."""
    known = (loaded.cfg.get(RESOLVED) or {}).get("trainer.precision")
    wanted = str(known or loaded.cfg["trainer"].get("precision", "auto"))
    best = best_precision("gpu" if device == "cuda" else device)
    mixed = best == "bf16-mixed" and (wanted == "auto" or wanted.startswith("bf16"))
    with torch.autocast(device, dtype=torch.bfloat16, enabled=mixed):
        yield


class Sink(Protocol):
    """Destination of output lines."""

    def write(self, text: str, /) -> int:
        """Write a text."""

    def flush(self) -> None:
        """Have what was written be seen."""


@contextmanager
def writing(output: str | Path) -> Iterator[Sink]:
    """Standard output, or a file that appears when it is whole."""
    if str(output) == "-":
        yield Output(sys.stdout)
        return
    with replacing(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
