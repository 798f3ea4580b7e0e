"""A search over stub trials: total, order, interruption, pruning, several metrics, its files."""

import csv
import json
import os
from pathlib import Path

import pytest
from tests.helpers import forked
from tests.helpers import searches as stub

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError
from lushan.launch import job_status
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id
from lushan.search.trials import JOURNAL, Trials, opened

optuna = pytest.importorskip("optuna")

LR = "optimizer.lr=tag(log, interval(1e-6, 1e-2))"
FEW = "hydra.sweeper.n_trials=4"


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trials(folder):
    with (stub.the_folder(folder) / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def study_of(folder):
    found = stub.the_folder(folder)
    storage = opened(str(found / JOURNAL))
    return optuna.load_study(study_name=None, storage=storage)


@pytest.mark.slow
def test_a_search_and_what_it_leaves(tmp_path):
    job = stub.search(tmp_path, LR, "task/head=linear,crf", "hydra.sweeper.n_trials=6")
    assert [number for number, _ in job.trials] == list(range(6))
    rows = trials(tmp_path)
    assert [row["state"] for row in rows] == ["complete"] * 6
    rates = [float(row["optimizer.lr"]) for row in rows]
    assert len(set(rates)) == 6
    assert rates == [rate for _, rate in job.trials] == [float(f"{rate:.3g}") for rate in rates]
    best = max(rows, key=lambda row: float(row["val/entity_f1"]))
    folder = stub.the_folder(tmp_path)
    for name in ("history.png", "importance.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    (shown,) = job_status.notes()
    assert "6 of 6 trials: 6 complete" in shown
    score = 100 * float(best["val/entity_f1"])
    assert f"best: trial {best['trial']}, val/entity_f1 {score:.2f} %" in shown
    # The preset describes the very run, outside of the search.
    made = check(compose(["experiment=search/stub", f"paths.output_dir={tmp_path}/outputs"]))
    assert run_id(made) == best["run"].rpartition("/")[2]
    assert made["optimizer"]["lr"] == float(best["optimizer.lr"])
    assert made["trial"] is None


@pytest.mark.slow
def test_the_same_command_goes_on_to_the_total(tmp_path):
    whole = stub.search(tmp_path / "whole", LR, "hydra.sweeper.n_trials=5")
    first = stub.search(tmp_path / "parts", LR, "hydra.sweeper.n_trials=2")
    rest = stub.search(tmp_path / "parts", LR, "hydra.sweeper.n_trials=5")
    again = stub.search(tmp_path / "parts", LR, "hydra.sweeper.n_trials=5")
    assert first.trials + rest.trials == whole.trials
    assert again.trials == []


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_trial_it_was_at(tmp_path):
    def searched(die_at):
        words = [str(tmp_path), die_at, LR, FEW]
        program = Path(stub.__file__)
        process = forked.Command(words, tmp_path, os.environ, program=program)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    assert searched("[2]")[0] == -9
    code, out, err = searched("[]")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1]) == [2, 3]
    assert [row["state"] for row in trials(tmp_path)] == ["complete"] * 4
    attempts = [RunFolder(row["run"]).status().attempts for row in trials(tmp_path)]
    assert attempts == [1, 1, 2, 1]


@pytest.mark.slow
def test_a_trial_of_a_living_process_is_left_to_it(tmp_path):
    stub.search(tmp_path, LR, "hydra.sweeper.n_trials=1")
    study = study_of(tmp_path)
    storage = study._storage
    other = Trials(study, storage, stub.the_folder(tmp_path))
    with other.searching():
        (held,) = other.due(_space(), 2, 1, lambda _: None)
        assert held.number == 1
        job = stub.search(tmp_path, LR, "hydra.sweeper.n_trials=3")
        assert [number for number, _ in job.trials] == [2]
    job = stub.search(tmp_path, LR, "hydra.sweeper.n_trials=3")
    assert [number for number, _ in job.trials] == [1]


def _space():
    return {"optimizer.lr": optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True)}


