"""Several processes of which one is killed, stopped, signalled, or raises: all of them end."""

import signal
import time

import psutil
import pytest

from tests.faults import jobs
from tests.helpers import command
from tests.helpers.waiting import until

pytestmark = pytest.mark.slow

DDP = ("trainer=ddp_sim", "trainer.max_epochs=200", "callbacks.checkpoints.every_n_steps=3")
WORKER = "lushan.engine.distributed.worker"


class Job:
    """A run of two ranks that is in the midst of its steps."""

    def __init__(self, folder, *overrides, executed=False):
        cfg = jobs.config(folder, *DDP, *overrides)
        self.first = jobs.start(cfg, executed=executed)
        seen = jobs.notes_of(folder) / "seen.jsonl"
        until(
            lambda: seen.exists() and len(seen.read_text().splitlines()) >= 5,
            process=self.first,
            said=lambda: jobs.error(folder),
        )
        self.all = [psutil.Process(self.first.pid)]
        self.all += self.all[0].children(recursive=True)
        (_, self.other) = self.all
        self.begun = time.monotonic()

    def ended(self, within):
        """The exit code, once all processes are gone; in so many seconds they must be."""
        self.first.join(within)
        _, alive = psutil.wait_procs(self.all, max(0.0, within - (time.monotonic() - self.begun)))
        for process in alive:
            process.kill()
        assert alive == []
        return jobs.code(self.first)


@pytest.mark.fault(43)
def test_a_rank_that_is_killed(tmp_path):
    job = Job(tmp_path, executed=True)
    assert WORKER in job.other.cmdline()
    job.other.kill()
    assert job.ended(within=5) == 1
    assert jobs.error(tmp_path).startswith("rank 1 was ended by SIGKILL")
    assert jobs.state(tmp_path) == "failed"


@pytest.mark.fault(43)
def test_the_first_rank_that_is_killed(tmp_path):
    job = Job(tmp_path)
    job.first.kill()
    assert job.ended(within=5) == 137
    assert jobs.state(tmp_path) == "interrupted"


@pytest.mark.slow(35)
@pytest.mark.fault(44)
def test_a_rank_that_is_stopped(tmp_path):
    # As long as the processes of a busy machine may wait for one another before they train.
    job = Job(tmp_path, "trainer.group_timeout=0.5")
    job.other.suspend()
    assert job.ended(within=30 + 5) == 1
    assert jobs.error(tmp_path).startswith("rank 1 did not respond and was terminated")


@pytest.mark.fault(45)
def test_sigterm_to_the_other_rank(tmp_path):
    job = Job(tmp_path)
    job.other.send_signal(signal.SIGTERM)
    assert job.ended(within=20) == 143
    assert jobs.state(tmp_path) == "interrupted"
    (_, newest) = sorted((jobs.run_folder(tmp_path) / "checkpoints").glob("step-*"))
    # It was saved once, by all, after the step that the signal fell into.
    assert int(newest.name.partition("-")[2]) == max(jobs.steps_seen(tmp_path)) + 1


BROKEN = """\
import os

if os.environ.get("LOCAL_RANK") == "1" and os.environ.get("LUSHAN_RUN"):
    from lushan.engine.lit_module import LitModule

    def broken(self, batch, number):
        raise ZeroDivisionError("the other rank is broken")

    LitModule.training_step = broken
else:
    from lushan.engine.distributed import rank_launcher

    rank_launcher.GRACE = 60.0  # a busy machine ends an interpreter slowly
"""


@pytest.mark.slow(1)
@pytest.mark.fault(51)
def test_a_rank_that_raises_is_heard_first(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
    done = command.cli(
        *("train", "data=sample_ner", "data.limit=40", *command.SMALL, "trainer=ddp_sim"),
        cwd=tmp_path,
        env={**command.searched_first(tmp_path / "broken"), "OMP_NUM_THREADS": "1"},
        timeout=120,
        ranks=1,
    )
    assert done.code == 1
    assert done.err.count("Traceback") == 1
    own = done.err.index("ZeroDivisionError: the other rank is broken")
    assert own < done.err.index("error: rank 1 ended with exit code 1: see its error")
