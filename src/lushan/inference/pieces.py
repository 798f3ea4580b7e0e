"""Prediction piece by piece: each piece's lines are a file that appears when it is whole.

What was written stays after a kill, and the same command writes the rest: no example is predicted
twice. The pieces may be predicted by one process, or by those of a cluster that sees the folders
(`lushan.inference.cluster`); the output is that of `lushan predict` on the whole file.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lushan.config.build import build
from lushan.data import files
from lushan.data.formats.table import PARQUET, Table
from lushan.data.formats.text import Text
from lushan.data.pieces import Piece, pieces_of
from lushan.data.source import Format
from lushan.errors import UserError
from lushan.inference.inputs import Inputs, reader_for
from lushan.inference.load import Loaded, config_of, load
from lushan.inference.prediction import Truncation, require_labels, write_records
from lushan.run import checksums, remote_code
from lushan.run.files import read_json, replacing, write_json
from lushan.run.hashes import sha256
from lushan.run.lock import lock_run
from lushan.version import VERSION

EXAMPLES = 10_000
"""Examples of a piece."""
_JOB = "job.json"
_PART = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(\d+)\.jsonl")


@dataclasses.dataclass(frozen=True)
class Job:
    """What is predicted, the same in every process.

    Attributes:
        run: The folder of the run.
        input: The file.
        parts: The folder of what was written so far.
        format: Of the input.
        overrides: Of the keys below `data` in the run's config.
        labels: Among which a task that compares texts with its inputs chooses.
        batch_tokens: Padded tokens in a batch; see `BATCH_TOKENS`.
    """

    run: Path
    input: Path
    parts: Path
    format: Format
    overrides: Sequence[str] = ()
    labels: Sequence[str] = ()
    batch_tokens: int | None = None

    def read(self, piece: Piece) -> Inputs:
        """Read the examples of a piece.

        Raises:
            UserError: They cannot be read; names file and line.
        """
        cfg = config_of(self.run)
        return reader_for(
            self.run,
            cfg,
            build(cfg["task"]).fields,
            self.input,
            format=self.format,
            overrides=self.overrides,
            data=piece.content(self.input),
            before=piece.lines_before,
        ).read()


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written of a piece.

    Attributes:
        number: Of the piece.
        examples: How many there are.
        truncated: Those that were not read to their ends.
        path: The file, an example a line.
    """

    number: int
    examples: int
    truncated: Truncation
    path: Path


