"""The command line: exit codes, last lines, what is imported and what is never shown."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import command, narrow
from tests.helpers.command import SMALL
from tests.helpers.tagged import conll_2003, sentences
from tests.helpers.waiting import until

from lushan.cli import app as program
from lushan.errors import Interrupted, RunFailed, UserError

MODULES = 225
"""Of others than lushan: more than typer has, and fewer than one heavy library more."""
HEAVY = ("torch", "transformers", "pytorch_lightning", "datasets", "pandas", "ray")
TOKEN = "hf_" + "Ab12" * 8
NAMED = "swordfish-9-tuna"


def imported(err):
    """The modules that a process imported, by `PYTHONPROFILEIMPORTTIME`."""
    lines = [line for line in err.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rpartition("|")[2].strip() for line in lines}


def sample(*overrides):
    return ["train", *narrow.narrowed(SMALL), "data.limit=40", *overrides]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with two complete runs of the sample data, and how the command ended."""
    folder = tmp_path_factory.mktemp("swept")
    sweep = ["-m", "hydra/launcher=fork", "task/head=linear,crf", "name=heads"]
    return folder, command.inside(*sample(*sweep), cwd=folder)


@pytest.mark.slow
def test_a_sweep_trains_each_job_and_says_how_it_ended(swept):
    folder, done = swept
    assert done.code == 0, done.err
    assert "#0 task/head=linear  complete, " in done.out
    assert done.out.splitlines()[-1] == "2 jobs: 2 complete"
    assert len(list(folder.glob("outputs/heads/*/result.json"))) == 2
    assert not (folder / "outputs" / ".sweeps" / "multirun.yaml").exists()


@pytest.mark.slow
def test_the_same_sweep_again_is_answered_without_torch(swept):
    folder, _ = swept
    sweep = ["-m", "hydra/launcher=fork", "task/head=linear,crf", "name=heads"]
    done = command.executed(*sample(*sweep), cwd=folder, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    assert done.out.splitlines()[-1] == "2 jobs: 2 complete (2 before)"
    assert imported(done.err).isdisjoint(HEAVY)


@pytest.mark.slow
def test_a_complete_run_is_answered_without_torch(swept):
    folder, _ = swept
    again = sample("name=heads")
    done = command.executed(*again, cwd=folder, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("metric")
    assert done.out.splitlines()[1].startswith("test/entity_f1, % ")
    assert any(line.startswith("test, entity  precision") for line in done.out.splitlines())
    assert done.result["choices"]["task/head"] == "linear"
    assert not any(group.startswith("hydra/") for group in done.result["choices"])
    assert imported(done.err).isdisjoint(HEAVY)


def test_a_table_and_a_list_of_what_was_trained(swept):
    folder, _ = swept
    done = command.executed(
        *("table", "outputs/heads", "--rows", "task.head", "--over", "seed"),
        cwd=folder,
        env={"PYTHONPROFILEIMPORTTIME": "1"},
    )
    assert done.code == 0, done.err
    assert imported(done.err).isdisjoint([*HEAVY, "numpy", "pyarrow", "hydra"])
    assert [line.split()[1] for line in done.out.splitlines()[2:4]] == ["linear", "crf"]
    listed = command.inside("runs", "--json", cwd=folder)
    assert [run["differs"] for run in json.loads(listed.out)] == [
        {"task/head": "linear"},
        {"task/head": "crf"},
    ]
    written = command.inside(
        *("table", "outputs", "--rows", "task.head", "--format", "csv", "--output", "t.csv"),
        cwd=folder,
    )
    assert written.code == 0
    assert (folder / "t.csv").read_text().startswith("task.head,metric,mean")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train", "-m", "-h"]])
def test_help_is_quick_and_imports_nothing(tmp_path, arguments):
    done = command.executed(*arguments, cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    assert imported(done.err).isdisjoint([*HEAVY, "hydra", "omegaconf", "numpy", "pyarrow"])
    assert "lushan train -m " in done.out
    # Of its 0.3 s on a machine of one's own nearly all are imports.
    others = {name for name in imported(done.err) if name.partition(".")[0] != "lushan"}
    assert len(others) < MODULES


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "runs",
        "table",
        "compare",
        "eval",
        "predict",
        "generate",
        "chat",
        "export",
        "score",
        "sync",
    ],
)
def test_every_command_has_help_with_an_example(cli_inside, name):
    done = cli_inside(name, "--help")
    assert done.code == 0
    assert f"lushan {name} " in done.out.partition("\n\n")[2]


def test_the_config_is_shown(cli_inside):
    done = cli_inside("train", "--cfg", "job", "optimizer.lr=0.5")
    assert done.code == 0
    assert "lr: 0.5" in done.out


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["train", "optimiser.lr=1"], "optimizer.lr"),
        (["train", "model=bert_tiiny"], "bert_tiny"),
        (["train", "data=conll", "data.train=none.conll"], "data.train"),
        (["train", "--mutlirun"], "--multirun"),
        (["table", "nowhere", "--rows", "seed"], "nowhere"),
        (["table", "outputs"], "--rows"),
        (["runs", "nowhere"], "nowhere"),
        (["eval", "nowhere"], "nowhere"),
        (["predict", "nowhere", "--input", "-", "--format", "pdf"], "jsonl"),
        (["score", "--gold", "none.conll", "--pred", "none.conll"], "none.conll"),
        (["sync", "nowhere"], "nowhere"),
        (["tarin"], "tarin"),
    ],
)
def test_a_mistake_is_refused_with_2_and_no_traceback(cli_inside, arguments, printed):
    done = cli_inside(*arguments)
    assert done.code == 2
    assert printed in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.slow(1)
