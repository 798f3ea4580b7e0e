"""The same conditions for every command that chooses among runs; runs that never started."""

from __future__ import annotations

import json

import pytest
from tests.helpers.command import SMALL
from tests.helpers.runs import finished, labelled


@pytest.fixture
def place(tmp_path):
    """Two heads with two seeds each."""
    for head in ("linear", "crf"):
        for seed in (1, 2):
            finished(
                tmp_path / "outputs",
                {"seed": seed, "task": {"kind": "single"}, "model": {"head": head}},
                {"test/accuracy": 0.5 + seed / 10, "test/loss": 1.0},
                labelled("aabb" * 3, ("aabb" if head == "crf" else "abba") * 3),
            )
    return tmp_path / "outputs"


def test_runs(place, cli_inside, monkeypatch):
    found = json.loads(cli_inside("runs", "--where", "model.head=crf", "--json").out)
    assert [run["differs"] for run in found] == [{"seed": 1}, {"seed": 2}]
    (best,) = json.loads(cli_inside("runs", "--sort", "value", "--last", "1", "--json").out)
    assert best["value"] == 0.7
    shown = cli_inside("runs", "--columns", "seed,model.head,test/loss", "--where", "seed=2").out
    assert [line.split() for line in shown.splitlines()] == [
        ["seed", "model.head", "test/loss"],
        ["2", "linear", "1.0000"],
        ["2", "crf", "1.0000"],
    ]
    assert cli_inside("runs", "--where", "seed=7").out == "No run in outputs matches seed=7.\n"
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, cli_inside("runs").out.splitlines())) <= 50
    assert max(map(len, cli_inside("runs", "--columns", "all").out.splitlines())) > 50


def test_table(place, cli_inside):
    arguments = ("table", "outputs", "--rows", "model.head")
    assert "linear" in cli_inside(*arguments).out
    done = cli_inside(*arguments, "--where", "model.head=crf", "--where", "seed=2")
    assert "linear" not in done.out
    assert "70.00" in done.out


def test_compare(place, cli_inside):
    done = cli_inside("compare", "outputs", "--where", "seed=1", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["config"] == {"model.head": ["linear", "crf"]}
    again = cli_inside("compare", "outputs", "outputs", "--where", "seed=1")
    assert again.code == 2
    assert "4 match" in again.err
    assert "`compare` needs two runs" in cli_inside("compare", "outputs").err


def test_report(place, cli_inside, tmp_path):
    done = cli_inside("report", "outputs", "-o", "site", "--where", "model.head=crf")
    assert done.err.startswith("2 runs: 2 complete"), done.err


@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("table", "outputs", "--rows", "seed"),
        ("compare", "outputs"),
        ("report", "outputs", "-o", "site"),
    ],
)
def test_conditions_that_cannot_be(command, place, cli_inside):
    for condition, printed in (("seed", "not a condition"), ("sed=1", "Did you mean 'seed'?")):
        done = cli_inside(*command, "--where", condition)
        assert done.code == 2
        assert printed in done.err
        assert "--where" in done.err
    if command[0] != "runs":
        done = cli_inside(*command, "--where", "seed=7")
        assert (done.code, "none of 4 runs matches" in done.err) == (2, True)


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("mistake", "printed"),
    [
        ("data.text=nothing", "there is no column 'nothing'"),
        ("data.label=text", "never occurs in train"),
        ("data.train=nowhere.csv", "nowhere.csv"),
        ("trainer.max_epoch=1", "max_epoch"),
    ],
)
def test_a_run_that_never_started_leaves_nothing_behind(mistake, printed, cli_inside, tmp_path):
    for split in ("train", "validation"):
        rows = "".join(f"{split} {i},{'ab'[i % 2]}\n" for i in range(4))
        (tmp_path / f"{split}.csv").write_text("text,label\n" + rows)
    done = cli_inside(
        *("train", "task=classification", "data=table", "name=mine", *SMALL),
        *("data.train=train.csv", "data.validation=validation.csv", mistake),
    )
    assert (done.code, printed in done.err) == (2, True), done.err
    assert not (tmp_path / "outputs").exists()
