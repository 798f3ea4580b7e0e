"""What a command says of a run that it has refused: nothing that reads like success."""

from __future__ import annotations

import contextlib
import shutil

import pytest
from tests.helpers import command, corpora, runs

from lushan.config.init_from import starting_from
from lushan.launch import job_status


@pytest.fixture
def line(tmp_path):
    """The overrides of two complete runs, but for their seeds."""
    files = corpora.overrides(corpora.conll(tmp_path))
    words = [*command.SMALL, "task=ner", "data=conll", "name=p", *files]
    with contextlib.chdir(tmp_path):
        for seed in (1, 2):
            runs.answered([*words, f"seed={seed}"], {"val/entity_f1": 0.5, "val/loss": 1.0})
    return words


def change(folder):
    corpora.write_conll(folder / "train.conll", corpora.SENTENCES * 5)


def test_a_refused_run_is_no_run_of_the_command(line, tmp_path, cli_inside):
    done = cli_inside("train", *line, "seed=1")
    assert (done.code, done.folder.is_dir()) == (0, True)
    change(tmp_path)
    done = cli_inside("train", *line, "seed=1")
    assert done.code == 2
    assert "train.conll has changed since" in done.err
    assert done.out == ""


def test_a_refused_job_of_a_sweep_has_failed_and_was_not_done_before(line, tmp_path, cli_inside):
    sweep = ["train", "-m", *line, "seed=1,2", "hydra/launcher=fork"]
    assert cli_inside(*sweep).out.splitlines()[-1] == "2 jobs: 2 complete (2 before)"
    change(tmp_path)
    done = cli_inside(*sweep)
    assert done.code == 2
    assert done.out.splitlines()[-1] == "2 jobs: 2 failed"
    assert "before" not in done.out
    for outcome in job_status.collected():
        assert (outcome.state, outcome.answered) == ("failed", False)
        assert "train.conll has changed since" in outcome.reason


def test_what_was_written_is_named_and_not_what_it_is_short_for(ner_run, tmp_path, cli_inside):
    files = corpora.overrides(corpora.conll(tmp_path))
    small = [word for word in command.SMALL if not word.startswith(("model=", "processor."))]
    words = [*small, "task=ner", "data=conll", "name=p", *files]
    earlier = shutil.copytree(ner_run, tmp_path / "earlier")
    begun = [*words, f"init_from={earlier}"]
    with contextlib.chdir(tmp_path):
        runs.answered(starting_from(begun), {"val/loss": 1.0})
    weights = earlier / "checkpoints" / "best" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    done = cli_inside("train", *begun)
    assert done.code == 2
    assert "error: init_from: checkpoints/best/weights.safetensors of init_from has" in done.err
    spelled = ["model=pretrained", f"model.path={earlier}", "processor=pretrained"]
    assert "error: model.path: " in cli_inside("train", *words, *spelled).err


def test_a_run_that_failed_while_it_trained_is_one_of_the_command(tmp_path, cli_inside):
    files = corpora.overrides(corpora.conll(tmp_path))
    words = [*command.SMALL, "task=ner", "data=conll", "name=p", *files, "optimizer.lr=1e30"]
    done = cli_inside("train", *words)
    assert done.code == 1
    assert (done.folder / "log.txt").is_file()
