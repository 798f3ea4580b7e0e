"""A table's rows against one of them: every difference with its interval, and p over the table."""

from __future__ import annotations

from lushan.errors import UserError, did_you_mean
from lushan.study import differences
from lushan.study.against import Against
from lushan.study.grid import Grid


def against(
    grid: Grid, baseline: str, test: str, *, column: tuple[str, ...] | None = None
) -> Against:
    """Compare all rows of a table with one, in each column with that row's cell there.

    Args:
        grid: The table.
        baseline: A value of the row's key; of several keys `key=value,key=value`.
        test: One of `named_tests.TESTS`.
        column: Compare the cells of all columns with the row's cell in this one.

    Raises:
        UserError: There is unknown row or test, or the baseline names several rows.
    """
    differences.require_test(test)
    base = find(grid, baseline)
    read = differences.reader()
    found = {
        (row, here, metric): differences.contrast(
            grid.cells[row, here, metric].members,
            grid.cells[base, column or here, metric].members,
            metric,
            test,
            read,
        )
        for here in grid.columns
        for row in grid.rows
        for metric in grid.metrics
        # A combination that is not run needs no decision.
        if (row, here) != (base, column or here) and grid.cells[row, here, metric].runs
    }
    decided = differences.corrected(list(found.values()))
    name = base[0] if len(base) == 1 else ",".join(_parts(grid, base))
    if column is not None:
        parts = zip(grid.column_keys, column, strict=True)
        name = ",".join([*_parts(grid, base), *(f"{key}={value}" for key, value in parts)])
    return Against(base, name, test, dict(zip(found, decided, strict=True)), grid.measures)


def find(grid: Grid, baseline: str) -> tuple[str, ...]:
    """The row that a baseline names.

    Raises:
        UserError: None, or several.
    """
    names = {row: ",".join(_parts(grid, row)) for row in grid.rows}
    matching = [row for row in grid.rows if baseline in (names[row], *row[: len(row) == 1])]
    if not matching:
        # In any order, and with fewer keys where these are enough.
        wanted = {_dotted(part.strip()) for part in baseline.split(",")}
        matching = [row for row in grid.rows if wanted <= set(_parts(grid, row))]
    if len(matching) == 1:
        return matching[0]
    known = [row[0] if len(row) == 1 else names[row] for row in grid.rows]
    several = ", ".join(names[row] for row in matching)
    raise UserError(
        f"several rows have this name: {several}" if matching else "unknown row",
        key="--baseline",
        value=baseline,
        hint=(None if matching else did_you_mean(baseline, known))
        or f"Write one of {', '.join(known)}.",
    )


def _parts(grid: Grid, row: tuple[str, ...]) -> list[str]:
    return [f"{_dotted(key)}={value}" for key, value in zip(grid.keys, row, strict=True)]


def _dotted(part: str) -> str:
    """`task.head=a/b` of `task/head=a/b`."""
    key, equals, value = part.partition("=")
    return f"{key.replace('/', '.')}{equals}{value}"
