"""A study whose inputs have changed since its runs were trained: nobody takes them for new."""

import contextlib
import json

import pytest
from tests.helpers import command, corpora, runs

from lushan.study import stale

HEADS = ("linear", "crf")


@pytest.fixture
def study(tmp_path):
    """A study of which all four runs are complete."""
    files = corpora.overrides(corpora.conll(tmp_path))
    base = [*command.SMALL, "task=ner", "data=conll", "name=heads", *files]
    axes = {"head": {head: [f"task/head={head}"] for head in HEADS}}
    printed = {"title": "Heads", "base": base, "axes": axes, "seeds": [1, 2]}
    printed["tables"] = [{"rows": "head", "metrics": ["val/loss"]}]
    (tmp_path / "study.yaml").write_text(json.dumps(printed), encoding="utf-8")
    with contextlib.chdir(tmp_path):
        for head in HEADS:
            for seed in (1, 2):
                words = [*base, f"task/head={head}", f"seed={seed}"]
                runs.answered(words, {"val/loss": 1.0, "val/entity_f1": 0.5})
    return tmp_path


def commands(cli_inside):
    """Every command that shows a study, and what each of them says."""
    found = {
        "run": cli_inside("study", "run", "study.yaml"),
        "status": cli_inside("study", "status", "study.yaml"),
        "table": cli_inside("study", "table", "study.yaml"),
        "report": cli_inside("report", "study.yaml", "-o", "site"),
    }
    page = (found["report"].cwd / "site" / "index.html").read_text(encoding="utf-8")
    printed = {name: done.out + done.err for name, done in found.items()}
    return found, printed | {"report": printed["report"] + page}


@pytest.mark.slow
def test_what_is_as_it_was_is_complete(study, cli_inside):
    found, printed = commands(cli_inside)
    assert all(done.code == 0 for done in found.values()), printed
    assert "4 runs: 4 complete" in printed["run"]
    assert not any("tale" in text or "not checked" in text for text in printed.values())


@pytest.mark.slow
def test_changed_data_are_reported_by_every_command(study, cli_inside):
    corpora.write_conll(study / "train.conll", corpora.SENTENCES * 5)
    found, printed = commands(cli_inside)
    assert {name: done.code for name, done in found.items()} == {
        "run": 1,
        "status": 0,
        "table": 0,
        "report": 0,
    }
    for name, text in printed.items():
        assert "the data of train has changed since" in text, name
        assert "train.conll" in text, name
    for name in ("run", "status"):
        assert "4 runs: 4 stale" in printed[name]
        assert "4 complete" not in printed[name]
    assert "Stale: 4 of 4 runs" in printed["table"]
    assert "0 of 4 runs complete" in printed["report"]
    shown = json.loads(cli_inside("study", "status", "study.yaml", "--json").out)
    assert shown["counts"] == {"stale": 4}
    assert all("the data of train has changed" in run["reason"] for run in shown["runs"])


@pytest.mark.slow
def test_where_the_data_are_not_the_runs_are_shown_all_the_same(study, cli_inside):
    for path in study.glob("*.conll"):
        path.unlink()
    found, printed = commands(cli_inside)
    assert all(found[name].code == 0 for name in ("status", "table", "report")), printed
    for text in printed.values():
        assert "Stale" not in text
        assert "could not check whether the inputs of 4 runs have changed: data.train: " in text
    assert "| linear |" in printed["table"]
    assert "4 of 4 runs complete" in printed["report"]


def test_a_folder_that_is_not_here_has_not_changed_and_one_that_is_here_may_have():
    now = {"data": {"train": "2"}, "files": {"model.path": "commit", "task.template": "2"}}
    files = {"model.path/a": "1", "model.path/b": "1", "task.template": "1"}
    before = {"data": {"train": "1"}, "files": files, "targets": {"mine": "1"}}
    changed, gone = stale._apart(before, now)
    assert [change.label for change in changed] == ["data of train", "task.template"]
    assert gone == ["a of model.path (gone)", "b of model.path (gone)"]
    half = {"files": {"model.path/a": "2", "model.path/c": "1", "task.template": "1"}}
    changed, gone = stale._apart(before, half)
    assert [change.label for change in changed] == ["model.path/a", "model.path/c"]
    assert gone == ["b of model.path (gone)"]
