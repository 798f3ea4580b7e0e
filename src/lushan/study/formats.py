"""A table as text: Markdown, LaTeX, CSV, HTML, JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from lushan.common import units
from lushan.common.terminal import csv_cell, in_line, visible
from lushan.errors import UserError, one_of
from lushan.run.columns import display_width, padded
from lushan.run.files import jsonable
from lushan.study.grid import Grid

FORMATS = ("md", "latex", "csv", "html", "json")


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
class Style:
    """Style of a format: how it writes what is not plain text."""

    bold: str
    underlined: str
    plus_minus: str
    minus: str
    less: str


MARKDOWN = Style("**{}**", "{}", "±", "-", "<")
LATEX = Style(r"\textbf{{{}}}", r"\underline{{{}}}", r"$\pm$", "$-$", "$<$")
HTML = Style("<b>{}</b>", "<u>{}</u>", "±", "−", "&lt;")


def require_format(format: str) -> None:
    """Refuse a format that there is not, before anything is read."""
    if format not in FORMATS:
        hint = one_of(format, FORMATS)
        raise UserError("unknown format", key="--format", value=format, hint=hint)


def written(grid: Grid, format: str) -> Made:
    """A table in one of `FORMATS`."""
    if format == "csv":
        return Made(to_csv(grid), list(grid.notes))
    if format == "json":
        return Made(to_json(as_object(grid)), [])
    write = {"md": to_markdown, "latex": to_latex, "html": to_html}[format]
    return Made(write(grid), [])


def caption(grid: Grid, style: Style) -> str:
    """Return the caption of a table, in a sentence or two."""
    names = ", ".join(map(grid.head, grid.metrics)) if grid.column_keys else "Each number"
    over = ", ".join(grid.over)
    best = "the best in bold"
    if any(measure.higher_is_better is None for measure in grid.measures.values()):
        best += " where it is known which is better"
    if len(grid.rows) > 2 and style.underlined != "{}":
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
                parts.append(grid.head(metric))
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
    text = "–" if cell.mean is None else units.number(cell.mean, grid.measures[metric])
    if cell.sd is not None:
        text += f" {style.plus_minus} {units.number(cell.sd, grid.measures[metric])}"
    if row in grid.best(column, metric):
        return style.bold.format(text)
    return style.underlined.format(text) if row in grid.second(column, metric) else text


def _n(grid: Grid, row: tuple[str, ...], column: tuple[str, ...]) -> str:
    counts = dict.fromkeys(grid.cells[row, column, metric].n for metric in grid.metrics)
    return ", ".join(counts)


def to_markdown(grid: Grid) -> str:
    """The table in Markdown, its columns aligned for the terminal too."""
    rows = [heads(grid), *body(grid, MARKDOWN)]
    escaped = [[in_line(cell).replace("|", "\\|") for cell in row] for row in rows]
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
    return "\n".join([*text, *(f"\n{in_line(note)}" for note in grid.notes)])


def to_latex(grid: Grid) -> str:
    """The table in LaTeX, for the package `booktabs`; notes as comments."""
    lines = body(grid, LATEX)
    keys = len(grid.keys)
    shown = [[*map(_tex, line[:keys]), *line[keys:]] for line in lines]
    text = [
        "% " + in_line(caption(grid, LATEX)),
        *(f"% {in_line(note)}" for note in grid.notes),
        rf"\begin{{tabular}}{{{'l' * keys}{'r' * (len(heads(grid)) - keys)}}}",
        r"\toprule",
        " & ".join(map(_tex, heads(grid))) + r" \\",
        r"\midrule",
        *(" & ".join(line).replace("–", "--") + r" \\" for line in shown),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(text)


def to_html(grid: Grid) -> str:
    """The table as a figure for a page; its numbers have the class `number`."""
    keys = len(grid.keys)
    right = ' class="number"'
    head = "".join(
        f'<th scope="col"{"" if i < keys else right}>{as_html(name)}</th>'
        for i, name in enumerate(heads(grid))
    )
    rows = []
    for line in body(grid, HTML):
        # Names are anybody's text; numbers are written by `body`, with its own marks.
        named = "".join(f'<th scope="row">{as_html(cell)}</th>' for cell in line[:keys])
        cells = "".join(f"<td{right}>{cell}</td>" for cell in line[keys:])
        rows.append(f"<tr>{named}{cells}</tr>")
    listed = "".join(f'<p class="note">{as_html(note)}</p>\n' for note in grid.notes)
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        f"{chr(10).join(rows)}\n</tbody></table></div>\n"
        f"<figcaption>{as_html(caption(grid, HTML))}</figcaption></figure>\n{listed}"
    )


def as_html(text: object) -> str:
    """Any text as text of a page."""
    return html.escape(visible(str(text)))


def to_csv(grid: Grid) -> str:
    """One line a cell and metric, numbers in full and as the runs have them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, _names(grid)))
    for record in _records(grid):
        writer.writerow(csv_cell(_full(value)) for value in record)
    return buffer.getvalue().rstrip("\n")


def to_json(value: object) -> str:
    """Return JSON, in which what is no number is null."""
    return json.dumps(jsonable(value), ensure_ascii=False, indent=2)


def as_object(grid: Grid) -> dict[str, Any]:
    """Return a record for each cell and metric, numbers in full, and the notes."""
    names = _names(grid)
    cells = [dict(zip(names, record, strict=True)) for record in _records(grid)]
    return {"cells": cells, "notes": list(grid.notes)}


def _names(grid: Grid) -> list[str]:
    """Return the names of what a record holds."""
    found = [*grid.keys, *grid.column_keys, "metric", "mean", "sd", "n", "runs", "best", "second"]
    return [*found, *grid.against.FIELDS] if grid.against else found


def _records(grid: Grid) -> Iterator[list[Any]]:
    """Yield what is known of each cell and metric."""
    for row in grid.rows:
        for column in grid.columns:
            for metric in grid.metrics:
                cell = grid.cells[row, column, metric]
                ranks = [grid.best(column, metric), grid.second(column, metric)]
                record = [*row, *column, metric, cell.mean, cell.sd, len(cell.numbers), cell.runs]
                record += [int(row in rank) for rank in ranks]
                if grid.against:
                    record += grid.against.fields((row, column, metric))
                yield record


def _full(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else repr(value)


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # At a row's beginning these would be taken for an argument of the end of the row before.
    "[": "{[}",
    "*": "{*}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in in_line(text))