def test_a_sweep_of_mistakes_only_is_refused_with_2_too(cli_inside):
    done = cli_inside("train", "-m", "seed=1,2", "optimizer.lrr=3")
    assert done.code == 2
    assert done.out.count("optimizer.lrr") >= 2
    assert "2 jobs: 2 failed" in done.out


def test_a_traceback_is_shown_to_who_asks(cli_inside, monkeypatch):
    monkeypatch.setenv("LUSHAN_TRACEBACK", "1")
    done = cli_inside("runs", "nowhere")
    assert done.code == 2
    assert "Traceback" in done.err


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (RunFailed("the disk is full"), 1, "error: the disk is full"),
        (Interrupted(signal.SIGTERM), 143, "stopped by SIGTERM"),
        (Interrupted(signal.SIGINT), 130, "stopped by SIGINT"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (UserError("no", key="data.train"), 2, "error: data.train: no"),
        (ValueError("ours"), 1, "Traceback"),
    ],
)
def test_exit_codes(cli_inside, monkeypatch, error, code, printed):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("lushan.engine.lifecycle.run", fails)
    done = cli_inside("train")
    assert done.code == code
    assert printed in done.err
    assert "run: " not in done.out  # there is no such folder


def test_after_a_signal_no_further_job_begins_in_that_process(cli_inside, monkeypatch):
    calls = []

    def fails(*_, **__):
        calls.append(1)
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("lushan.engine.lifecycle.run", fails)
    done = cli_inside("train", "-m", "hydra/launcher=basic", "seed=1,2,3")
    assert done.code == 1
    assert len(calls) == 1
    assert done.out.splitlines()[-1] == "3 jobs: 3 interrupted"


def test_a_failed_job_does_not_stop_the_others(swept):
    folder, _ = swept
    sweep = ["-m", "hydra/launcher=fork", "task/head=linear,crf", "data.limit=40,-1", "name=heads"]
    done = command.inside(*sample(*sweep), cwd=folder)
    assert done.code == 1
    assert done.out.splitlines()[-1] == "4 jobs: 2 complete (2 before), 2 failed"
    assert "data.limit" in done.out


@pytest.mark.slow(12)
@pytest.mark.parametrize(
    "launcher",
    [
        # A worker that dies, below, shows the same of joblib's.
        pytest.param(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], marks=pytest.mark.long),
        ["hydra/launcher=submitit_local"],
        ["hydra/launcher=basic"],
    ],
    ids=["joblib", "submitit", "basic"],
)
def test_other_launchers(cli, launcher):
    pytest.importorskip({"joblib": "hydra_plugins.hydra_joblib_launcher"}.get(launcher[0], "hydra"))
    arguments = sample("-m", *launcher, "data.limit=-1,40")  # the first one fails
    done = cli(*arguments, "--quiet")
    assert done.code == 1, done.err
    assert done.out.splitlines()[-1] == "2 jobs: 1 complete, 1 failed"
    logs = [path.read_text() for path in done.cwd.rglob("*_log.err")]  # of submitit's jobs
    assert "parameters: " not in "".join([done.err, *logs])
    # What failed is tried again, which a sweep above shows; what is complete needs no worker.
    again = cli(*sample("-m", *launcher, "data.limit=40"))
    assert again.out.splitlines()[-1] == "1 job: 1 complete (1 before)"