class Predictor:
    """Predicts pieces, with a model that is loaded for the first one."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._loaded: Loaded | None = None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    def __call__(self, piece: Piece) -> Written:
        """Write the predictions of a piece.

        Raises:
            UserError: An example cannot be read; names file and line.
        """
        found = self.job.read(piece)
        loaded = self._model(found.cfg)
        with replacing(self.job.parts / f"{piece.number:06d}") as temporary:
            with temporary.open("w", encoding="utf-8") as sink:
                truncated = write_records(
                    loaded, found.table, sink, self.job.batch_tokens, self._device
                )
            facts = (found.table.num_rows, *dataclasses.astuple(truncated))
            done = f"{piece.number:06d}-{'-'.join(map(str, facts))}.jsonl"
        (self.job.parts / f"{piece.number:06d}").rename(self.job.parts / done)
        return _written(self.job.parts / done)

    def _model(self, cfg: dict[str, Any]) -> Loaded:
        if self._loaded is None:
            self._loaded = load(self.job.run, cfg)
            if self.job.labels:
                self._loaded.task.choose_among(self.job.labels)
            self._loaded.model.to(self._device)
        return self._loaded


Spread = Callable[[Job, Sequence[Piece]], Iterable[Written]]
"""Predicts pieces in any order, and yields what was written."""


def alone(job: Job, pieces: Sequence[Piece]) -> Iterator[Written]:
    """Predict pieces in this process."""
    yield from map(Predictor(job), pieces)


def predict(
    run: str | Path,
    *,
    input: str | Path,
    output: str | Path,
    spread: Spread = alone,
    format: Format | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
    examples: int = EXAMPLES,
    notes: list[str] | None = None,
    observe: Callable[[int, int], None] | None = None,
) -> int:
    """Write one JSON line an example, as `prediction.predict`, piece by piece.

    Args:
        run: A run folder.
        input: A file that is not packed.
        output: A file; beside it is the folder of its parts, `NAME.parts`, until it is whole.
        spread: Who predicts the pieces.
        format: Of the input; by its ending when not given.
        overrides: Of the keys below `data` in the run's config.
        labels: Among which a task that compares texts with its inputs chooses.
        examples: Of a piece.
        notes: Gets how the input was read, and what was not.
        observe: Called with the pieces that are done, and with how many there are.

    Returns:
        How many examples there were.

    Raises:
        UserError: There is no such run, the input cannot be read or divided, or the folder of
            parts is that of another command.
    """
    notes = [] if notes is None else notes
    if labels:
        require_labels(labels)
    job, pieces = _planned(Path(run), input, Path(output), format, overrides, labels, examples)
    first = job.read(pieces[0])
    notes += first.notes
    _begin(job, examples)
    with lock_run(job.parts):
        parts = _all_parts(job, pieces, spread, notes, observe)
        _join(parts, Path(output))
    shutil.rmtree(job.parts)
    total = sum(part.examples for part in parts)
    several = [part.truncated for part in parts]
    counts = {name: sum(getattr(one, name) for one in several) for name in ("count", "unknown")}
    stride = max(one.stride for one in several)
    truncated = dataclasses.replace(several[0], stride=stride, **counts)
    notes += truncated.notes(build(config_of(Path(run))["task"]), total)
    return total


def _all_parts(
    job: Job,
    pieces: Sequence[Piece],
    spread: Spread,
    notes: list[str],
    observe: Callable[[int, int], None] | None,
) -> list[Written]:
    """Return the parts of all pieces, in their order; those that are missing are written."""
    done = {part.number: part for part in _parts(job.parts)}
    if done:
        notes.append(f"{len(done)} of {len(pieces)} pieces were written before")
    missing = [piece for piece in pieces if piece.number not in done]
    for written in spread(job, missing) if missing else ():
        done[written.number] = written
        if observe is not None:
            observe(len(done), len(pieces))
    return [done[piece.number] for piece in pieces]


def _planned(
    run: Path,
    input: str | Path,
    output: Path,
    format: Format | None,
    overrides: Sequence[str],
    labels: Sequence[str],
    examples: int,
) -> tuple[Job, list[Piece]]:
    """Return what is predicted, and the pieces of the input."""
    path = files.find(str(input), None, key="--input").absolute()
    cfg = config_of(run)
    remote_code.require(cfg)
    fields = build(cfg["task"]).fields
    reading = reader_for(run, cfg, fields, path, format=format, overrides=overrides).reading
    if isinstance(reading.source, Text) or reading.format == "images":
        raise UserError(
            "this input cannot be divided into independent rows",
            file=path,
            hint="Predict it without --ray, or write JSON lines.",
        )
    table = None
    if isinstance(reading.source, Table) and reading.format == "table":
        table = reading.source
        if files.bare_suffix(path) not in PARQUET:
            table = table.settled(path)
            # A piece alone may look otherwise than the file's first lines do.
            settled = (("separator", table.separator), ("quote", table.quote))
            overrides = [*overrides, *(f"++data.{key}='{value}'" for key, value in settled)]
            if table.header is not None:
                overrides.append(f"++data.header={str(table.header).lower()}")
    nested = getattr(reading.source, "each", None) is not None
    pieces = list(pieces_of(path, reading.format, table, examples if not nested else 1 << 60))
    if not pieces:
        raise files.empty(path)
    parts = output.absolute().with_name(f"{output.name}.parts")
    job = Job(run.absolute(), path, parts, reading.format, tuple(overrides), tuple(labels))
    return job, pieces


def _begin(job: Job, examples: int) -> None:
    """Have a folder for the parts, which is this job's.

    Raises:
        UserError: It is another one's.
    """
    lists = (checksums.CHECKSUMS, "lushan.json")
    run = next((place for name in lists if (place := job.run / name).is_file()), None)
    facts = {
        "run": str(job.run),
        "run_files": None if run is None else sha256(run),
        "input": str(job.input),
        "sha256": sha256(job.input),
        "format": job.format,
        "overrides": list(job.overrides),
        "labels": list(job.labels),
        "batch_tokens": job.batch_tokens,
        "examples": examples,
        "lushan": VERSION,
    }
    note = job.parts / _JOB
    if note.is_file():
        before = read_json(note)
        other = sorted(key for key, value in facts.items() if before.get(key) != value)
        if other:
            raise UserError(
                f"these parts are from another command: {', '.join(other)} differs",
                file=job.parts,
                hint="Remove the folder, or choose another output.",
            )
        return
    if job.parts.exists() and any(job.parts.iterdir()):
        raise UserError(
            "this folder does not contain parts of a prediction",
            file=job.parts,
            hint="Remove it, or choose another output.",
        )
    write_json(note, facts)


def _written(path: Path) -> Written:
    found = _PART.fullmatch(path.name)
    assert found is not None
    number, examples, *truncated = map(int, found.groups())
    return Written(number, examples, Truncation(*truncated), path)


def _parts(folder: Path) -> list[Written]:
    """Return what was written so far; what a killed process left behind is removed."""
    for left in folder.glob(".tmp-*"):
        left.unlink(missing_ok=True)
    return [_written(path) for path in folder.iterdir() if _PART.fullmatch(path.name)]


def _join(parts: Sequence[Written], output: Path) -> None:
    """Write the parts into one file, in their order."""
    with replacing(output) as temporary, temporary.open("wb") as sink:
        for part in parts:
            with part.path.open("rb") as file:
                shutil.copyfileobj(file, sink)
