"""What may go to free disk, and what never does."""

import hashlib
import json
import os
import time

import pytest

from lushan.run import cleanup
from lushan.run.folder import RunFolder
from lushan.run.result import RunResult

OLD = time.time() - 10 * cleanup.DAY


@pytest.fixture
def make(tmp_path):
    """Runs that nobody has trained, with checkpoints."""

    def make(name, *, complete=False, best=True, old=False):
        cfg = {"name": name, "seed": 1, "paths": {"output_dir": str(tmp_path / "outputs")}}
        folder = RunFolder.of(cfg)
        with folder.locked():
            folder.start(cfg)
            for part in ["step-000000003", "step-000000006"] + ["best-000000003"] * best:
                (folder.checkpoints / part).mkdir(parents=True)
                (folder.checkpoints / part / "weights.safetensors").write_bytes(bytes(1000))
            (folder.predictions / "x").mkdir(parents=True)
            (folder.path / ".tmp-encoder").mkdir()
            (folder.path / ".tmp-encoder" / "config.json").write_text("{}")
            if complete:
                folder.complete(
                    RunResult(
                        folder=folder.path,
                        name=name,
                        run_id=folder.path.name,
                        seed=1,
                        metrics={"val/x": 1.0},
                        main_metric="val/x",
                        config=cfg,
                        data_fingerprint={},
                        seconds=1.0,
                    )
                )
        if old:
            for path in [folder.path, *folder.path.rglob("*")]:
                os.utime(path, (OLD, OLD))
        return folder

    return make


def planned(root, older_than=None):
    return {removal.path.name: removal.why for removal in cleanup.plan(root, older_than)}


def hashes(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file() and "step-" not in str(path) and ".tmp-" not in str(path)
        if path.parent.name != ".owner"
    }


def test_a_complete_run_loses_none_of_its_results(make, tmp_path):
    folder = make("a", complete=True)
    before = hashes(folder)
    assert planned(tmp_path) == {
        ".tmp-encoder": "temporary file of a killed process",
        "step-000000003": "checkpoint of a complete run",
        "step-000000006": "checkpoint of a complete run",
    }
    freed, left = cleanup.execute(cleanup.plan(tmp_path))
    assert (freed, left) == (2002, [])
    assert planned(tmp_path) == {}
    assert hashes(folder) == before
    assert folder.state == "complete"


def test_a_run_that_may_go_on_keeps_its_states(make, tmp_path):
    make("a")
    assert planned(tmp_path) == {".tmp-encoder": "temporary file of a killed process"}
    assert planned(tmp_path, 5) == {".tmp-encoder": "temporary file of a killed process"}


def test_an_old_one_keeps_its_best_weights(make, tmp_path):
    folder = make("a", old=True)
    assert planned(tmp_path) == {".tmp-encoder": "temporary file of a killed process"}
    cleanup.execute(cleanup.plan(tmp_path, 5))
    assert [path.name for path in folder.checkpoints.iterdir()] == ["best-000000003"]


def test_or_its_newest_state_where_it_has_none(make, tmp_path):
    folder = make("a", best=False, old=True)
    cleanup.execute(cleanup.plan(tmp_path, 5))
    assert [path.name for path in folder.checkpoints.iterdir()] == ["step-000000006"]


def test_a_run_that_is_at_work_is_left_alone(make, tmp_path):
    folder = make("a", old=True)
    removals = cleanup.plan(tmp_path, 5)
    assert removals
    with folder.locked():
        (stays,) = cleanup.plan(tmp_path, 5)
        assert (stays.path, stays.stays) == (folder.path, True)
        assert "locked by process" in stays.why
        (folder.path / ".tmp-encoder").mkdir()
        freed, left = cleanup.execute(removals)
    assert freed == 0
    assert "this run is locked by" in left[0]


def test_a_cache_that_was_not_read(tmp_path):
    cache = tmp_path / ".cache" / "encoded"
    cache.mkdir(parents=True)
    (cache / "new").write_text("x")
    (cache / "old").write_text("x")
    os.utime(cache / "old", (OLD, OLD))
    assert planned(tmp_path) == {}
    assert planned(tmp_path, 5) == {"old": "unused cache"}


def test_the_command_says_first_what_it_would_do(make, cli_inside, tmp_path):
    folder = make("a", complete=True)
    shown = cli_inside("runs", "--prune")
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == "2.0 kB in 3 places"
    assert "nothing was deleted" in shown.err
    assert len(list(folder.checkpoints.iterdir())) == 3
    listed = json.loads(cli_inside("runs", "--prune", "--json").out)
    assert sum(row["bytes"] for row in listed) == 2002
    assert {row["run"] for row in listed} == {str(folder.path.relative_to(tmp_path))}
    done = cli_inside("runs", "--prune", "--yes")
    assert done.out.endswith("freed 2.0 kB\n")
    assert len(list(folder.checkpoints.iterdir())) == 1
    assert cli_inside("runs", "--yes").code == 2
    assert cli_inside("runs", "--prune", "--older-than", "-1").code == 2


@pytest.mark.parametrize(("size", "words"), [(12, "12 B"), (3400, "3.4 kB"), (5e9, "5.0 GB")])
def test_sizes(size, words):
    assert cleanup.in_words(size) == words
