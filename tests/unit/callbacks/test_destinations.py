"""Copies of runs in W&B, MLflow and TensorBoard, read back by what these libraries read with."""

import http.server
import json
import threading

import pytest
from tests.helpers import wandb_log

from lushan.callbacks.destinations import content, mlflow
from lushan.callbacks.destinations.mlflow import MLflow
from lushan.callbacks.destinations.tensorboard import TensorBoard
from lushan.callbacks.destinations.tracker import About, Completed
from lushan.callbacks.destinations.wandb import WandB
from lushan.callbacks.trackers import Guarded
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.run.config_yaml import read_config
from lushan.run.folder import RunFolder
from lushan.study.schemas import schema_of

SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def done(reviews_run):
    result = RunFolder(reviews_run).result()
    return Completed(result, schema_of(result, reviews_run))


@pytest.fixture
def about(reviews_run, tmp_path):
    """The run's, as if its folder were another one, and with a secret in its config."""
    cfg = read_config(reviews_run) | {"tags": ["one"], "token": SECRET}
    cfg["paths"] = cfg["paths"] | {"output_dir": str(tmp_path)}
    folder = tmp_path / reviews_run.name
    folder.mkdir()
    return About.of(cfg, folder)


def copied(made, about, done):
    """A copy that was interrupted after two steps, and resumed from the first."""
    first = made()
    first.start(about)
    for step in (1, 2):
        first.log({"train/loss": 1 / step, "lr": 0.1}, step)
    first.finish(None, about.folder)
    second = made()
    second.start(about)
    for step in (2, 3):
        second.log({"train/loss": 1 / step, "lr": 0.1}, step)
    second.samples([{"step": 3, "id": "a", "prompt": "p", "text": "t"}], 3)
    second.finish(done, done.result.folder)
    return second


def texts(done):
    """A text of the test split."""
    file = done.result.folder / "predictions" / "test.jsonl"
    return json.loads(file.read_text("utf-8").splitlines()[0])["text"]


def everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow(3)
@pytest.mark.parametrize("sent", [True, False], ids=["all", "no texts"])
def test_wandb_offline_is_read_back(sent, about, done, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    copied(lambda: WandB(tables=sent, weights=sent), about, done)
    first, read = wandb_log.ended(about.folder)
    assert first.run_id == read.run_id == about.run_id
    assert (first.exit_code, read.exit_code) == (1, 0)
    assert read.config["optimizer"]["lr"] == about.config["optimizer"]["lr"]
    assert [row["train/loss"] for row in read.history if "train/loss" in row] == [1 / 2, 1 / 3]
    main = done.result.headline
    assert read.summary[main] == done.result.metrics[main]
    assert [read.summary[f"{main}_{end}"] for end in ("low", "high")] == done.result.ci[main]
    shown = {key.rpartition("/")[0] for row in read.history for key in row}
    assert {"report", "plots/curves", "plots/confusion_test", "confusion/test_table"} <= shown
    assert read.artifacts["results"] == sorted(content.RECORD)
    assert ("checkpoints/best/weights.safetensors" in read.artifacts.get("model", [])) == sent
    assert ("predictions/test" in shown, "samples" in shown) == (sent, sent)
    kept = everything(tmp_path)
    assert (texts(done).encode() in kept) == sent
    assert SECRET.encode() not in kept


@pytest.mark.slow(1)
@pytest.mark.parametrize("store", ["files", pytest.param("database", marks=pytest.mark.long)])
def test_mlflow_is_read_back(store, about, done, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if store == "files":  # a third of the time; MLflow itself advises against it
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setattr(mlflow, "_local", lambda about: (tmp_path / ".mlflow").as_uri())
    client = copied(lambda: MLflow(tables=True, weights=True), about, done).client
    if store == "database":
        assert client.tracking_uri == f"sqlite:///{tmp_path}/.mlflow/mlflow.db"
    (run,) = client.search_runs([client.get_experiment_by_name("lushan").experiment_id])
    assert run.data.tags["lushan.run_id"] == about.run_id
    assert run.data.params["optimizer.lr"] == str(about.config["optimizer"]["lr"])
    assert run.data.params["token"] == "***"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1), (2, 1 / 2), (3, 1 / 3)]
    main = done.result.headline
    ends = [run.data.metrics[f"{main}_{end}"] for end in ("low", "high")]
    assert [run.data.metrics[main], ends] == [done.result.metrics[main], done.result.ci[main]]
    assert run.info.status == "FINISHED"
    files = {
        str(path.relative_to(tmp_path / ".mlflow/artifacts" / run.info.run_id / "artifacts"))
        for path in (tmp_path / ".mlflow").rglob("*")
        if path.is_file() and "artifacts" in path.parts
    }
    assert {*content.RECORD, "plots/curves.png", "tables/report.json"} <= files
    assert {"tables/samples.json", "tables/predictions_test.json"} <= files
    assert {"tables/confusion_test.json", "model/checkpoints/best/weights.safetensors"} <= files
    assert SECRET.encode() not in everything(tmp_path)


