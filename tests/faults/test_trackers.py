"""Trackers that are away or die: the run does not notice."""

import json
import signal
import threading
import time

import psutil
import pytest

from lushan.callbacks import trackers
from lushan.callbacks.destinations.tracker import About
from tests.faults import jobs
from tests.helpers import wandb_log
from tests.helpers.waiting import until

pytest.importorskip("wandb")
KEY = "0123456789abcdef0123456789abcdef01234567"


class KillTracker:
    """Kill W&B's own process at a step."""

    def __init__(self, step):
        self.step = step

    @staticmethod
    def started():
        found = psutil.Process().children(recursive=True)
        return [child for child in found if "wandb" in child.name()]

    def __call__(self):
        from lushan.engine.lit_module import LitModule

        original, count = LitModule.training_step, [0]

        def wrapped(self_, *args):
            if count[0] == self.step:
                for child in until(self.started):
                    child.kill()
            count[0] += 1
            return original(self_, *args)

        LitModule.training_step = wrapped


def rows(folder):
    return len((jobs.run_folder(folder) / "metrics.csv").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.fault(27)
def test_a_closed_port_costs_one_warning_and_no_time(tmp_path):
    begun = time.monotonic()
    assert jobs.execute(jobs.config(tmp_path / "alone")) == 0
    alone = time.monotonic() - begun
    cfg = jobs.config(tmp_path / "closed", "logger=wandb")
    closed = jobs.Environment(
        WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_MODE=None
    )
    begun = time.monotonic()
    assert jobs.execute(cfg, closed) == 0
    assert time.monotonic() - begun < 10 * alone  # W&B itself gives up after 107 s
    folder = jobs.run_folder(tmp_path / "closed")
    assert (folder / "log.txt").read_text().count("does not respond") == 1
    assert rows(tmp_path / "closed") == 1 + 24 + 3
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def patient():
    """Wait for trackers as long as a busy machine needs to import them."""
    trackers.STOP_SECONDS = trackers.CLOSE_SECONDS = 120.0


@pytest.mark.slow
def test_without_a_key_it_writes_offline_and_asks_nothing(tmp_path):
    cfg = jobs.config(tmp_path, "logger=wandb")
    nothing = jobs.Environment(
        WANDB_API_KEY=None, WANDB_MODE=None, NETRC=str(tmp_path / "no"), WANDB_DIR=None
    )
    assert jobs.execute(cfg, jobs.Together(nothing, patient)) == 0
    run = jobs.run_folder(tmp_path)
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    assert "warning" not in (run / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.fault(28)
def test_a_tracker_that_dies_is_left_out(tmp_path):
    cfg = jobs.config(tmp_path, "logger=wandb")
    dying = jobs.Together(
        jobs.Environment(WANDB_API_KEY=None, WANDB_MODE="offline"), KillTracker(12)
    )
    assert jobs.execute(cfg, dying) == 0
    assert jobs.state(tmp_path) == "complete"
    assert rows(tmp_path) == 1 + 24 + 3
    log = (jobs.run_folder(tmp_path) / "log.txt").read_text()
    assert log.count("is turned off for this run") <= 1


@pytest.mark.long
@pytest.mark.slow(20)
def test_a_killed_run_continues_its_copies(tmp_path):
    from mlflow import MlflowClient

    cfg = jobs.config(tmp_path, "logger=[wandb,mlflow]", "logger.mlflow.weights=true")
    offline = jobs.Environment(
        WANDB_MODE="offline", WANDB_API_KEY=None, WANDB_DIR=None, MLFLOW_TRACKING_URI=None
    )
    interrupted = jobs.Together(offline, jobs.at_step(10, signal.SIGTERM), patient)
    assert jobs.execute(cfg, interrupted) == 143
    assert jobs.execute(cfg, jobs.Together(offline, patient)) == 0
    run = jobs.run_folder(tmp_path)
    result = json.loads((run / "result.json").read_text())
    metrics = result["metrics"]
    first, second = wandb_log.ended(run)
    assert first.run_id == second.run_id == run.name
    assert second.summary["test/entity_f1"] == metrics["test/entity_f1"]
    scores = [row for row in second.history if "val/entity_f1" in row]
    assert [row["_step"] for row in scores] == [16, 24]
    client = MlflowClient(f"sqlite:///{tmp_path}/.mlflow/mlflow.db")
    (copy,) = client.search_runs([client.get_experiment_by_name("lushan").experiment_id])
    losses = client.get_metric_history(copy.info.run_id, "train/loss")
    assert [point.step for point in losses] == [*range(1, 25)]
    assert copy.data.metrics["test/entity_f1_low"] == result["ci"]["test/entity_f1"][0]
    log = (run / "log.txt").read_text()
    assert "warning" not in log


@pytest.mark.slow
def test_tensorboard_gets_the_curves(tmp_path):
    cfg = jobs.config(tmp_path, "logger=tensorboard")
    assert jobs.execute(cfg) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(jobs.run_folder(tmp_path) / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("train/loss")) == 24
    values = [e.value for e in events.Scalars("val/entity_f1")]
    assert len(values) == 3
    metrics = json.loads((jobs.run_folder(tmp_path) / "result.json").read_text())["metrics"]
    assert max(values) == pytest.approx(metrics["val/entity_f1"])


class Slow:
    """A tracker that takes one message, and then none."""

    def __init__(self):
        self.taken, self.busy, self.free = [], threading.Event(), threading.Event()

    def start(self, about):
        pass

    def log(self, values, step):
        self.taken.append(step)
        self.busy.set()
        self.free.wait(60)

    def finish(self, result, folder):
        pass


@pytest.mark.fault(55)
def test_a_tracker_that_takes_nothing_costs_neither_time_nor_memory(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trackers, "MOST_WAITING", 50)
    monkeypatch.setattr(trackers, "STOP_SECONDS", 0.2)
    slow = Slow()
    shown = trackers.Guarded(slow, About(tmp_path, "x", "id", {}, ()))
    for step in range(10_000):
        shown.log_metrics({"train/loss": 1.0}, step)
        assert slow.busy.wait(60)
    shown.close(None)
    assert slow.taken == [0]  # it still runs, for 60 s: nothing has waited for it
    assert shown.failed
    assert shown._waiting.qsize() < 60
    warnings = [
        r.getMessage() for r in caplog.records if "turned off for this run" in r.getMessage()
    ]
    assert len(warnings) == 1
    assert "50 messages behind" in warnings[0]
    slow.free.set()
    shown._thread.join(10)
    assert slow.taken == [0]
