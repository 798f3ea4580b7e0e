"""A table of many runs: mean, standard deviation and number, for each value of some keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lushan.errors import UserError
from lushan.run.values import show
from lushan.run.where import Condition
from lushan.study import collect, comparable, folds, made_from
from lushan.study.collect import Member
from lushan.study.formats import Made, require_format, written
from lushan.study.grid import Cell, Grid
from lushan.study.same_rows import require_alike


def table(
    folders: Sequence[str | Path],
    *,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    over: Sequence[str] = ("seed",),
    metrics: Sequence[str] = (),
    format: str = "md",
    baseline: str | None = None,
    test: str | None = None,
    where: Sequence[Condition] = (),
) -> Made:
    """Make a table of the runs below some folders.

    Args:
        folders: With runs at any depth.
        rows: Keys of the config or groups (`task.head`); a row for each of their values.
        columns: The same for columns.
        over: Keys that are averaged over.
        metrics: With or without a split; the main metric where none is given.
        format: `md`, `latex`, `csv` or `html`.
        baseline: The row that the others are compared with: a value of its key, or
            `key=value,key=value`.
        test: By which: one of `named_tests.TESTS`; when not given the bootstrap, or of folds the
            corrected resampled t-test.
        where: Runs alone that fit all of these.

    Raises:
        UserError: A key, metric, format, baseline or test is unknown, no run is complete, runs of
            one cell differ in more than `over`, or runs that would be compared were measured on
            different data.
    """
    require_format(format)
    if test is not None and baseline is None:
        raise UserError(
            "--test needs --baseline", key="--test", value=test, hint="--baseline VALUE"
        )
    grid = grid_of(folders, rows=rows, columns=columns, over=over, metrics=metrics, where=where)
    return written(grid if baseline is None else compared(grid, baseline, test), format)


def grid_of(
    folders: Sequence[str | Path],
    *,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    over: Sequence[str] = ("seed",),
    metrics: Sequence[str] = (),
    where: Sequence[Condition] = (),
) -> Grid:
    """Read the runs of a table into its cells; see `table`."""
    if not rows:
        raise UserError(
            "--rows is empty: name the keys of the rows", key="--rows", hint="--rows task.head"
        )
    return arrange(*collect.members(folders, where), rows, columns, over, metrics)


def compared(
    grid: Grid, baseline: str, test: str | None, column: tuple[str, ...] | None = None
) -> Grid:
    """The table with differences to a baseline; see `baseline.against`."""
    from lushan.study.baseline import against

    members = (run for cell in grid.cells.values() for run in cell.members)
    usual = folds.TEST if folds.any_of(members) else "bootstrap"
    found = against(grid, baseline, test or usual, column=column)
    return dataclasses.replace(grid, against=found, notes=[*grid.notes, *found.notes()])


def arrange(
    runs: Sequence[Member],
    notes: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
    over: Sequence[str],
    metrics: Sequence[str],
    *,
    declared: bool = False,
) -> Grid:
    """Put each run into its cell.

    Args:
        runs: The runs.
        notes: On them.
        rows: See `table`.
        columns: See `table`.
        over: See `table`.
        metrics: See `table`.
        declared: Whether it was stated in what the runs differ, as a study does: then their
            configs are not searched for it.
    """
    notes = list(notes)
    # An older run may know nothing of itself; it is named below the table.
    placed = [run for run in runs if run.config]
    metrics = collect.choose_metrics(runs, metrics)
    if not declared:
        collect.require_known(placed, {"--rows": rows, "--columns": columns, "--over": over})
    by_row, by_column = _apart(placed, rows), _apart(placed, columns)
    by_cell = _apart(placed, [*rows, *columns])
    cells = {}
    for column, inside in by_column.items():
        for metric in metrics:
            folds.require_same_data(inside, metric)
        for row in by_row:
            cell = by_cell.get((*row, *column), [])
            complete = [run for run in cell if run.result is not None]
            if declared:
                notes += made_from.notes(complete)
            else:
                require_alike(complete, over)
                made_from.require_alike(complete, over)
            for metric in metrics:
                cells[row, column, metric] = _cell(cell, metric)
        for several in folds.by_fold(inside).values():
            notes += [n for n in collect.training_data(several) if n not in notes]
    notes += folds.notes(placed)
    notes += collect.computed_apart(placed)
    notes += collect.own_code(placed)
    notes += comparable.notes(placed, metrics)
    notes += collect.cut_short(placed)
    notes += left_out(runs, metrics)
    measures = {metric: collect.measure(runs, metric) for metric in metrics}
    apart = {
        (column, metric)
        for column, inside in by_column.items()
        for metric in metrics
        if comparable.reason(inside, metric)
    }
    shown = list(by_row), list(by_column), metrics, cells, notes, measures
    return Grid(rows, columns, over, *shown, apart=apart)


def _apart(runs: Sequence[Member], keys: Sequence[str]) -> dict[tuple[str, ...], list[Member]]:
    """The runs by their values of some keys, as text, in the order of the values."""
    values = [run.values(keys) for run in runs]
    apart: dict[tuple[str, ...], list[Member]] = {text: [] for text in in_order(values)}
    for run, its in zip(runs, values, strict=True):
        apart[_texts(its)].append(run)
    return apart


def _cell(runs: Sequence[Member], metric: str) -> Cell:
    numbers = (run.number(metric) for run in runs)
    return Cell(tuple(value for value in numbers if value is not None), len(runs), tuple(runs))


def left_out(runs: Sequence[Member], metrics: Sequence[str]) -> list[str]:
    """One line for every run that is not in the table, or not in all of it, with the reason."""
    notes = []
    for run in runs:
        if run.missing is not None:
            notes.append(f"Not in the table: {collect.shown(run.folder)} ({run.missing}).")
        else:
            lacking = [metric for metric in metrics if run.number(metric) is None]
            notes += [f"{collect.shown(run.folder)} has no {metric}." for metric in lacking]
    return notes


def in_order(found: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Different values as text: numbers by size, all else as the runs were started."""
    different = list({_texts(values): values for values in found}.items())
    if not different:
        return []
    width = len(different[0][1])
    for place in reversed(range(width)):
        column = [values[place] for _, values in different]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in column):
            different.sort(key=lambda item, place=place: item[1][place])  # type: ignore[misc]
        else:
            first = {text: i for i, text in reversed(list(enumerate(map(show, column))))}
            different.sort(key=lambda item, place=place, first=first: first[item[0][place]])  # type: ignore[misc]
    return [text for text, _ in different]


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(show, values))