def test_tensorboard_is_read_back(about, done):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    copied(TensorBoard, about, done)
    read = events.EventAccumulator(str(about.folder / "tensorboard"))
    read.Reload()
    main = done.result.headline
    (value,) = read.Scalars(f"result/{main}_low")
    assert value.value == pytest.approx(done.result.ci[main][0])
    assert {point.step for point in read.Scalars("train/loss")} == {1, 2, 3}
    assert {"plots/curves", "plots/confusion_test"} <= set(read.Tags()["images"])
    assert "report/text_summary" in read.Tags()["tensors"]
    assert "_hparams_/session_start_info" in read.summary_metadata
    assert SECRET.encode() not in everything(about.folder)


@pytest.mark.slow(1)
def test_without_its_key_no_text_is_sent(about, done, monkeypatch):
    class Client:
        def __init__(self):
            self.calls = []

        def __getattr__(self, name):
            return lambda *args, **more: self.calls.append((name, args, more))

    tracker = MLflow()
    tracker.client, tracker.run = Client(), "r"
    tracker.samples([{"step": 1, "text": "t"}], 1)
    tracker.finish(done, done.result.folder)
    sent = str(tracker.client.calls)
    assert "tables/report.json" in sent
    assert "predictions" not in sent
    assert "samples" not in sent
    assert "checkpoints" not in sent
    assert texts(done) not in sent


def test_rows_and_images_of_predictions_are_bounded(done, monkeypatch, caplog):
    monkeypatch.setattr(content, "MOST_ROWS", 3)
    caplog.set_level("INFO", "lushan")
    found = {one.split: one for one in content.predictions(done.result, done.schema)}
    assert len(found["test"].rows) == 3
    assert "the first 3 of" in caplog.text
    assert found["test"].images == [[], [], []]
    assert set(found["test"].rows[0]) >= {"id", "text", "gold", "predicted"}


def test_several_loggers_are_chosen_together():
    cfg = check(compose(["logger=[csv,wandb,mlflow,tensorboard]", "logger.mlflow.tables=true"]))
    assert list(cfg["logger"]) == ["wandb", "mlflow", "tensorboard"]
    assert cfg["logger"]["mlflow"]["tables"] is True


# What fails


def failed(tracker, about, done, caplog):
    """The warnings of a tracker that is called to the end of a run."""
    guarded = Guarded(tracker, about)
    for step in (1, 2):
        guarded.log_metrics({"train/loss": 1.0}, step)
    guarded.close(done)
    assert guarded.failed
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


def test_a_closed_port_is_one_warning_and_counted(about, done, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2hunter2@127.0.0.1:9")
    first, counted = failed(MLflow(), about, done, caplog)
    assert "MLFLOW_TRACKING_URI does not respond" in first
    assert f"lushan sync --to mlflow {about.folder}" in first
    assert "hunter2" not in first
    assert counted == "warning: MLflow did not receive 4 of its messages"


class Forbids(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.slow(3)
@pytest.mark.parametrize(
    "trouble", ["a wrong key", pytest.param("no place on disk", marks=pytest.mark.long)]
)
def test_what_mlflow_refuses_ends_no_run(trouble, about, done, tmp_path, monkeypatch, caplog):
    pytest.importorskip("mlflow")
    server = http.server.HTTPServer(("127.0.0.1", 0), Forbids)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    if trouble == "no place on disk":
        (tmp_path / "file").touch()
        uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    first, counted = failed(MLflow(), about, done, caplog)
    server.shutdown()
    assert "MLflow failed and is turned off for this run" in first
    assert SECRET not in caplog.text
    assert "did not receive 4 of its messages" in counted