@pytest.mark.slow(12)
@pytest.mark.fault(53)
def test_a_worker_that_dies_is_no_traceback_and_costs_nothing_complete(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = sample("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    arguments += ["trainer.max_epochs=2,500", "callbacks.checkpoints.every_n_steps=null"]
    process = command.started(*arguments, cwd=tmp_path)

    def runs():
        return [json.loads(p.read_text()) for p in tmp_path.glob("outputs/*/*/run.json")]

    until(
        lambda: {"complete", "running"} <= {run["state"] for run in runs()},
        300,
        process=process,
    )
    (long,) = (run for run in runs() if run["state"] == "running")
    assert "trainer.max_epochs=500" in long["overrides"]
    os.kill(long["pid"], signal.SIGKILL)
    done = command.ended(process, tmp_path)
    assert done.code == 1
    assert "the launcher gave up: TerminatedWorkerError" in done.err
    assert "Traceback" not in done.err
    assert len(list(tmp_path.glob("outputs/*/*/result.json"))) == 1


def test_one_gpu_a_job_by_one_override(cli_inside):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    done = cli_inside("train", "hydra/launcher=ray_gpu", "--cfg", "hydra", "-p", "hydra.launcher")
    assert done.code == 0, done.err
    assert "num_gpus: 1" in done.out
    assert "RayLauncher" in done.out


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    long = sample("trainer.max_epochs=500", "callbacks.checkpoints.every_n_steps=null")
    process = command.popen(*long, cwd=tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 1 "):
            break
    process.send_signal(signal.SIGINT)
    done = command.ended(process, tmp_path)
    assert done.code == 130
    assert "run the same command to resume" in done.err
    assert "Traceback" not in done.err
    assert json.loads((done.folder / "run.json").read_text())["state"] == "interrupted"


@pytest.mark.slow
def test_secrets_are_nowhere(cli, tmp_path):
    presets = tmp_path / "conf" / "experiment"
    presets.mkdir(parents=True)
    for seed, secret in enumerate((TOKEN, NAMED)):
        text = f"# @package _global_\ntags: [{secret}]\nseed: {seed}\n"
        (presets / f"planted{seed}.yaml").write_text(text)
    environment = {"MY_SERVICE_TOKEN": NAMED, "LUSHAN_TRACEBACK": "1"}
    sweep = ["-m", "hydra/launcher=fork", f"hydra.job.name={TOKEN}"]
    done = cli(*sample(*sweep, "experiment=planted0,planted1"), env=environment)
    assert done.code == 0, done.err
    assert TOKEN not in done.out + done.err
    assert NAMED not in done.out + done.err
    wrong = ["experiment=planted0", "data=conll", f"data.train={TOKEN}/{NAMED}"]
    failed = cli(*sample(*wrong), env=environment)
    assert failed.code == 2
    assert "Traceback" in failed.err
    assert TOKEN not in failed.err
    assert NAMED not in failed.err
    files = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert TOKEN.encode() not in content, path
        assert NAMED.encode() not in content, path


@pytest.mark.slow
def test_evaluated_again_and_asked(ner_run, cli_inside, tmp_path):
    evaluated = cli_inside("eval", ner_run, "--split", "validation")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.out.splitlines()[1].startswith("val/entity_f1, % ")
    in_json = json.loads(cli_inside("eval", ner_run, "--json").out)
    assert "test/entity_f1" in in_json["metrics"]
    (tmp_path / "new.txt").write_text("Anna lives in Paris .\n", encoding="utf-8")
    asked = cli_inside("predict", ner_run, "--input", "new.txt", "--output", "out.jsonl")
    assert asked.code == 0, asked.err
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_score_needs_no_model(cli_inside, conll_files, tmp_path):
    gold, theirs = conll_files["test"], conll_files["validation"]  # alike: the same sentences
    words = ("score", "--gold", gold, "--pred", theirs)
    done = command.executed(*words, cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0, done.err
    assert "100.00" in done.out
    assert imported(done.err).isdisjoint(HEAVY)
    shown = json.loads(cli_inside(*words, "--json").out)
    assert shown["metrics"]["entity_f1"] == 1.0


def test_score_of_sides_that_differ(cli_inside, tmp_path):
    tags = {scheme: sentences(50, scheme) for scheme in ("iob1", "iob2")}
    (tmp_path / "gold.conll").write_text(conll_2003(tags["iob1"]), encoding="utf-8")
    output = conll_2003(tags["iob2"])
    (tmp_path / "theirs.conll").write_text(output.replace("w7x2 ", "W7x2 "), encoding="utf-8")
    sides = ("score", "--gold", "gold.conll", "--pred", "theirs.conll", "--json")
    assert "--align position" in cli_inside(*sides).err
    for more in ((), ("--gold-scheme", "iob1", "--pred-scheme", "bio")):
        done = cli_inside(*sides, "--align", "position", *more)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert set(found["metrics"].values()) == {1.0}
        assert found["counts"]["differing_tokens"] == 1
    assert cli_inside(*sides, "--align", "words").code == 2


def test_a_closed_pipe_ends_the_listing(swept):
    folder, _ = swept
    process = command.popen("runs", cwd=folder)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_it_is_a_module_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lushan", "runs", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert Path(program.__file__).name == "app.py"
