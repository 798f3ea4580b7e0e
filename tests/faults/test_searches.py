"""A search that is killed or shared, and a trial that it ends early."""

import csv
import functools
import json
import os
import random
import signal
import time

import pytest

from tests.helpers import command, narrow
from tests.helpers.waiting import until

pytest.importorskip("optuna")
pytestmark = pytest.mark.slow

TINY = [
    *narrow.narrowed(["data=sample_ner", "data.limit=40", *command.SMALL]),
    *("trainer.max_epochs=2", "name=shared", "optimized_metric=val/loss"),
]
SEARCH = ["train", "-m", "hparams_search=optuna", *TINY]
SEARCH += ["optimizer.lr=tag(log, interval(1e-5, 1e-2))", "task/head=linear,mlp"]
ALL_PRUNED = "hydra.sweeper.pruner={_target_: optuna.pruners.ThresholdPruner, upper: 0.0}"


def begun(folder, *more):
    return command.begun(*SEARCH, *more, cwd=folder)


def trials(folder):
    (path,) = folder.glob("outputs/shared/search-*/trials.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def shown(rows):
    """What must not depend on how a search came about."""
    kept = ("trial", "state", "val/loss", "optimizer.lr", "task/head")
    return [{key: row[key] for key in kept} for row in rows]


def attempts(folder):
    runs = folder.glob("outputs/shared/*/run.json")
    return [json.loads(path.read_text())["attempts"] for path in runs]


def has_results(folder, number):
    return len(list(folder.glob("outputs/shared/*/result.json"))) >= number


@pytest.mark.slow(8)
@pytest.mark.fault(25)
def test_killed_after_some_trials_it_ends_with_all(tmp_path):
    total = "hydra.sweeper.n_trials=4"
    alone = begun(tmp_path / "alone", total)
    text, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, text

    chance = random.Random(7)
    for complete in (1, 2):
        search = begun(tmp_path / "killed", total)
        until(functools.partial(has_results, tmp_path / "killed", complete), 300, process=search)
        time.sleep(chance.random())
        os.killpg(search.pid, signal.SIGKILL)
        search.communicate()
    last = begun(tmp_path / "killed", total)
    text, _ = last.communicate(timeout=300)
    assert last.returncode == 0, text
    assert shown(trials(tmp_path / "killed")) == shown(trials(tmp_path / "alone"))
    assert sum(attempts(tmp_path / "killed")) <= 4 + 2


def test_two_processes_share_the_trials(tmp_path):
    total = "hydra.sweeper.n_trials=4"
    both = [begun(tmp_path, total), begun(tmp_path, total)]
    for search in both:
        text, _ = search.communicate(timeout=300)
        assert search.returncode == 0, text
    done = command.cli(*SEARCH, total, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "4 of 4 trials: 4 complete" in done.out
    assert attempts(tmp_path) == [1] * 4


def test_a_pruned_run_goes_on_outside_of_the_search(tmp_path):
    done = command.cli(*SEARCH, "hydra.sweeper.n_trials=1", ALL_PRUNED, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "1 jobs: 1 pruned" in done.out or "1 job: 1 pruned" in done.out
    (row,) = trials(tmp_path)
    assert row["state"] == "pruned"
    status = json.loads((tmp_path / row["run"] / "run.json").read_text())
    assert status["state"] == "pruned"
    assert "validation 1" in status["reason"]
    assert list((tmp_path / row["run"]).glob("checkpoints/step-*"))

    alone = [*TINY, f"optimizer.lr={row['optimizer.lr']}", f"task/head={row['task/head']}"]
    whole = command.cli("train", *alone, cwd=tmp_path)
    assert whole.code == 0, whole.err
    assert "resuming from" in whole.err
    undisturbed = command.cli("train", *alone, "paths.output_dir=other", cwd=tmp_path)
    assert undisturbed.code == 0, undisturbed.err
    results = [json.loads(p.read_text()) for p in tmp_path.glob("*/shared/*/result.json")]
    assert len(results) == 2
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]


def test_all_ranks_end_a_hopeless_trial_together(tmp_path):
    more = ["hydra.sweeper.n_trials=1", ALL_PRUNED, "trainer=ddp_sim", "hydra/launcher=basic"]
    done = command.cli(*SEARCH, *more, cwd=tmp_path, ranks=1)
    assert done.code == 0, done.err
    (row,) = trials(tmp_path)
    assert row["state"] == "pruned"
    assert "Traceback" not in done.err + done.out
