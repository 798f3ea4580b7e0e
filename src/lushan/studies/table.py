"""A table of many runs: mean, standard deviation and number, for each value of some keys."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import UserError, did_you_mean
from lushan.runs.columns import display_width, padded
from lushan.runs.listing import show
from lushan.studies import collect
from lushan.studies.collect import Member
from lushan.studies.numbers import is_lower_better, number, unit

if TYPE_CHECKING:
    from lushan.studies.baseline import Against

FORMATS = ("md", "latex", "csv")


@dataclasses.dataclass(frozen=True)
class Made:
    """A table.

    Attributes:
        text: To be printed or written; with the notes, in the format's own way, where it has one.
        apart: Notes that the format has no place for.
    """

    text: str
    apart: list[str]


@dataclasses.dataclass(frozen=True)
class Cell:
    """The runs of one row in one column, judged by one metric.

    Attributes:
        numbers: Of the complete runs.
        runs: How many there are, complete or not.
        members: The runs themselves.
    """

    numbers: tuple[float, ...]
    runs: int
    members: tuple[Member, ...] = ()

    @property
    def mean(self) -> float | None:
        """None where no run is complete."""
        return statistics.fmean(self.numbers) if self.numbers else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the sample; None for fewer than two runs."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None

    @property
    def n(self) -> str:
        """`3`, or `2 of 3` where one is not complete."""
        count = len(self.numbers)
        return str(count) if count == self.runs else f"{count} of {self.runs}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """What is in a table, before it is written.

    Attributes:
        keys: What the rows differ in.
        column_keys: What the columns differ in.
        over: What is averaged over.
        rows: Values of `keys`, one tuple a row.
        columns: Values of `column_keys`, one tuple a column.
        metrics: Shown for each column.
        cells: By row, column, metric.
        notes: What the reader must know.
        against: What the rows are compared with.
    """

    keys: Sequence[str]
    column_keys: Sequence[str]
    over: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    columns: Sequence[tuple[str, ...]]
    metrics: Sequence[str]
    cells: dict[tuple[tuple[str, ...], tuple[str, ...], str], Cell]
    notes: Sequence[str]
    against: Against | None = None

    def best(self, column: tuple[str, ...], metric: str) -> set[tuple[str, ...]]:
        """The best rows of a column, as far as the digits shown tell them apart."""
        return self._ranked(column, metric, 0)

    def second(self, column: tuple[str, ...], metric: str) -> set[tuple[str, ...]]:
        """The second best; marked in tables with a baseline alone."""
        return self._ranked(column, metric, 1) if self.against else set()

    def _ranked(self, column: tuple[str, ...], metric: str, place: int) -> set[tuple[str, ...]]:
        means = {row: self.cells[row, column, metric].mean for row in self.rows}
        known = {row: mean for row, mean in means.items() if mean is not None}
        if len(known) < 2:
            return set()
        order = sorted(known.values(), reverse=not is_lower_better(metric))
        shown = list(dict.fromkeys(number(mean, metric) for mean in order))[place : place + 1]
        return {row for row, mean in known.items() if number(mean, metric) in shown}


@dataclasses.dataclass(frozen=True)
class Style:
    """How a format writes what is not plain text."""

    bold: str
    underlined: str
    plus_minus: str
    minus: str
    less: str


MARKDOWN = Style("**{}**", "{}", "±", "-", "<")
LATEX = Style(r"\textbf{{{}}}", r"\underline{{{}}}", r"$\pm$", "$-$", "$<$")


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
) -> Made:
    """Make a table of the runs below some folders.

    Args:
        folders: With runs at any depth.
        rows: Keys of the config or groups (`task.head`); a row for each of their values.
        columns: The same for columns.
        over: Keys that are averaged over.
        metrics: With or without a split; the main metric where none is given.
        format: `md`, `latex` or `csv`.
        baseline: The row that the others are compared with: a value of its key, or
            `key=value,key=value`.
        test: By which: one of `contrast.TESTS`; the bootstrap when not given.

    Raises:
        UserError: A key, metric, format, baseline or test is unknown, no run is complete, runs of
            one cell differ in more than `over`, or runs that would be compared were measured on
            different data.
    """
    require_format(format)
    if not rows:
        raise UserError("what differs from row to row?", key="--rows", hint="--rows task.head")
    if test is not None and baseline is None:
        raise UserError(
            "a test of differences to what?", key="--test", value=test, hint="--baseline VALUE"
        )
    grid = arrange(*collect.members(folders), rows, columns, over, metrics)
    return written(grid if baseline is None else compared(grid, baseline, test), format)


def require_format(format: str) -> None:
    """Refuse a format that there is not, before anything is read."""
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS) or f"There are {', '.join(FORMATS)}."
        raise UserError("no such format", key="--format", value=format, hint=hint)


def compared(
    grid: Grid, baseline: str, test: str | None, column: tuple[str, ...] | None = None
) -> Grid:
    """The table with differences to a baseline; see `baseline.against`."""
    from lushan.studies.baseline import against

    found = against(grid, baseline, test or "bootstrap", column=column)
    return dataclasses.replace(grid, against=found, notes=[*grid.notes, *found.notes()])


def written(grid: Grid, format: str) -> Made:
    """A table in one of `FORMATS`."""
    if format == "csv":
        return Made(to_csv(grid), list(grid.notes))
    return Made(to_markdown(grid) if format == "md" else to_latex(grid), [])


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
        declared: Whether somebody has said in what the runs differ, as a study does: then nothing
            is looked for in their configs.
    """
    notes = list(notes)
    # An older run may know nothing of itself; it is named below the table.
    placed = [run for run in runs if run.config]
    metrics = collect.choose_metrics(runs, metrics)
    if not declared:
        collect.require_known(placed, {"--rows": rows, "--columns": columns, "--over": over})
    row_of = {id(run): run.values(rows) for run in placed}
    column_of = {id(run): run.values(columns) for run in placed}
    row_values, column_values = in_order(row_of.values()), in_order(column_of.values())
    cells = {}
    for column in column_values:
        inside = [run for run in placed if _texts(column_of[id(run)]) == column]
        for metric in metrics:
            collect.require_same_data(inside, metric)
        for row in row_values:
            cell = [run for run in inside if _texts(row_of[id(run)]) == row]
            if not declared:
                collect.require_alike([run for run in cell if run.result is not None], over)
            for metric in metrics:
                cells[row, column, metric] = _cell(cell, metric)
        notes += collect.training_data(inside)
    notes += left_out(runs, metrics)
    return Grid(rows, columns, over, row_values, column_values, metrics, cells, notes)


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


