"""Plots of a study: its cells along one of its axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lushan.common.units import scaled
from lushan.plotting import LINES, fonts, sheet
from lushan.study import folds
from lushan.study.grid import Grid
from lushan.study.plan import Plan
from lushan.study.render import arranged
from lushan.study.study import Plot, Table, number_in

MARKERS = "osD^vPX"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A plot."""

    name: str
    caption: str
    figure: Figure


def drawn(plan: Plan) -> list[Drawn]:
    """All plots of a study.

    Raises:
        UserError: No run is complete, or a metric is unknown.
    """
    members = plan.members
    found = []
    for number, plot in enumerate(plan.study.plots):
        over = (folds.AXIS,) if {folds.AXIS} & {*plan.study.axes} - {plot.x} else ()
        lines = tuple(axis for axis in plan.study.axes if axis not in (plot.x, *over))
        metrics = () if plot.metric is None else (plot.metric,)
        table = Table(lines, (plot.x,), over, metrics)
        grid = arranged(plan, members, table, f"plots.{number}.metric")
        name = "plot.png" if len(plan.study.plots) == 1 else f"plot-{number + 1}.png"
        found.append(Drawn(name, _caption(grid, plot), _figure(grid, plot)))
    return found


def _caption(grid: Grid, plot: Plot) -> str:
    counts = sorted({len(cell.numbers) for cell in grid.cells.values()})
    n = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    runs = "runs" if len(grid.over) > 1 else "seeds"
    name = grid.head(grid.metrics[0])
    return f"{name} by {plot.x}: mean and standard deviation over n = {n} {runs}"


def _figure(grid: Grid, plot: Plot) -> Figure:
    figure, (axes,) = sheet(6.4, 3.8)
    levels = [level for (level,) in grid.columns]
    # Its reader has seen to it that each level of a scale of numbers is one.
    numbers = range(len(levels)) if plot.scale == "levels" else map(number_in, levels)
    places = [float(x) for x in numbers if x is not None]
    if plot.scale == "log":
        axes.set_xscale("log")
    for number, row in enumerate(grid.rows):
        _line(axes, grid, row, number, places)
    family = fonts()
    axes.set_xticks(places, levels, fontfamily=family)
    axes.minorticks_off()
    axes.set_xlabel(plot.x, fontfamily=family)
    axes.set_ylabel(grid.head(grid.metrics[0]))
    if grid.keys:
        axes.legend(frameon=False, prop={"family": family})
    return figure


def _line(
    axes: Axes, grid: Grid, row: tuple[str, ...], number: int, places: Sequence[float]
) -> None:
    """The cells of a row that have a number; those of one run have no deviation."""
    metric = grid.metrics[0]
    measure = grid.measures[metric]
    points = [
        (x, scaled(cell.mean, measure), scaled(cell.sd or 0.0, measure))
        for x, column in zip(places, grid.columns, strict=True)
        if (cell := grid.cells[row, column, metric]).mean is not None
    ]
    x, mean, sd = zip(*points, strict=True) if points else ((), (), ())
    axes.errorbar(
        x,
        mean,
        sd,
        label=", ".join(row),
        color=LINES[number % len(LINES)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        capsize=3,
    )
