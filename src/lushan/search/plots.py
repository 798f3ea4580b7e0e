"""Pictures of a search."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lushan.common.units import Measure, head, scaled
from lushan.plotting import BLUE, GREY, ORANGE, save, sheet

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

HISTORY, IMPORTANCE, FRONT = "history.png", "importance.png", "front.png"


def draw(
    study: Study, metrics: Mapping[str, Measure], importance: Mapping[str, float], folder: Path
) -> list[str]:
    """Draw what there is to see.

    Returns:
        Their names.
    """
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        return []
    figures = {HISTORY: history(trials, study.directions, metrics)}
    if len(importance) > 1:
        figures[IMPORTANCE] = shares(importance)
    if len(metrics) == 2:
        figures[FRONT] = front(trials, study.best_trials, metrics)
    for name, figure in figures.items():
        save(figure, folder / name)
    return list(figures)


def history(
    trials: Sequence[Any], directions: Sequence[Any], metrics: Mapping[str, Measure]
) -> Figure:
    """Each trial's metric, and the best so far; pruned trials at what they had last."""
    figure, rows = sheet(6.4, 3.4 * len(metrics), rows=len(metrics))
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    for place, axes in enumerate(rows):
        numbers = [t.number for t in complete]
        metric, measure = list(metrics.items())[place]
        values = [scaled(t.values[place], measure) for t in complete]
        axes.plot(numbers, values, "o", color=BLUE, markersize=4, label="complete")
        better = max if directions[place].name == "MAXIMIZE" else min
        best = list(itertools.accumulate(values, better))
        axes.step(numbers, best, where="post", color=ORANGE, label="best so far")
        pruned = [t for t in trials if t.state.name == "PRUNED" and t.intermediate_values]
        if pruned and len(metrics) == 1:
            last = [scaled(_last(t), measure) for t in pruned]
            at = [t.number for t in pruned]
            axes.plot(at, last, "x", color=GREY, markersize=5, label="pruned")
        axes.set(xlabel="trial", ylabel=head(metric, measure))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    return figure


def _last(trial: FrozenTrial) -> float:
    return float(trial.intermediate_values[max(trial.intermediate_values)])


def shares(importance: Mapping[str, float]) -> Figure:
    """Return the importance of each key."""
    names = list(importance)[::-1]
    figure, (axes,) = sheet(6.4, 1.2 + 0.35 * len(names))
    axes.barh(names, [importance[name] for name in names], color=BLUE)
    axes.set(xlabel="share of the metric's variation (PED-ANOVA)", xlim=(0, 1))
    return figure


def front(trials: Sequence[Any], best: Sequence[Any], metrics: Mapping[str, Measure]) -> Figure:
    """Two metrics against each other, with the trials that no other beats in both."""
    figure, (axes,) = sheet(5.2, 4.4)
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    for chosen, colour, label in ((complete, GREY, "trials"), (best, ORANGE, "not beaten")):
        units = list(metrics.values())
        points = [[scaled(v, m) for v, m in zip(t.values, units, strict=True)] for t in chosen]
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=label)
    x, y = (head(name, measure) for name, measure in metrics.items())
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False)
    return figure
