"""Summary of a run at its end: metrics with their intervals, and classes one by one."""

from __future__ import annotations

from lushan.common.units import SHARE, head, interval, number
from lushan.run.columns import aligned
from lushan.run.result import RunResult, SummaryRow, summary

CLASSES = 20
"""Classes that are shown, of more the most frequent; all are in `result.json`."""

SCORES = ("precision", "recall", "f1")
"""Scores of each class."""


METRIC_HEADS = ("metric", "value", "95 % interval")


def metric_cells(row: SummaryRow) -> list[str]:
    """The name of a metric with its unit, its value, and its interval."""
    measure = row.measure
    value = number(row.value, measure)
    return [head(row.metric, measure), value, interval(row.low, row.high, measure)]


def closing_text(result: RunResult, *, every_level: bool = False) -> str:
    """The metrics of a result, main metric first, its classes, and what to know of the numbers.

    What was said of them when the training began is not said once more.

    Args:
        result: Of a run, or of a split evaluated again.
        every_level: Show the tags of tokens too, not only entities.
    """
    rows = [[*METRIC_HEADS, ""]]
    for row in summary(result):
        rows.append([*metric_cells(row), "main metric" if row.is_main else ""])
    lines = aligned(rows, right={1}) if len(rows) > 1 else ["no metrics"]
    for classes in report_texts(result)[: None if every_level else 1]:
        lines += ["", *classes]
    if (best := result.extra.get("best_step")) is not None:
        lines.append(f"evaluated: the weights of step {best} of {result.extra['steps']}")
    notes = result.extra.get("notes") or ()
    lines += [f"note: {note}" for note in notes if note not in result.announced]
    return "\n".join(lines)


def report_texts(result: RunResult) -> list[list[str]]:
    """One table a level of the split that the main number is of; none where a task has no classes.

    Entities come first, the tags of their tokens after them: they look alike and mean something
    else, so each table is headed by its level. Averages are left out; they are among the metrics.
    """
    split = result.headline.partition("/")[0]
    tables = []
    for level, scores in (result.reports.get(split) or {}).items():
        classes = {name: s for name, s in scores.items() if not name.endswith(" avg")}
        if not classes:
            continue
        rows = [[f"{split}, {level}", *(head(name, SHARE) for name in SCORES), "support"]]
        shown = list(classes.items())
        if len(shown) > CLASSES:
            shown = sorted(shown, key=lambda one: -one[1]["support"])[:CLASSES]
        for name, score in shown:
            numbers = [number(score[key], SHARE) for key in SCORES]
            rows.append([name, *numbers, str(score["support"])])
        more = len(classes) - CLASSES
        rest = [f"and {more} more, in result.json"] if more > 0 else []
        tables.append(aligned(rows, right=range(1, 5)) + rest)
    return tables
