"""A study's tables and claims, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lushan.common import shell
from lushan.errors import UserError
from lushan.study import claims as claiming
from lushan.study import collect
from lushan.study.collect import Member
from lushan.study.formats import as_object, to_json, written
from lushan.study.grid import Grid
from lushan.study.plan import Plan, progress
from lushan.study.study import Table
from lushan.study.table import arrange, compared


def tables(plan: Plan, format: str) -> tuple[str, list[str]]:
    """All tables of a study and, in Markdown and JSON, its claims.

    Returns:
        The text, and notes that the format has no place for.

    Raises:
        UserError: No run is complete, or a metric is unknown.
    """
    found = grids(plan)
    answers = claiming.answer(plan, claiming.read(plan.study))
    if format == "json":
        claims = [{"claim": a.claim.text, "verdict": a.verdict, "why": a.why} for a in answers]
        return to_json({"tables": list(map(as_object, found)), "claims": claims}), []
    texts, apart = [], []
    for grid in found:
        made = written(grid, format)
        texts.append(made.text)
        apart += made.apart
    if answers and format == "md":
        texts.append("Claims:\n\n" + claiming.as_markdown(answers))
    elif answers:
        apart += [f"{a.claim.text}: {a.verdict} ({a.why})" for a in answers]
    return "\n\n".join(texts), apart


def grids(plan: Plan) -> list[Grid]:
    """All tables of a study, before they are written.

    Raises:
        UserError: No run is complete, or a metric is unknown.
    """
    members = plan.members
    found = []
    for number, table in enumerate(plan.study.tables):
        grid = arranged(plan, members, table, f"tables.{number}.metrics")
        found.append(_against(grid, table))
    return found


def arranged(plan: Plan, members: Sequence[Member], table: Table, key: str) -> Grid:
    """The runs of a study in the cells of a table, without differences to a baseline.

    Raises:
        UserError: No run is complete, or none has such a metric; names the key.
    """
    try:
        metrics = collect.choose_metrics(members, table.metrics)
    except UserError as error:
        if error.key == "--metric":
            raise plan.study.mistake(
                error.problem, key, value=error.value, hint=error.hint
            ) from error
        raise
    over = ("seed", *table.over)
    return arrange(members, plan.notes, table.rows, table.columns, over, metrics, declared=True)


def _against(grid: Grid, table: Table) -> Grid:
    """The table with differences to its baseline, where it has one."""
    if not table.baseline:
        return grid
    row = ",".join(f"{axis}={table.baseline[axis]}" for axis in table.rows)
    column = None
    if len(table.baseline) > len(table.rows):
        column = tuple(table.baseline[axis] for axis in table.columns)
    return compared(grid, row, table.test, column)


def page(plan: Plan, text: str, plots: Mapping[str, str], target: str = "README.md") -> str:
    """A study as a page: what was asked, how it is run, what came out.

    Args:
        plan: Of the study.
        text: Its tables.
        plots: Files of plots to their captions.
        target: What `--write` names.
    """
    study = plan.study
    name = shell.quote(_from_here(study.file))
    axes = [
        f"- {axis}: " + "; ".join(_level(level, lines) for level, lines in levels.items())
        for axis, levels in study.axes.items()
    ]
    parts = [
        f"# {study.title}",
        "```\n"
        f"lushan study run {name}\n"
        f"lushan study table {name} --write {shell.quote(target)}    # this page\n"
        "```",
        f"Every run: `{shell.join(study.base)}`; seeds {', '.join(map(str, study.seeds))}.\n\n"
        + "\n".join(axes),
        text,
        *(f"![{shown}]({name})\n\n{shown}." for name, shown in plots.items()),
        *(["\n".join(f"- {remark}" for remark in study.remarks)] if study.remarks else []),
        f"{progress(plan.states())}.",
    ]
    return "\n\n".join(parts) + "\n"


def _from_here(file: Path) -> str:
    """A study's file as one would write it where its runs lie: in the folder that is worked in."""
    here = Path.cwd()
    whole = file.resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else file)


def _level(level: str, lines: tuple[str, ...]) -> str:
    return f"{level} (`{shell.join(lines)}`)" if lines else f"{level} (as it is)"