def in_order(found: Any) -> list[tuple[str, ...]]:
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


def caption(grid: Grid, style: Style) -> str:
    """What the numbers are, in a sentence or two."""
    names = ", ".join(map(unit, grid.metrics)) if grid.column_keys else "Each number"
    over = ", ".join(grid.over)
    best = "the best in bold"
    if grid.against and style.underlined != "{}":
        best += ", the second underlined"
    text = f"{names}: mean ± standard deviation over {over}, n runs each; {best}."
    return f"{text} {grid.against.caption}" if grid.against else text


def heads(grid: Grid) -> list[str]:
    """Heads of all columns: the rows' keys, then metrics and n for each column."""
    found = list(grid.keys)
    for column in grid.columns:
        where = ", ".join(f"{k}={v}" for k, v in zip(grid.column_keys, column, strict=True))
        for metric in grid.metrics:
            parts = [where] if where else []
            if not where or len(grid.metrics) > 1:
                parts.append(unit(metric))
            found.append(" ".join(parts))
            if grid.against:
                found.append(f"difference to {grid.against.name}")
        found.append("n")
    return found


def body(grid: Grid, style: Style) -> list[list[str]]:
    """The rows as text."""
    lines = []
    for row in grid.rows:
        line = list(row)
        for column in grid.columns:
            for metric in grid.metrics:
                line.append(_mean(grid, row, column, metric, style))
                if grid.against:
                    text = grid.against.text((row, column, metric))
                    line.append(text.replace("-", style.minus).replace("<", style.less))
            line.append(_n(grid, row, column))
        lines.append(line)
    return lines


def _mean(
    grid: Grid, row: tuple[str, ...], column: tuple[str, ...], metric: str, style: Style
) -> str:
    cell = grid.cells[row, column, metric]
    text = "–" if cell.mean is None else number(cell.mean, metric)
    if cell.sd is not None:
        text += f" {style.plus_minus} {number(cell.sd, metric)}"
    if row in grid.best(column, metric):
        return style.bold.format(text)
    return style.underlined.format(text) if row in grid.second(column, metric) else text


def _n(grid: Grid, row: tuple[str, ...], column: tuple[str, ...]) -> str:
    counts = dict.fromkeys(grid.cells[row, column, metric].n for metric in grid.metrics)
    return ", ".join(counts)


def to_markdown(grid: Grid) -> str:
    """The table in Markdown, its columns aligned for the terminal too."""
    head, lines = heads(grid), body(grid, MARKDOWN)
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in [head, *lines]]
    widths = [max(3, *map(display_width, column)) for column in zip(*escaped, strict=True)]
    keys = len(grid.keys)

    def joined(cells: Sequence[str]) -> str:
        filled = [
            padded(cell, w, right=i >= keys)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(filled)} |"

    rule = ["-" * w if i < keys else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    text = [
        joined(escaped[0]),
        joined(rule),
        *map(joined, escaped[1:]),
        "",
        caption(grid, MARKDOWN),
    ]
    return "\n".join([*text, *(f"\n{note}" for note in grid.notes)])


def to_latex(grid: Grid) -> str:
    """The table in LaTeX, for the package `booktabs`; notes as comments."""
    lines = body(grid, LATEX)
    keys = len(grid.keys)
    shown = [[*map(_tex, line[:keys]), *line[keys:]] for line in lines]
    text = [
        "% " + caption(grid, LATEX),
        *(f"% {note}" for note in grid.notes),
        rf"\begin{{tabular}}{{{'l' * keys}{'r' * (len(heads(grid)) - keys)}}}",
        r"\toprule",
        " & ".join(map(_tex, heads(grid))) + r" \\",
        r"\midrule",
        *(" & ".join(line).replace("–", "--") + r" \\" for line in shown),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(text)


def to_csv(grid: Grid) -> str:
    """One line a cell and metric, numbers in full and as the runs have them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = [*grid.keys, *grid.column_keys, "metric", "mean", "sd", "n", "runs", "best"]
    writer.writerow([*head, "second", *grid.against.FIELDS] if grid.against else head)
    for row in grid.rows:
        for column in grid.columns:
            for metric in grid.metrics:
                cell = grid.cells[row, column, metric]
                best = int(row in grid.best(column, metric))
                counts = [len(cell.numbers), cell.runs]
                line = [*row, *column, metric, _full(cell.mean), _full(cell.sd), *counts, best]
                if grid.against:
                    line.append(int(row in grid.second(column, metric)))
                    line += [
                        x if isinstance(x, str) else _full(x)
                        for x in grid.against.fields((row, column, metric))
                    ]
                writer.writerow(line)
    return buffer.getvalue().rstrip("\n")


def _full(value: float | None) -> str:
    return "" if value is None else repr(value)


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)
