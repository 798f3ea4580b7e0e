"""States that several processes write together: killed, damaged, and opened by another number."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lushan.checkpoint.folder import STATE
from lushan.checkpoint.io import FolderIO
from lushan.checkpoint.weights import SUMS, Damaged, load_weights
from tests.faults import jobs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sharded")]

SHARDED = (
    *("trainer=fsdp_sim", "callbacks=ema", "callbacks.checkpoints.every_n_steps=3"),
    "trainer.max_epochs=2",
    "model.config.num_hidden_layers=2",
)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The results of two undisturbed processes."""
    folder = tmp_path_factory.mktemp("alone")
    assert jobs.execute(jobs.config(folder, *SHARDED)) == 0
    return jobs.result(folder)


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory):
    """A run killed in its 12th step, with states of steps 6 and 9. Copy it, do not touch it."""
    folder = tmp_path_factory.mktemp("killed")
    assert jobs.execute(jobs.config(folder, *SHARDED), jobs.at_step(11)) == 137
    found = sorted(p.name for p in (jobs.run_folder(folder) / "checkpoints").glob("step-*"))
    assert found == ["step-000000008", "step-000000009"]
    return folder


@pytest.fixture
def killed(killed_run, tmp_path):
    """A copy of it."""
    for part in (killed_run, jobs.notes_of(killed_run)):
        shutil.copytree(part, tmp_path / part.name)
    return tmp_path / killed_run.name


def states(folder):
    return sorted((jobs.run_folder(folder) / "checkpoints").glob("step-*"))


def hashes(result):
    return {n: v for n, v in result.items() if n in ("metrics", "final_weights_sha256")} | {
        "best": result["weights_sha256"]
    }


def test_killed_and_started_again(killed, left_alone):
    assert jobs.execute(jobs.config(killed, *SHARDED)) == 0
    assert hashes(jobs.result(killed)) == hashes(left_alone)


def test_a_damaged_part_is_refused_by_all(killed, left_alone):
    part = sorted(states(killed)[-1].glob("shard-00002-*"))[0]
    content = bytearray(part.read_bytes())
    content[-7] ^= 1
    part.write_bytes(content)
    assert jobs.execute(jobs.config(killed, *SHARDED)) == 0
    assert (
        f"skipping a damaged checkpoint: {part}"
        in (jobs.run_folder(killed) / "log.txt").read_text()
    )
    assert hashes(jobs.result(killed)) == hashes(left_alone)


def test_another_number_of_processes_is_refused_by_name(killed):
    assert jobs.execute(jobs.config(killed, *SHARDED, "trainer=cpu")) == 2
    error = jobs.error(killed)
    assert "trainer.devices" in error
    assert "trainer.elastic=true" in error


EXACT = (
    "task=causal_lm",
    "model=qwen_tiny",
    "model.config.intermediate_size=48",
    "data=sample_text",
    "data.max_length=40",
    "callbacks=ema",
    "~callbacks.samples",
    "callbacks.checkpoints.every_n_steps=2",
    "trainer.precision=64-true",
    "trainer.max_steps=4",
    "trainer.max_epochs=null",
)
GRID = ("trainer=tp_sim", "trainer.devices=4")
"""Two pairs: each pair shares a batch and its matrices, both share the layers."""


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The results of one undisturbed process."""
    folder = tmp_path_factory.mktemp("exact")
    assert jobs.execute(jobs.config(folder, *EXACT, "trainer=cpu")) == 0
    return jobs.result(folder)["metrics"]


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        (GRID, ("trainer=cpu",)),
        pytest.param(("trainer=cpu",), GRID, marks=pytest.mark.long),
    ],
)
def test_other_processes_go_on_where_they_are_let(begun, ended, exact, tmp_path):
    assert jobs.execute(jobs.config(tmp_path, *EXACT, *begun), jobs.at_step(3)) == 137
    elastic = jobs.config(tmp_path, *EXACT, *ended, "trainer.elastic=true")
    assert jobs.execute(elastic) == 0
    assert jobs.result(tmp_path)["metrics"] == pytest.approx(exact, abs=1e-9)


def test_its_weights_are_found_by_one_process(killed):
    newest = states(killed)[-1]
    weights = load_weights(newest)
    whole = FolderIO().load_checkpoint(newest)
    assert whole["global_step"] == 9
    assert weights.keys() == whole["state_dict"].keys()
    (optimizer,) = whole["optimizer_states"]
    averages = whole["callbacks"]["WeightAverage"]["averages"]
    remembered = {tuple(s["exp_avg"].shape) for s in optimizer["state"].values()}
    assert {tuple(a.shape) for a in averages.values()} == remembered
    assert {f"model.{name}" for name in averages} <= weights.keys()
    assert all(bool(torch.isfinite(w).all()) for w in weights.values())


def test_a_file_that_was_put_there_is_refused(killed):
    newest = states(killed)[-1]
    (stray,) = newest.glob("shard-00001-*")
    shutil.copy(stray, newest / "shard-00003-model-00001-of-00001.safetensors")
    with pytest.raises(Damaged, match="does not belong to this checkpoint"):
        load_weights(newest)
    sums = json.loads((newest / SUMS).read_text())
    assert set(sums) == {p.name for p in newest.iterdir()} - {
        SUMS,
        "shard-00003-model-00001-of-00001.safetensors",
    }


def test_nothing_in_it_is_unpickled_but_tensors_and_plain_values(killed):
    for state in states(killed):
        assert torch.load(state / STATE, weights_only=True)["global_step"] > 0
        assert {p.suffix for p in Path(state).iterdir()} == {".safetensors", ".pt", ".json"}
