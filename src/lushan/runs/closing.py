"""What a run says at its end: its numbers with their intervals, and its classes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lushan.runs.columns import aligned
from lushan.runs.result import Result, summary

CLASSES = 20
"""As many classes are shown; all are in `result.json`."""


def closing_text(result: Result) -> str:
    """The metrics of a result, main metric first, its classes, and what to know of the numbers."""
    rows = [["metric", "value", "95 % interval", ""]]
    for row in summary(result):
        value = "-" if row.value is None else f"{row.value:.4f}"
        known = row.low is not None and row.high is not None
        interval = f"{row.low:.4f} to {row.high:.4f}" if known else ""
        rows.append([row.metric, value, interval, "main metric" if row.is_main else ""])
    lines = aligned(rows, right={1})
    classes = report_text(result)
    notes = [f"note: {note}" for note in result.extra.get("notes") or ()]
    return "\n".join([*lines, *(["", *classes] if classes else []), *notes])


def report_text(result: Result) -> list[str]:
    """The classes of the split that the main number is of; empty where a task has none.

    Only of the first level: entities, not the tags of their tokens, which look alike and mean
    something else. Averages are left out, for they are among the metrics.
    """
    split = result.headline.partition("/")[0]
    levels: Mapping[str, Any] = result.report.get(split) or {}
    for level, scores in levels.items():
        classes = {name: s for name, s in scores.items() if not name.endswith(" avg")}
        if not classes:
            return []
        rows = [[f"{split}, {level}", "precision", "recall", "f1", "support"]]
        for name, score in list(classes.items())[:CLASSES]:
            numbers = [_shown(score[key]) for key in ("precision", "recall", "f1")]
            rows.append([name, *numbers, str(score["support"])])
        lines = aligned(rows, right=range(1, 5))
        more = len(classes) - CLASSES
        return [*lines, f"and {more} more, in result.json"] if more > 0 else lines
    return []


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
