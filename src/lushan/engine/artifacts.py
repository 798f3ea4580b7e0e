"""Artifacts of a run for people to read: predictions, curves, confusion matrices."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lushan import plotting
from lushan.common import units
from lushan.common.units import Measure
from lushan.metrics.confusion import Confusion
from lushan.metrics.statistics import packed
from lushan.plotting import save
from lushan.run import inside
from lushan.run.files import atomic_write
from lushan.run.folder import RunFolder
from lushan.run.metrics_csv import read_rows
from lushan.tasks.evaluation import Evaluation

MOST_CLASSES = 40
"""A confusion matrix with more classes shows the most frequent ones."""


def keep(
    evaluations: Mapping[str, Evaluation],
    folder: RunFolder,
    *,
    main_metric: str,
) -> None:
    """Write `predictions/` and `plots/` of a run."""
    folder.predictions.mkdir(exist_ok=True)
    folder.plots.mkdir(exist_ok=True)
    for split, evaluation in evaluations.items():
        lines = (json.dumps(r, ensure_ascii=False, default=_plain) for r in evaluation.records)
        atomic_write(folder.predictions / f"{split}.jsonl", "".join(f"{r}\n" for r in lines))
        for name, content in evaluation.files.items():
            place = folder.predictions / name
            inside.require(place, folder.predictions)
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(place, content)
        if evaluation.statistics:
            atomic_write(folder.predictions / f"{split}.npz", packed(evaluation.statistics))
        if evaluation.confusion is not None:
            figure = confusion_figure(evaluation.confusion, split)
            save(figure, folder.plots / f"confusion_{split}.png")
            out = io.StringIO()
            csv.writer(out).writerows([("gold", "predicted", "n"), *evaluation.confusion.cells()])
            atomic_write(folder.plots / f"confusion_{split}.csv", out.getvalue())
    rows = read_rows(folder.metrics_csv)
    if rows:
        known = {n: m for one in evaluations.values() for n, m in one.measures.items()}
        figure = curves_figure(rows, main_metric, units.measure_of(known, main_metric))
        save(figure, folder.plots / "curves.png")


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def warm_up() -> None:
    """Draw once for nothing: fonts are found and read, for all figures of this process."""
    rows = [{"step": "1", "train/loss": "1", "val/x": "1"}]
    once = np.zeros(1, np.int64)
    confusion = confusion_figure(Confusion(["a"], once, once, once + 1), "test")
    for figure in (curves_figure(rows, "x", Measure()), confusion):
        plotting.draw(figure)


def curves_figure(rows: Sequence[Mapping[str, str]], main_metric: str, measure: Measure) -> Figure:
    """Loss over steps, and the main metric on validation."""
    figure, (losses, scores) = plotting.sheet(9, 3.4, columns=2)
    for column, name in (("train/loss", "train"), ("val/loss", "validation")):
        steps, values = series(rows, column)
        if steps:
            # One number alone is no line.
            marker = "o" if column.startswith("val") or len(steps) == 1 else None
            losses.plot(steps, values, label=name, marker=marker, markersize=4)
    losses.set(xlabel="optimizer step", ylabel="loss", title="Loss")
    if losses.lines:
        losses.legend(frameon=False)
    if not any(np.isfinite(line.get_ydata()).any() for line in losses.lines):
        _label_empty(losses, rows, "train/loss", "val/loss")
    steps, values = series(rows, f"val/{main_metric}")
    if not np.isfinite(values).any():
        _label_empty(scores, rows, f"val/{main_metric}")
    else:
        raw, values = values, [units.scaled(value, measure) for value in values]
        scores.plot(steps, values, marker="o", markersize=4, color="tab:green")
        order = np.asarray(values) if measure.higher_is_better is not False else -np.asarray(values)
        best = int(np.argmax(np.nan_to_num(order, nan=-np.inf)))
        scores.annotate(
            units.number(raw[best], measure),
            (steps[best], values[best]),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
        )
        scores.margins(y=0.15)  # room for the number
    scores.set(xlabel="optimizer step", ylabel=units.head(main_metric, measure), title="Validation")
    return figure


def _label_empty(axes: Axes, rows: Sequence[Mapping[str, str]], *columns: str) -> None:
    """State in an empty panel why it is empty: a column without a finite number, or none at all."""
    there = [name for name in columns if any(name in row for row in rows)]
    text = f"{', '.join(there)}: no finite value" if there else "not measured"
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def series(rows: Sequence[Mapping[str, str]], column: str) -> tuple[list[int], list[float]]:
    """The steps at which a column has a number, and the numbers."""
    found = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
    return [step for step, _ in found], [value for _, value in found]


def confusion_figure(confusion: Confusion, split: str) -> Figure:
    """Draw gold against predicted: colours are shares of the gold class, numbers are counts."""
    title = f"Confusion on {split}"
    if len(confusion.names) > MOST_CLASSES:
        title += f": the {MOST_CLASSES} most frequent of {len(confusion.names):,} classes"
    shown = confusion.most_frequent(MOST_CLASSES)
    names, counts = shown.names, shown.table()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(3.6, 0.42 * len(names) + 1.8)
    figure = Figure(figsize=(side + 0.8, side), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    font: dict[str, Any] = {"fontfamily": plotting.fonts()}
    axes.set_xticks(range(len(names)), names, rotation=90, **font)
    axes.set_yticks(range(len(names)), names, **font)
    axes.set(xlabel="predicted", ylabel="gold", title=title)
    for row, column in np.argwhere(counts):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share[row, column] > 0.55 else "black",
        )
    figure.colorbar(image, ax=axes, label="share of the gold class", shrink=0.8)
    return figure