@pytest.mark.slow
def test_failed_and_pruned_trials_count(tmp_path):
    stub.search(tmp_path, LR, FEW, job=stub.Job(fail_at=[1], prune_at=[2]))
    rows = trials(tmp_path)
    assert [row["state"] for row in rows] == ["complete", "fail", "pruned", "complete"]
    assert rows[1]["reason"] == "as it should"
    assert RunFolder(rows[2]["run"]).state == "pruned"
    assert job_status.describe(job_status.collected()) == "4 jobs: 2 complete, 1 pruned, 1 failed"
    assert job_status.exit_code(job_status.collected()) == 1
    (shown,) = job_status.notes()
    assert "4 of 4 trials: 2 complete, 1 pruned, 1 failed" in shown


def test_a_mistake_in_every_trial_ends_the_search(tmp_path):
    job = stub.Job(fail_at=range(9), code=2)
    with pytest.raises(UserError, match="no trial could start: as it should"):
        stub.search(tmp_path, LR, FEW, job=job)
    assert len(job.trials) == 1


@pytest.mark.slow
def test_two_metrics(tmp_path):
    metrics = "optimized_metric=[val/entity_f1,val/loss]"
    stub.search(tmp_path, LR, metrics, FEW, "hydra/sweeper/sampler=nsgaii")
    assert [d.name for d in study_of(tmp_path).directions] == ["MAXIMIZE", "MINIMIZE"]
    assert (stub.the_folder(tmp_path) / "front.png").exists()
    assert "best: trial" in job_status.notes()[0]


@pytest.mark.slow
def test_a_grid_ends_by_itself(tmp_path):
    space = ["optimizer.lr=1e-3,1e-4", "task/head=linear,crf"]
    job = stub.search(tmp_path, *space, "hydra/sweeper/sampler=grid", FEW)
    pairs = {(row["optimizer.lr"], row["task/head"]) for row in trials(tmp_path)}
    assert len(pairs) == len(job.trials) == 4


@pytest.mark.slow
def test_nothing_named_searches_the_learning_rate(tmp_path):
    job = stub.search(tmp_path, "optimizer.lr=1e-3", "hydra.sweeper.n_trials=2")
    assert all(1e-4 <= lr <= 1e-2 for _, lr in job.trials)


@pytest.mark.slow
def test_a_database(tmp_path):
    stub.search(
        tmp_path, LR, "hydra.sweeper.n_trials=2", f"hydra.sweeper.storage=sqlite:///{tmp_path}/s.db"
    )
    assert (tmp_path / "s.db").exists()
    assert not (stub.the_folder(tmp_path) / JOURNAL).exists()
    assert len(trials(tmp_path)) == 2


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweeper.n_trials=0"], "n_trials: must be a whole number"),
        (["hydra.sweeper.n_jobs=no"], "n_jobs: must be a whole number"),
        (["hydra.sweeper.direction=up"], "direction: set minimize or maximize"),
        (["hydra.sweeper.storage=postgres://nowhere/x"], "storage: the database cannot be used"),
        (["hydra/sweeper/pruner=median", "optimized_metric=test/entity_f1"], "val/entity_f1"),
        (
            ["hydra/sweeper/pruner=median", "optimized_metric=[val/loss,val/entity_f1]"],
            "pruning needs a single metric",
        ),
        (["optimized_metric=val/entity"], "There are: val/loss, val/entity_f1"),
        (["hydra/sweeper/sampler=grid"], "a grid needs a finite number of values"),
        (["hydra.sweeper.sampler._target_=os.system"], "not allowed"),
        (["optimizer.lr=abc"], "optimizer.lr"),
    ],
)
def test_mistakes(tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        stub.search(tmp_path, LR, *overrides)
    assert not list(tmp_path.glob("outputs/stub/*/run.json"))


@pytest.mark.slow
def test_a_name_belongs_to_one_search(tmp_path):
    name = "hydra.sweeper.study_name=mine"
    stub.search(tmp_path, LR, "hydra.sweeper.n_trials=1", name)
    with pytest.raises(UserError, match="the search with this name has different space"):
        stub.search(tmp_path, "optimizer.lr=interval(1e-6, 1e-2)", name)


@pytest.mark.slow
def test_a_preset_of_the_user_is_left_alone(tmp_path):
    mine = tmp_path / "conf/experiment/search/stub.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\n# Mine.\nseed: 4\n")
    stub.search(tmp_path, LR, "hydra.sweeper.n_trials=1")
    assert mine.read_text().endswith("seed: 4\n")
    assert "was not changed" in job_status.notes()[0]
