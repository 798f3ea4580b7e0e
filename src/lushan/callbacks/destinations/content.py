"""What a tracker is sent of a run: numbers, tables, confusion matrices, files."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.data import drawing
from lushan.data.drawing import Part
from lushan.data.record_schema import RecordSchema
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.folder import RunFolder
from lushan.run.media import Refused, read_media
from lushan.run.redaction import redact, secret_values
from lushan.run.result import RunResult
from lushan.vision import clips

log = logging.getLogger(__name__)

MOST_ROWS = 1000
"""Rows of a table: of samples the newest ones, of predictions the first ones."""
WIDEST = 320
"""Pixels of the longer side of a video, of which some frames are sent as an animated PNG."""
FACTS = ("best_step", "steps", "train_seconds", "train_examples", "train_tokens")
"""What a summary has of a result's `extra`, beside the metrics."""
RECORD = ("config.yaml", "result.json", "metrics.csv")
"""Files that every tracker keeps with a run."""
WEIGHTS = ("checkpoints/best", "processor", "encoder", "task.json")
"""What predicting needs beside them; sent on request."""


def summary_of(result: RunResult) -> dict[str, float]:
    """Return the numbers of a result; an interval as `<metric>_low` and `<metric>_high`."""
    numbers: dict[str, float | None] = {}
    for name, value in result.metrics.items():
        low, high = result.ci.get(name) or (None, None)
        numbers |= {name: value, f"{name}_low": low, f"{name}_high": high}
    parameters = result.extra.get("parameters") or {}
    numbers |= {f"parameters/{name}": count for name, count in parameters.items()}
    numbers |= {name: result.extra.get(name) for name in FACTS} | {"seconds": result.seconds}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def class_rows(result: RunResult) -> list[dict[str, Any]]:
    """The per-class report as flat rows: split, level, class, precision, recall, f1, support."""
    rows = [
        {"split": split, "level": level, "class": name} | dict(scores)
        for split, levels in result.reports.items()
        for level, classes in levels.items()
        for name, scores in classes.items()
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{c: row.get(c) for c in columns} for row in rows]


def confusions(folder: Path) -> dict[str, list[tuple[str, str, int]]]:
    """Return by split how often each gold class was predicted as another: gold, predicted, n."""
    found = {}
    for path in sorted((folder / "plots").glob("confusion_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["gold"], row["predicted"], int(row["n"])) for row in csv.DictReader(file)]
        found[path.stem.removeprefix("confusion_")] = rows
    return found


def plots(folder: Path) -> list[Path]:
    """Return the plots of a run."""
    return sorted((folder / "plots").glob("*.png"))


def files(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return files of a run by their paths in its folder, of those named that are there."""
    found: dict[str, Path] = {}
    for name in names:
        place = folder / name
        inner = [place] if place.is_file() else sorted(place.rglob("*"))
        found |= {str(path.relative_to(folder)): path for path in inner if path.is_file()}
    return found


@dataclasses.dataclass(frozen=True)
class Table:
    """Stored predictions of a split.

    Attributes:
        split: Its name.
        rows: Column to value: a number, or a text; what is neither is JSON. Secrets are redacted.
        images: For each row the images that its record names, as the bytes of their files.
    """

    split: str
    rows: list[dict[str, str | float | None]]
    images: list[list[bytes]]


def predictions(result: RunResult, schema: RecordSchema) -> Iterator[Table]:
    """Yield the first stored predictions of each split; how many are left out is logged."""
    folder = RunFolder(result.folder)
    known = secret_values(result.config)
    for path in sorted(folder.predictions.glob("*.jsonl")):
        lines = checksums.read(folder.path, f"predictions/{path.name}").splitlines()
        if len(lines) > MOST_ROWS:
            counts = f"the first {MOST_ROWS:,} of {len(lines):,}"
            log.info("note: trackers receive %s predictions on %s", counts, path.stem)
        records = [parse_json(line) for line in lines[:MOST_ROWS]]
        columns = dict.fromkeys(key for record in records for key in record)
        rows = [{key: _cell(record.get(key), known) for key in columns} for record in records]
        images = [_images(folder.path, schema, record) for record in records]
        if refused := sum(one is None for row in images for one in row):
            log.info("note: %d images of the predictions on %s are not sent", refused, path.stem)
        yield Table(path.stem, rows, [[one for one in row if one] for row in images])


def _cell(value: object, known: frozenset[str]) -> str | float | None:
    if value is None or isinstance(value, int | float):
        return value
    return redact(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), known)


def _images(folder: Path, schema: RecordSchema, record: Mapping[str, Any]) -> list[bytes | None]:
    """Return the images that a record names, each once; None for one that may not be sent."""
    paths: dict[str, None] = {}

    def note(path: str) -> Part:
        paths[path] = None
        return drawing.text(path)

    for name, entry in schema.entries.items():
        if record.get(name) is not None:
            drawing.with_images(entry.field.draw(record[name], record), note)
    return [_read(folder, path) for path in paths]


def _read(folder: Path, path: str) -> bytes | None:
    try:
        content = read_media(folder, path)
        return clips.thumbnail(content, WIDEST) if clips.is_video(content) else content
    except (Refused, UserError):
        return None
