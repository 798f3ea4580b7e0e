"""The jobs of a sweep as children: what one does is its own affair."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from tests.helpers import forked, quick
from tests.helpers.waiting import until

from lushan.engine import lifecycle
from lushan.errors import UserError
from lushan.launch.cores import usable_threads
from lushan.launch.fork import ForkLauncher, set_apart

PROGRAM = Path(__file__).with_name("sweep_program.py")


def begin(folder, *args):
    return forked.Command([str(folder), *args], folder, os.environ, session=True, program=PROGRAM)


def sweep(folder, *args):
    process = begin(folder, *args)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def shown(folder, name):
    path = folder / name
    until(path.exists, said=lambda: name)
    return json.loads(path.read_text())


def outcomes(folder):
    return {o["overrides"][0].removeprefix("name="): o for o in shown(folder, "outcomes")["found"]}


@pytest.mark.slow
@pytest.mark.fault(24)
def test_whatever_a_job_does_the_others_run(tmp_path):
    code, out, err = sweep(tmp_path, "name=kill,leave,crash,wrong,before,ok", "seed=7")
    assert code == 1, err
    found = outcomes(tmp_path)
    assert {name: (o["state"], o["exit_code"]) for name, o in found.items()} == {
        "kill": ("interrupted", -9),
        "leave": ("failed", 7),
        "crash": ("failed", 1),
        "wrong": ("failed", 2),
        "before": ("complete", 0),
        "ok": ("complete", 0),
    }
    assert found["kill"]["reason"] == "ended by SIGKILL"
    assert found["leave"]["reason"] == "ended with exit code 7"
    assert found["wrong"]["reason"] == "as it should"
    assert found["ok"]["value"] == 0.25
    assert found["before"]["answered"]
    assert "RuntimeError: no job does this" in err
    for name, state in (("ok", "complete, 0.5 s"), ("before", "complete before")):
        assert f"#{found[name]['number']} name={name}  {state}\n" in out
    assert out.count("from the job") == 1  # no buffer was written twice


@pytest.mark.slow
def test_only_what_has_to_be_trained_is_forked_after_one_preload(tmp_path):
    code, _, err = sweep(tmp_path, "name=before,ok,left,right", "hydra.launcher.jobs=3")
    assert code == 0, err
    parent = shown(tmp_path, "outcomes")["pid"]
    assert shown(tmp_path, "before.begun")["pid"] == parent
    assert shown(tmp_path, "preloaded.3")["pid"] == parent
    children = [shown(tmp_path, f"{name}.begun") for name in ("ok", "left", "right")]
    assert len({child["pid"] for child in children} | {parent}) == 4
    assert all(child["group"] == child["pid"] for child in children)
    # `left` and `right` wait for each other: they were at work at the same time.
    assert {child["threads"] for child in children} == {max(1, usable_threads() // 3)}
    assert list((tmp_path / "outputs" / ".sweeps").glob("*.txt")) == []


@pytest.mark.slow
def test_a_sweep_of_complete_runs_imports_nothing(tmp_path):
    code, _, err = sweep(tmp_path, "name=before", "seed=1,2")
    assert code == 0, err
    assert not list(tmp_path.glob("preloaded.*"))


@pytest.mark.slow
def test_several_at_once_print_into_files_that_stay_where_one_failed(tmp_path):
    code, out, err = sweep(tmp_path, "name=crash,ok", "hydra.launcher.jobs=2")
    assert code == 1, err
    assert "from the job" not in out
    (kept,) = (tmp_path / "outputs" / ".sweeps").glob("*.txt")
    assert "no job does this" in kept.read_text()
    assert str(kept) in outcomes(tmp_path)["crash"]["reason"]


SIGNALS = [(s, c, g) for s, c in ((signal.SIGTERM, 143), (signal.SIGINT, 130)) for g in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code", "whole_group"), quick.only(SIGNALS[-1:], SIGNALS))
def test_a_signal_is_sent_on_once_and_waited_for(tmp_path, signum, code, whole_group):
    process = begin(tmp_path, "name=save,ok")
    shown(tmp_path, "save.ready")
    (os.killpg if whole_group else os.kill)(process.pid, signum)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert shown(tmp_path, "save.saved")["signal"] == signum
    found = outcomes(tmp_path)
    assert found["save"]["state"] == "interrupted"
    assert found["ok"]["reason"].startswith("not started")
    assert not (tmp_path / "ok.begun").exists()


@pytest.mark.slow
def test_a_second_signal_hurries(tmp_path):
    process = begin(tmp_path, "name=save_long")
    shown(tmp_path, "save_long.ready")
    process.send_signal(signal.SIGTERM)
    shown(tmp_path, "save_long.first")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    shown(tmp_path, "save_long.hurried")


@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_signal_to_one_job_stops_that_one(tmp_path):
    process = begin(tmp_path, "name=save,ok")
    os.kill(shown(tmp_path, "save.ready")["pid"], signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    found = outcomes(tmp_path)
    assert (found["save"]["state"], found["save"]["exit_code"]) == ("interrupted", 143)
    assert found["ok"]["state"] == "complete"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a child learns of it on Linux only")
def test_a_killed_sweep_leaves_no_job_behind(tmp_path):
    process = begin(tmp_path, "name=save,ok")
    child = psutil.Process(shown(tmp_path, "save.ready")["pid"])
    process.kill()
    process.communicate(timeout=120)
    assert shown(tmp_path, "save.saved")["signal"] == signal.SIGTERM
    child.wait(timeout=60)
    assert not (tmp_path / "ok.begun").exists()


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "two"])
def test_a_number_of_jobs_that_is_none(jobs):
    with pytest.raises(UserError, match=r"hydra\.launcher\.jobs"):
        ForkLauncher(jobs=jobs)


def test_overrides_that_all_share_set_none_apart():
    jobs = [["a=1", "++b.c=2", "hydra.x=1"], ["a=1", "++b.c=3", "hydra.x=1"]]
    assert set_apart(jobs) == [("b.c=2",), ("b.c=3",)]
    assert set_apart([["a=1", "hub.token=swordfish"]]) == [("a=1", "hub.token=***")]
    assert set_apart([]) == []


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert usable_threads() >= 1


BEFORE = "import os, numpy, pyarrow, scipy.linalg; print(len(os.listdir('/proc/self/task')))"


def _compute(sender):
    """Compute with two threads; tell how many the server has, and how many were used."""
    threads = len(list(Path(f"/proc/{os.getppid()}/task").iterdir()))
    lifecycle.limit_threads(2)
    weight = torch.randn(512, 512, requires_grad=True)
    (torch.randn(2048, 512) @ weight).relu().sum().backward()
    sender.send((threads, torch.get_num_threads(), bool(weight.grad.isfinite().all())))


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.slow
def test_what_is_preloaded_starts_no_thread_and_a_child_computes_with_its_own():
    """The tests' server has preloaded runs of all tasks, and forks as a sweep does."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE], capture_output=True, text=True, check=True
    )
    receiver, sender = forked.server.Pipe(duplex=False)
    process = forked.process(_compute, (sender,))
    process.join(300)  # a child that inherits a pool without its threads waits for ever
    assert process.exitcode == 0
    threads, used, finite = receiver.recv()
    # Those of BLAS and of Arrow's memory, which know how to be forked.
    assert threads <= int(done.stdout)
    assert (used, finite) == (2, True)
