"""Files of a run folder that are damaged, or another run's, under the commands that read them."""

import json
import shutil

import pytest
import torch

from lushan.checkpoint.io import newest
from lushan.checkpoint.weights import (
    RUN,
    SUMS,
    WEIGHTS,
    Damaged,
    load_weights,
    save_weights,
    verify,
)
from lushan.errors import UserError
from lushan.inference import load
from lushan.run.files import read_json, sha256_file, write_json
from tests.faults import jobs
from tests.helpers.command import inside


@pytest.fixture
def run(ner_run, tmp_path):
    place = tmp_path / "out" / ner_run.name
    shutil.copytree(ner_run, place)
    return place


def permuted(path):
    """The ids of a tokenizer's pieces, turned by one: it still loads."""
    state = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = state["model"]["vocab"]
    ids = list(vocabulary.values())
    state["model"]["vocab"] = dict(zip(vocabulary, [*ids[1:], ids[0]], strict=True))
    path.write_text(json.dumps(state), encoding="utf-8")


def rounded(path):
    """A digit becomes another one: the file stays as well-formed as it was."""
    text = path.read_text(encoding="utf-8")
    place = max(i for i, c in enumerate(text) if c in "12345678")
    digit = str(int(text[place]) + 1)
    path.write_text(text[:place] + digit + text[place + 1 :], encoding="utf-8")


CASES = [
    ("processor/tokenizer.json", permuted, ["eval", "export", "predict"]),
    ("encoder/config.json", rounded, ["eval", "export"]),
    ("task.json", rounded, ["eval", "predict"]),
    ("config.yaml", rounded, ["eval", "reproduce", "audit"]),
    ("manifest.json", rounded, ["reproduce"]),
    ("predictions/test.jsonl", rounded, ["reproduce"]),
    ("checkpoints/best/checksums.json", rounded, ["eval"]),
    ("result.json", rounded, ["reproduce", "export"]),
]


@pytest.mark.fault(70)
@pytest.mark.parametrize(("name", "damage", "commands"), CASES, ids=[c[0] for c in CASES])
def test_commands_refuse_a_file_that_the_run_did_not_write(name, damage, commands, run, tmp_path):
    (tmp_path / "in.txt").write_text("Anna went home\n", encoding="utf-8")
    more = {"export": [tmp_path / "model"], "predict": ["--input", tmp_path / "in.txt"]}
    damage(run / name)
    for command in commands:
        arguments = ["--run", run] if command == "audit" else [run, *more.get(command, ())]
        done = inside(command, *arguments, cwd=tmp_path)
        assert done.code == 2, (command, done.err)
        assert str(run / name) in done.err, command
        assert "Traceback" not in done.err


@pytest.mark.fault(70)
def test_the_best_weights_of_another_run_are_refused(run, reviews_run):
    shutil.rmtree(run / "checkpoints" / "best")
    shutil.copytree(reviews_run / "checkpoints" / "best", run / "checkpoints" / "best")
    with pytest.raises(UserError, match="this file was changed"):
        load.load(run)
    with pytest.raises(Damaged, match="is a checkpoint of the run"):
        verify(run / "checkpoints" / "best")


@pytest.mark.slow
@pytest.mark.fault(70)
def test_a_state_of_another_seed_is_refused_and_one_of_another_width_too(tmp_path):
    cfg = jobs.config(tmp_path / "a")
    assert jobs.execute(cfg, jobs.at_step(10)) == 137
    assert jobs.execute(jobs.config(tmp_path / "b", "seed=7"), jobs.at_step(14)) == 137
    mine, theirs = (jobs.run_folder(tmp_path / n) / "checkpoints" for n in "ab")
    foreign, _ = newest(theirs)
    shutil.copytree(foreign, mine / "step-000009999")
    found, complaints = newest(mine)
    assert found.name < "step-000009999"
    assert "is a checkpoint of the run" in complaints[0]
    # One that says it is this run's, and whose weights have another shape.
    shutil.copytree(found, mine / "step-000009998")
    wide = {k: torch.cat([w, w], -1) for k, w in load_weights(found).items() if w.dim() == 2}
    save_weights(wide, mine / "step-000009998")
    sums = read_json(mine / "step-000009998" / SUMS)
    assert read_json(mine / "step-000009998" / RUN) == jobs.run_folder(tmp_path / "a").name
    sums[WEIGHTS] = sha256_file(mine / "step-000009998" / WEIGHTS)
    write_json(mine / "step-000009998" / SUMS, sums)
    assert jobs.execute(cfg) == 2
    printed = jobs.error(tmp_path / "a")
    assert "step-000009998" in printed
    assert "the state does not match this model" in printed
    shutil.rmtree(mine / "step-000009998")
    assert jobs.execute(cfg) == 0
    assert [p.name for p in mine.iterdir()] == ["best"]
