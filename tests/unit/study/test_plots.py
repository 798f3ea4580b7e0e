"""Plots of studies that nobody has trained: what is drawn where."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lushan.common.units import LOSS, SHARE
from lushan.report import groups
from lushan.report.page import page
from lushan.run.result import RunResult
from lushan.study.collect import Member
from lushan.study.plan import Plan
from lushan.study.plots import drawn
from lushan.study.study import Plot, Study

SHARES = {"10 %": (), "100 %": ()}
METHODS = {"full": (), "lora": ()}
SCORES = {"full": {"10 %": (0.5, 0.7), "100 %": (0.8, 0.9)}, "lora": {"10 %": (0.4,)}}


MEASURES = {"test/f1_macro": SHARE, "test/loss": LOSS}


@dataclasses.dataclass(frozen=True)
class Run:
    """As much of a run as a plot asks for."""

    cell: dict[str, str]
    seed: int
    value: float

    def member(self) -> Member:
        metrics = {"test/f1_macro": self.value, "test/loss": 1 - self.value}
        folder = Path(f"{self.cell}{self.seed}")
        config = {"name": "x", "seed": self.seed}
        result = RunResult(Path(), "x", "0", self.seed, metrics, "test/f1_macro", config, MEASURES)
        return Member(folder, folder.name, config, self.cell, "", result, None)


def plan(*plots: Plot, axes=None) -> Plan:
    axes = axes or {"method": METHODS, "share": SHARES}
    study = Study(Path("study.yaml"), "title", (), axes, (), (1, 2), (), plots, (), {})
    runs = [
        Run({"method": method, "share": share} if len(axes) > 1 else {"share": share}, seed, value)
        for method, shares in SCORES.items()
        for share, values in shares.items()
        for seed, value in enumerate(values, start=1)
        if method in ("full", *axes.get("method", ()))
    ]
    return Plan(study, tuple(runs), ())


def points(line) -> list[tuple[float, float]]:
    x, y = line.lines[0].get_data()
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def test_a_line_for_each_method_in_percent():
    (found,) = drawn(plan(Plot("share", "test/f1_macro")))
    full, lora = found.figure.axes[0].containers
    assert points(full) == [(0, 60), (1, pytest.approx(85))]
    assert points(lora) == [(0, 40)]
    assert (full.get_label(), lora.get_label()) == ("full", "lora")
    (bars,) = full.lines[2]
    low, high = bars.get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(100 * np.std([0.5, 0.7], ddof=1))
    assert found.name == "plot.png"
    assert found.caption == (
        "test/f1_macro, % by share: mean and standard deviation over n = 0–2 seeds"
    )


def test_levels_as_numbers():
    one, other = drawn(plan(Plot("share", "test/loss", "log"), Plot("method")))
    full = found = one.figure.axes[0].containers[0]
    assert points(full) == [(10, pytest.approx(0.4)), (100, pytest.approx(0.15))]
    assert found.get_label() == "full"
    assert one.figure.axes[0].get_xscale() == "log"
    assert [t.get_text() for t in one.figure.axes[0].get_xticklabels()] == ["10 %", "100 %"]
    assert (one.name, other.name) == ("plot-1.png", "plot-2.png")
    assert [c.get_label() for c in other.figure.axes[0].containers] == ["10 %", "100 %"]


def test_a_study_of_one_axis():
    (found,) = drawn(plan(Plot("share"), axes={"share": SHARES}))
    assert points(found.figure.axes[0].containers[0])[0] == (0, 60)
    assert found.figure.axes[0].get_legend() is None


def test_a_report_shows_them():
    made = groups.Gathered("t", [], [], [], plots={"a < b": b"png"})
    assert '<img src="data:image/png;base64,cG5n" alt="a &lt; b">' in page(made)
