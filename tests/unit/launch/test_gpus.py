"""What jobs that run here at a time get of the machine: each a card of its own, or some cores."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from lushan.launch import gpus
from lushan.run import manifest

FORK, JOBLIB, LOCAL = gpus.LOCAL
GPU = {"devices": 1, "accelerator": "auto"}


@pytest.fixture
def cards(monkeypatch, tmp_path):
    """A machine with three cards, which nobody has taken."""
    monkeypatch.setattr(manifest, "gpus", lambda: [{"index": str(i)} for i in range(3)])
    monkeypatch.setattr(gpus, "_held", {})
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def work(number, out, go):
    out.put((number, gpus.take_gpu(number), os.environ["CUDA_VISIBLE_DEVICES"]))
    go.wait(30)


@pytest.mark.usefixtures("cards")
def test_jobs_at_a_time_have_different_cards():
    context = multiprocessing.get_context("fork")
    out, go = context.Queue(), context.Event()
    # 0 and 3 have the same turn, and there are three cards for four.
    several = [context.Process(target=work, args=(n, out, go)) for n in (0, 3, 1, 2)]
    for process in several:
        process.start()
    found = [out.get(timeout=30) for _ in several]
    go.set()
    for process in several:
        process.join()
    chosen = [card for _, card, _ in found]
    assert all(card == seen for _, card, seen in found)
    assert sorted(set(chosen)) == ["0", "1", "2"]
    # Those that have ended have given theirs back.
    assert gpus.take_gpu(1) == "1"


@pytest.mark.usefixtures("cards")
def test_a_process_keeps_its_card():
    assert gpus.take_gpu(1) == "1"
    assert gpus.take_gpu(2) == "1"


@pytest.mark.usefixtures("cards")
def test_only_cards_that_may_be_seen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert gpus.take_gpu(1) == "GPU-b"


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("launcher", "trainer", "taken"),
    [
        ({"_target_": FORK, "jobs": 2}, GPU, True),
        ({"_target_": FORK, "jobs": 1}, GPU, False),
        ({"_target_": JOBLIB, "n_jobs": -1}, GPU, True),
        ({"_target_": LOCAL}, GPU, True),
        ({"_target_": LOCAL}, GPU | {"accelerator": "cpu"}, False),
        ({"_target_": LOCAL}, GPU | {"devices": 2}, False),
        ({"_target_": "lushan.launch.ray.RayLauncher"}, GPU, False),
    ],
)
def test_who_takes_one(launcher, trainer, taken):
    gpus.take(launcher, trainer, 0)
    assert (os.environ.get("CUDA_VISIBLE_DEVICES") == "0") == taken


@pytest.mark.parametrize(("given", "threads"), [(None, 1), (3, 3)])
def test_what_submitit_starts_has_the_cores_that_it_asks_for(given, threads):
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None)\n"
        "from lushan.launch import gpus\n"
        f"gpus.take({{'_target_': {LOCAL!r}, 'cpus_per_task': {given}}}, "
        "{'accelerator': 'cpu'}, 0)\n"
        f"assert os.environ['OMP_NUM_THREADS'] == '{threads}'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
