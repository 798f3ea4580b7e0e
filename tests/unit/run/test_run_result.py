"""`result.json`: written, read, refused; what is shown of it."""

import dataclasses
import math
from pathlib import Path

import pytest

from lushan.common.units import LOSS, SHARE
from lushan.errors import UserError
from lushan.run.result import RunResult, headline, objective, summary


@pytest.fixture
def result(config, tmp_path):
    return RunResult(
        folder=tmp_path,
        name="mine",
        run_id="0123456789",
        seed=1,
        metrics={"val/loss": 0.3, "val/f1": 0.7, "train/f1": 0.9, "test/loss": 0.4, "test/f1": 0.6},
        main_metric="test/f1",
        measures={"val/f1": SHARE, "test/f1": SHARE, "train/f1": SHARE, "test/loss": LOSS},
        config=config,
        ci={"test/f1": [0.5, 0.65]},
        extra={"notes": ["something"]},
    )


def test_it_is_read_as_it_was_written(result, tmp_path):
    result.write(tmp_path / "result.json")
    again = RunResult.read(tmp_path / "result.json")
    assert again == result
    assert again.extra == {"notes": ["something"]}
    assert next(iter(result.to_dict())) == "state"


def test_a_number_that_is_none_is_null(result, tmp_path):
    result.metrics["test/f1"] = math.nan
    result.write(tmp_path / "result.json")
    assert RunResult.read(tmp_path / "result.json").metrics["test/f1"] is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"metrics": None}, "Expected `object`, got `null` - at `$.metrics`"),
        ({"seed": "1"}, "Expected `int`, got `str` - at `$.seed`"),
        ({"state": "running"}, "Invalid enum value 'running' - at `$.state`"),
        ({"metrics": {"a": "x"}}, "got `str` - at `$.metrics[...]`"),
        ({"metrics": {"a": True}}, "got `bool` - at `$.metrics[...]`"),
        ({"ci": []}, "Expected `object`, got `array` - at `$.ci`"),
    ],
)
def test_what_is_wrong_with_it_is_said(result, change, problem):
    with pytest.raises(UserError, match="not the result of a run") as caught:
        RunResult.from_dict(result.to_dict() | change, file=Path("result.json"))
    assert problem in str(caught.value)


def test_extra_entries_take_no_names(result):
    with pytest.raises(ValueError, match="metrics"):
        dataclasses.replace(result, extra={"metrics": 1}).to_dict()


def test_the_main_metric_comes_first_then_test_then_validation(result):
    rows = summary(result)
    assert [row.metric for row in rows] == [
        "test/f1",
        "test/loss",
        "val/loss",
        "val/f1",
        "train/f1",
    ]
    assert (rows[0].low, rows[0].high, rows[0].is_main) == (0.5, 0.65, True)
    assert rows[1].low is None


def test_the_headline_is_on_test_where_there_was_one():
    assert headline("val/f1", {"val/f1": 1, "test/f1": 2}) == "test/f1"
    assert headline("f1", {"val/f1": 1}) == "val/f1"
    assert headline("odd", {}) == "odd"


def test_a_search_looks_at_validation(result):
    assert objective(result) == 0.7
    assert objective(result, "test/loss") == 0.4
    with pytest.raises(UserError, match="test/loss"):
        objective(result, "test/los")
