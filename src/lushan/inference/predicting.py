"""A trained run asked about new text: entities with offsets, labels with probabilities."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import torch

from lushan.data.batching import plan_evaluation
from lushan.data.source import read_unlabelled
from lushan.inference.loading import Loaded, load
from lushan.runs.files import replacing
from lushan.runs.identity import RESOLVED
from lushan.tasks.base import Records
from lushan.trainer import best_precision

ROWS_AT_ONCE = 5000
"""Examples that are held in memory together."""


def predict(
    run: str | Path,
    *,
    input: str | Path,
    output: str | Path = "-",
    format: Literal["txt", "jsonl", "conll"] | None = None,
    batch_tokens: int = 8192,
) -> int:
    """Write one JSON line an example of `input`, in its order.

    NER: `id`, `text`, `entities` with `start` and `end` in characters, `text`, `label`, `score`.
    Classification: `id`, `text`, `predicted`, `score`, `probabilities`. Encoder-decoders: `id`,
    `text`, and as `predicted` what they write.

    Args:
        run: A run folder.
        input: A file, or `-` for standard input.
        output: A file, or `-` for standard output.
        format: Of the input; by its ending when not given.
        batch_tokens: Padded tokens in a batch.

    Returns:
        How many examples there were.

    Raises:
        UserError: There is no such run, or the input cannot be read; names file and line.
    """
    loaded = load(run)
    table = read_unlabelled(input, loaded.task.reads, format=format)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded.model.to(device)
    with writing(output) as sink:
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            rows = table.slice(start, ROWS_AT_ONCE)
            for record in predict_rows(loaded, rows, batch_tokens=batch_tokens, device=device):
                sink.write(json.dumps(record, ensure_ascii=False) + "\n")
    return int(table.num_rows)


def predict_rows(
    loaded: Loaded, table: pa.Table, *, batch_tokens: int = 8192, device: str = "cpu"
) -> Records:
    """Predictions of the examples of a table, in its order.

    Args:
        loaded: A run.
        table: From `read_unlabelled`.
        batch_tokens: Padded tokens in a batch.
        device: Where the model is.
    """
    task = loaded.task
    features = task.encode(table.to_pydict(), 0, loaded.tokenizer, loaded.limits)
    columns = {name: [np.asarray(v) for v in values] for name, values in features.items()}
    lengths = np.asarray(features["length"], dtype=np.int64)
    records: Records = []
    with torch.inference_mode(), autocast(loaded, device):
        for indices in plan_evaluation(lengths, bound=batch_tokens):
            rows = [{name: column[i] for name, column in columns.items()} for i in indices]
            batch = task.collate(rows, loaded.tokenizer.pad_token_id)
            batch = {name: value.to(device) for name, value in batch.items()}
            _, found = task.predict(loaded.model, batch)
            if task.generates:
                said = task.generate(loaded.model, batch)
                found = [{**row, **more} for row, more in zip(found, said, strict=True)]
            records += found
    return task.present(table, task.join(table, records))


@contextmanager
def autocast(loaded: Loaded, device: str) -> Iterator[None]:
    """The precision of the run's training, as far as this device has it."""
    known = (loaded.cfg.get(RESOLVED) or {}).get("trainer.precision")
    wanted = str(known or loaded.cfg["trainer"].get("precision", "auto"))
    best = best_precision("gpu" if device == "cuda" else device)
    mixed = best == "bf16-mixed" and (wanted == "auto" or wanted.startswith("bf16"))
    with torch.autocast(device, dtype=torch.bfloat16, enabled=mixed):
        yield


@contextmanager
def writing(output: str | Path) -> Iterator[IO[str]]:
    """Standard output, or a file that appears when it is whole."""
    if str(output) == "-":
        yield sys.stdout
        return
    with replacing(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
