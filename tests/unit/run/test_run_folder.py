"""The states of a run folder, and what makes them."""

import contextlib
import json
import os
import signal

import pytest
import yaml

from lushan.errors import Interrupted, RunFailed, UserError
from lushan.run.config_yaml import read_config
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id


@pytest.fixture
def folder(config):
    return RunFolder.of(config)


def fork(function):
    """The exit code of a function in a forked child."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def end_with(error, folder, config, **record):
    """Start, change the record, and raise."""
    with folder.locked():
        folder.start(config)
        content = json.loads(folder.run_json.read_text())
        folder.run_json.write_text(json.dumps(content | record | {"sha256": None}))
        raise error


def test_making_one_touches_nothing(folder):
    assert folder.state == "new"
    assert folder.result() is None
    assert not folder.path.exists()


def test_from_new_to_complete(folder, config, carried_out):
    with folder.locked():
        folder.start(config, overrides=["seed=1"])
        assert folder.state == "running"
        assert folder.holder() is not None
    assert folder.state == "interrupted"
    assert folder.status().reason == "ended without a result"
    assert carried_out().path == folder.path
    status = folder.status()
    assert (status.state, status.attempts, status.reason) == ("complete", 2, None)
    assert status.record["main_metric"]["name"] == "test/entity_f1"
    assert folder.holder() is None
    result = RunFolder.of(config).result()
    assert result is not None
    assert result.metrics["test/entity_f1"] == 0.5
    assert read_config(folder.path) == config
    assert yaml.safe_load(folder.overrides_yaml.read_text()) == ["seed=1"]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ValueError("no\nway"), "failed", "no"),
        (RunFailed("the disk"), "failed", "the disk"),
        (Interrupted(signal.SIGTERM), "interrupted", "stopped by SIGTERM"),
        (KeyboardInterrupt(), "interrupted", "stopped by SIGINT"),
    ],
)
def test_an_exception_is_recorded_and_goes_on(folder, config, error, state, reason):
    with pytest.raises(type(error)):
        end_with(error, folder, config)
    status = folder.status()
    assert (status.state, status.reason) == (state, reason)
    assert status.ended is not None
    if state == "failed":
        assert status.error == type(error).__name__
        assert "Traceback" in folder.log_txt.read_text()


def test_a_mistake_before_the_first_step_leaves_nothing_behind(folder, config, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError):
        end_with(UserError("no such column"), folder, config)
    assert sorted(tmp_path.iterdir()) == before
    (folder.path.parent / "other").mkdir(parents=True)
    with pytest.raises(UserError):
        end_with(UserError("no such column"), folder, config)
    assert [place.name for place in folder.path.parent.iterdir()] == ["other"]


@pytest.mark.parametrize("kept", ["metrics.csv", "checkpoints", "log.txt"])
def test_what_a_mistake_does_not_remove(folder, config, kept):
    if kept == "log.txt":  # of an earlier attempt
        with contextlib.suppress(ValueError):
            end_with(ValueError("no"), folder, config)

    def trained():
        with folder.locked():
            folder.start(config)
            (folder.path / kept).mkdir() if kept == "checkpoints" else (folder.path / kept).touch()
            raise UserError("the disk is another one")

    with pytest.raises(UserError):
        trained()
    assert folder.status().state == "failed"
    assert folder.status().reason == "the disk is another one"


def test_a_killed_process_reads_as_interrupted(folder, config):
    def killed():
        with folder.locked():
            folder.start(config)
            os.kill(os.getpid(), signal.SIGKILL)

    assert fork(killed) == -signal.SIGKILL
    assert json.loads(folder.run_json.read_text())["state"] == "running"
    assert folder.state == "interrupted"
    with folder.locked():
        folder.start(config)
        assert folder.status().attempts == 2


def test_killed_between_the_result_and_the_state_it_is_complete(folder, config, carried_out):
    carried_out()
    record = json.loads(folder.run_json.read_text())
    folder.run_json.write_text(json.dumps(record | {"state": "running", "sha256": None}))
    assert folder.state == "complete"


def test_a_lost_result_is_no_result(folder, carried_out):
    carried_out()
    folder.result_json.unlink()
    assert folder.status().state == "interrupted"
    assert "missing" in folder.status().reason


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "happy"}'])
def test_a_damaged_record_is_interrupted(folder, config, content):
    with folder.locked():
        folder.start(config)
    folder.run_json.write_text(content)
    assert folder.state == "interrupted"
    assert "damaged" in folder.status().reason


@pytest.mark.parametrize(
    "content", ["", "[]", '{"state": "complete"}', '{"state": "complete", "metrics": 3}']
)
def test_a_damaged_result_is_reported_by_its_file(folder, carried_out, content):
    carried_out()
    folder.result_json.write_text(content)
    with pytest.raises(UserError) as caught:
        folder.result()
    assert caught.value.file == str(folder.result_json)


def test_a_complete_run_is_not_started_again(carried_out, config):
    folder = carried_out()
    with pytest.raises(RunFailed, match="complete"), folder.locked():
        folder.start(config)
    assert folder.state == "complete"


def test_only_its_owner_writes(folder, config):
    with pytest.raises(RunFailed, match="own"):
        folder.start(config)


def test_the_owner_removes_what_killed_writers_left(folder, config):
    folder.path.mkdir(parents=True)
    (folder.path / ".tmp-1-x").touch()
    with folder.locked():
        folder.start(config)
    assert not list(folder.path.rglob(".tmp-*"))


@pytest.mark.fault(30)
def test_two_runs_in_the_same_second_have_two_folders(config):
    other = RunFolder.of(config | {"seed": 2})
    with RunFolder.of(config).locked() as one, other.locked() as two:
        assert one.path != two.path


def test_the_time_of_all_attempts_is_added(folder, config):
    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            end_with(ValueError("x"), folder, config, started="2020-01-01T00:00:00.000+00:00")
    one = folder.status().seconds
    assert one is not None
    assert one > 2 * 150_000_000  # twice since 2020


def test_the_identity_is_that_of_the_config_with_its_secrets(folder, config):
    secret = "hf_" + "a1B2" * 8
    config = config | {"hub": {"token": secret}}
    folder = RunFolder.of(config)
    with folder.locked():
        folder.start(config, overrides=[f"hub.token={secret}"])
    assert folder.status().record["run_id"] == run_id(config) == folder.path.name
    for path in folder.path.rglob("*"):
        assert not path.is_file() or secret not in path.read_text(), path


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        read_config(tmp_path)
    (tmp_path / "0a1b").mkdir()
    (tmp_path / "0a1b" / "config.yaml").write_text("a: 1")
    with pytest.raises(UserError, match="a folder of 1 run, not a run folder") as caught:
        read_config(tmp_path)
    assert str(tmp_path / "0a1b") in (caught.value.hint or "")
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match="YAML"):
        read_config(tmp_path)
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(UserError, match="not a config"):
        read_config(tmp_path)
