"""Figures of a run are on the scale that its tables have."""

import pytest

from lushan.common.units import LOSS, SHARE
from lushan.engine.artifacts import curves_figure
from lushan.plotting import draw
from lushan.search.plots import history

ROWS = [
    {"step": "1", "train/loss": "2.0", "val/entity_f1": "0.25", "val/loss": "1.5"},
    {"step": "2", "train/loss": "1.0", "val/entity_f1": "0.5", "val/loss": "1.25"},
]


def test_the_curve_of_a_share_is_in_percent():
    _, scores = curves_figure(ROWS, "entity_f1", SHARE).axes
    assert scores.get_ylabel() == "entity_f1, %"
    assert scores.lines[0].get_ydata().tolist() == [25.0, 50.0]
    assert [note.get_text() for note in scores.texts] == ["50.00"]


def test_the_curve_of_a_loss_is_as_it_is():
    _, scores = curves_figure(ROWS, "loss", LOSS).axes
    assert scores.get_ylabel() == "loss"
    assert [note.get_text() for note in scores.texts] == ["1.2500"]


def test_the_history_of_a_search_is_too():
    class State:
        name = "COMPLETE"

    class Trial:
        number, values, state, intermediate_values = 0, [0.5], State, {}

    class Maximise:
        name = "MAXIMIZE"

    (axes,) = history([Trial], [Maximise], {"val/entity_f1": SHARE}).axes
    assert axes.get_ylabel() == "val/entity_f1, %"
    assert axes.lines[0].get_ydata().tolist() == [50.0]


def test_a_training_of_one_step_is_seen():
    losses, _ = curves_figure(ROWS[:1], "entity_f1", SHARE).axes
    assert [line.get_marker() for line in losses.lines] == ["o", "o"]


def test_ticks_are_the_numbers_themselves():
    rows = [ROWS[0] | {"val/loss": "0.71400"}, ROWS[1] | {"val/loss": "0.71401"}]
    figure = curves_figure(rows, "loss", LOSS)
    draw(figure)
    for axes in figure.axes:
        assert axes.yaxis.get_major_formatter().get_offset() == ""


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        ({"val/x": "nan", "val/loss": "nan", "train/loss": "nan"}, "no finite value"),
        ({"val/x": "", "val/loss": "", "train/loss": ""}, "no finite value"),
        ({}, "not measured"),
    ],
)
def test_a_panel_without_a_number_says_why(values, printed):
    for axes in curves_figure([{"step": "1"} | values], "x", LOSS).axes:
        (text,) = axes.texts
        assert text.get_text().endswith(printed)
