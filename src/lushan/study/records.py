"""Stored predictions of runs, read back and aligned with those of other runs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.data.record_schema import RecordSchema
from lushan.errors import UserError
from lushan.metrics.statistics import Stored, unpacked
from lushan.run import checksums, inside
from lushan.study.collect import SPLITS, Member
from lushan.study.schemas import schema_of
from lushan.study.undecided import Undecided

Records = list[dict[str, Any]]


class Read:
    """Reads what runs have stored of each example, and keeps the last: a baseline is read once."""

    def __init__(self) -> None:
        self._records = functools.lru_cache(maxsize=32)(read)
        self.statistics = functools.lru_cache(maxsize=32)(read_statistics)
        self._schemas: dict[Path, RecordSchema] = {}

    def schema(self, run: Member) -> RecordSchema:
        """Return what the predictions of a complete run hold; one object a run.

        Raises:
            UserError: The run does not state it.
        """
        if run.folder not in self._schemas:
            assert run.result is not None
            self._schemas[run.folder] = schema_of(run.result, run.folder)
        return self._schemas[run.folder]

    def records(self, run: Member, split: str) -> Records:
        """Return the records of a split of a complete run, in the order they were written.

        Raises:
            UserError: As `read`.
        """
        return self._records(run.folder, split, self.schema(run))


def split_of(metric: str) -> str:
    """The split that a metric with its prefix was measured on: `validation` of `val/loss`."""
    prefix = metric.partition("/")[0]
    return SPLITS.get(prefix, prefix)


def read(folder: Path, split: str, schema: RecordSchema) -> Records:
    """Return the records of a run's split, in the order they were written.

    Args:
        folder: The run's.
        split: Its name.
        schema: What the records hold; from `schemas.schema_of`.

    Raises:
        UserError: The run has stored none, or the file is damaged, or is none of the run's.
    """
    name = f"predictions/{split}.jsonl"
    path = folder / name
    inside.require(path, folder)
    if not path.is_file():
        raise UserError(
            f"the run has no stored predictions of its {split} split",
            file=path,
            hint="Tests over examples need them. Delete the run's folder and train again.",
        )
    lines = checksums.read(folder, name).split(b"\n")
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            records.append(_record(line, path, number, schema))
    return records


def read_statistics(folder: Path, split: str) -> dict[str, Stored]:
    """Return what each example of a run's split adds to its metrics, by name.

    Raises:
        Undecided: The run has stored none.
        UserError: The file is damaged, or is none of the run's.
    """
    name = f"predictions/{split}.npz"
    path = folder / name
    inside.require(path, folder)
    try:
        content = checksums.read(folder, name)
    except FileNotFoundError as error:  # and the run has listed none
        raise Undecided(f"a run has no stored statistics of its {split} split") from error
    try:
        return unpacked(content)
    except ValueError as error:
        hint = "The file was changed or damaged after the run."
        raise UserError(str(error), file=path, hint=hint) from error


def _record(line: bytes, path: Path, number: int, schema: RecordSchema) -> dict[str, Any]:
    hint = "The file was changed or damaged after the run."
    try:
        record = parse_json(line)
    except ValueError as error:  # also a UnicodeDecodeError
        raise UserError(f"not JSON: {error}", file=path, line=number, hint=hint) from error
    try:
        if not isinstance(record, dict):
            raise ValueError("no mapping")
        schema.check(record)
    except ValueError as error:
        raise UserError(
            f"not the record of an example: {error}", file=path, line=number, hint=hint
        ) from error
    return record


def of_members(
    runs: Sequence[Member], metric: str, read: Read
) -> tuple[list[Records], list[list[int]]]:
    """Return the records of some runs on a metric's split, an example at the same place in all.

    Beside them, of each run the place of each example in what the run has stored.

    Runs that have read the same rows have the same examples in the same order, whatever their
    files and columns were called: an id is made of these where the data has none.

    Raises:
        Undecided: See `side_by_side`.
        UserError: There is nothing stored, or it is damaged.
    """
    split = split_of(metric)
    found = [read.records(run, split) for run in runs]
    prints = {run.result.data_fingerprint.get(split) for run in runs if run.result is not None}
    same_rows = len(prints) == 1 and None not in prints
    found = [_named_like(found[0], rows) if same_rows else rows for rows in found]
    places = side_by_side(found, [read.schema(run) for run in runs])
    return [[rows[i] for i in here] for rows, here in zip(found, places, strict=True)], places


def _named_like(first: Records, rows: Records) -> Records:
    """Return the records of the same rows under the ids of others, where they share none."""
    ids = [row["id"] for row in first]
    if len(rows) != len(ids) or not {row["id"] for row in rows}.isdisjoint(ids):
        return rows
    return [row | {"id": name} for row, name in zip(rows, ids, strict=True)]


def side_by_side(runs: Sequence[Records], schemas: Sequence[RecordSchema]) -> list[list[int]]:
    """Return of some runs the places of the examples, in the order of the first.

    Raises:
        Undecided: The runs evaluated different examples, or against different gold answers.
    """
    names = [schema.gold[0] if schema.gold else "" for schema in schemas]
    first = runs[0]
    if not first:
        raise Undecided("no examples are stored")
    found = [_like(first, other) for other in runs]
    for places, other, name in zip(found[1:], runs[1:], names[1:], strict=True):
        for one, place in zip(first, places, strict=True):
            gold, theirs = one.get(names[0]), other[place].get(name)
            # A run that generated texts for a part of its examples has gold only there.
            if None not in (gold, theirs) and gold != theirs:
                raise Undecided(f"example {one['id']} has another gold answer in another run")
    return found


def _like(first: Records, other: Records) -> list[int]:
    wanted, names = ([row["id"] for row in rows] for rows in (first, other))
    if names == wanted:
        return list(range(len(names)))
    place = {name: i for i, name in enumerate(names)}
    shared = len(set(wanted) & set(names))
    unique = len(set(wanted)) == len(wanted) and len(place) == len(names)
    if not unique or shared != len(wanted) or len(names) != len(wanted):
        raise Undecided(
            f"the runs were evaluated on different examples: {len(wanted)} and {len(names)}, "
            f"of which {shared} are shared"
        )
    return [place[name] for name in wanted]
