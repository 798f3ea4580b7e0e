"""A run that dies while it finishes: the next start gives the same, wherever it was."""

import functools
import json
import os
import shutil

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import artifacts, lifecycle
from lushan.run.folder import RunFolder
from lushan.run.status import COMPLETE
from tests.faults import jobs
from tests.helpers import command, corpora, deaths, narrow, plots

TIMES = {"started", "seconds", "train_seconds"}
CHANGES = ("rename", "replace", "unlink", "rmdir")


def result_of(run):
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return {name: value for name, value in result.items() if name not in TIMES}


def files_of(run):
    """Names of the files that a reader may find, less those of owners and logs."""
    names = (p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
    return sorted(name for name in names if not name.startswith(".owner"))


def before(function, act):
    """The function, with something done first."""

    def changed(*args, **options):
        act()
        return function(*args, **options)

    return changed


@pytest.mark.slow
@pytest.mark.fault(71)
def test_a_death_between_any_two_changes_of_files_while_finishing(tmp_path, monkeypatch):
    places = [f"paths.output_dir={tmp_path}/out", f"paths.cache_dir={tmp_path}/cache"]
    files = corpora.overrides(corpora.conll(tmp_path))
    words = [*command.SMALL, *places, "task=ner", "data=conll", *files]
    cfg = check(compose(narrow.narrowed(words)))
    copies = deaths.Copies(tmp_path / "copies")

    def begin():
        (record,) = (tmp_path / "out").glob("*/*/run.json")
        take = functools.partial(copies.take, record.parent)
        for name in CHANGES:
            monkeypatch.setattr(os, name, before(getattr(os, name), take))

    monkeypatch.setattr(artifacts, "keep", before(artifacts.keep, begin))
    with plots.undrawn():
        run = lifecycle.run(cfg).folder
    monkeypatch.undo()
    wanted, names = result_of(run), files_of(run)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["best"]
    assert len(copies.found) > 10
    for copy, _ in copies.found:
        shutil.rmtree(run)
        shutil.copytree(copy, run)
        shutil.rmtree(run / ".owner")  # the owner is dead
        with plots.undrawn():
            lifecycle.run(cfg)
        assert result_of(run) == wanted, copy
        assert files_of(run) == names, copy
        assert RunFolder(run).state == COMPLETE


@pytest.mark.slow
@pytest.mark.fault(71)
def test_a_complete_run_whose_result_is_gone_is_trained_again(tmp_path):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.at_step(10)) == 137
    assert jobs.execute(cfg) == 0
    run = jobs.run_folder(tmp_path)
    wanted = result_of(run)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["best"]
    (run / "result.json").unlink()
    assert jobs.execute(cfg) == 0
    assert result_of(run) == wanted
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["best"]
