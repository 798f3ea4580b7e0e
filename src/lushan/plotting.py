"""The look of all plots, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lushan.run.files import replacing

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, YELLOW, BLACK, GREY = "#56b4e9", "#e69f00", "#000000", "#999999"
LINES = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK)
"""Colours that everyone can distinguish (Okabe and Ito)."""
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
)


def sheet(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of some inches, and its axes, row by row."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    found = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        for axis in (axes.xaxis, axes.yaxis):  # 0.714, and not 1e-5 + 7.14e-1
            axis.get_major_formatter().set_useOffset(False)
    return figure, found


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))  # type: ignore[no-untyped-call]


def png(figure: Figure) -> bytes:
    """A figure's file."""
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)  # type: ignore[no-untyped-call]
    return content.getvalue()


def draw(figure: Figure) -> None:
    """Draw a figure for nothing: its fonts are found and read."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


def fonts() -> list[str]:
    """Font families for labels: one with Chinese characters too, where the machine has it."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CJK_FONTS if name in there)]
