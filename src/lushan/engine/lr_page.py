"""What a learning-rate range test leaves: its points, its curve, and a page of both."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lushan import plotting
from lushan.engine.lr_range import Range
from lushan.run.files import atomic_write, check_writable

COLUMNS = ("lr", "loss", "smoothed")


def write(found: Range, folder: Path, cfg: Mapping[str, Any]) -> list[Path]:
    """Write `lr.csv`, `lr.png` and `lr.html`; return their paths."""
    check_writable(folder)
    rows = [(point.lr, point.loss, point.smoothed) for point in found.points]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *rows])
    image = plotting.png(curve(found))
    content: dict[str, bytes | str] = {
        "lr.csv": out.getvalue(),
        "lr.png": image,
        "lr.html": page(found, image, str(cfg["name"])),
    }
    for name, text in content.items():
        atomic_write(folder / name, text)
    return [folder / name for name in content]


def curve(found: Range) -> Figure:
    """Draw loss over learning rate, as it was and smoothed, and the suggestion."""
    figure, (axes,) = plotting.sheet(6.4, 3.6)
    rates = [point.lr for point in found.points]
    for name, style in (("loss", {"alpha": 0.35}), ("smoothed", {"linewidth": 2})):
        values = [getattr(point, name) for point in found.points]
        shown = np.array([np.nan if value is None else value for value in values])
        axes.plot(rates, shown, color=plotting.BLUE, label=name, **style)
    smoothed = [point.smoothed for point in found.points if point.smoothed is not None]
    if smoothed:  # single losses of the end would flatten all the others
        low, high = min(smoothed), max(smoothed)
        axes.set_ylim(low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1))
    if found.suggestion is not None:
        axes.axvline(found.suggestion, color=plotting.ORANGE, label=f"lr {found.suggestion:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.legend(frameon=False)
    return figure


def page(found: Range, image: bytes, name: str) -> str:
    """Return curve, lines to write and points as one HTML file."""
    picture = base64.b64encode(image).decode()
    lines = "\n".join(found.overrides) or "no suggestion: the loss does not fall"
    cells = "".join(
        "<tr>" + "".join(f"<td>{_cell(getattr(point, column))}" for column in COLUMNS)
        for point in found.points
    )
    heads = "".join(f"<th>{column}" for column in COLUMNS)
    title = html.escape(f"Learning rates of {name}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:16px system-ui;max-width:45rem;margin:2rem auto;padding:0 1rem}"
        "img{max-width:100%}td,th{padding:0 1rem 0 0;text-align:right}</style>"
        f"<h1>{title}</h1><pre>{html.escape(lines)}</pre><p>{html.escape(found.ended)}</p>"
        f'<img alt="training loss over learning rate" src="data:image/png;base64,{picture}">'
        f"<table><tr>{heads}{cells}</table></html>\n"
    )


def _cell(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
