"""The trainings of `benchmarks/gpu.py` at toy size, each beside its peer, in this process."""

import contextlib
import gzip
import io
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from lushan.cli.app import main
from lushan.data.batch.loader import TrainingLoader

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
assemble = TrainingLoader.assemble


@pytest.fixture
def gpu(monkeypatch):
    """The script, whose programs run here and not in processes of their own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    script = runpy.run_path(str(BENCHMARKS / "gpu.py"))

    def run(command, env=None):
        monkeypatch.setenv("MARKS", (env or {}).get("MARKS", "[]"))
        monkeypatch.setattr(TrainingLoader, "assemble", assemble)
        is_peer = command[0] == sys.executable
        out = io.StringIO()
        monkeypatch.setattr(sys, "argv", list(command[is_peer:]))
        with contextlib.redirect_stdout(out):
            if is_peer:
                runpy.run_path(command[1], run_name="__main__")
            else:
                assert main() == 0
        return out.getvalue(), 0.0

    script["Measurement"].__init__.__globals__["run"] = run
    monkeypatch.setitem(script["between"].__globals__, "run", run)
    yield script
    for name in ("common", "counting", "conll", "hf_lm"):
        sys.modules.pop(name, None)


@pytest.fixture
def data(tmp_path):
    """Sets of the names and forms that the script reads."""
    for name in ("wikitext2", "sgd", "wnut17"):
        (tmp_path / name).mkdir()
    words = [f"word{i % 17} of line {i} and some more" for i in range(200)]
    (tmp_path / "wikitext2" / "test.txt").write_text("\n".join(words))
    turns = [{"speaker": who, "utterance": "I would like this"} for who in ("USER", "SYSTEM")]
    with gzip.open(tmp_path / "sgd" / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"turns": turns * (1 + i % 3)}) + "\n" for i in range(60))
    sentence = "Anna B-PER\nlives O\nin O\nParis B-LOC\n\n"
    (tmp_path / "wnut17" / "train.conll").write_text(sentence * 60)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "chat", "ner"])
def test_each_training_runs_beside_its_peer(name, gpu, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "made"
    folder.mkdir()
    measured = gpu["Measurement"](gpu["WORKS"][name], folder, data, toy=True)
    lines = measured.table(1, 1e12, short=True).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["lushan", "HF Trainer, defaults"]
    assert all(found["tokens"] > 0 for found in measured.found.values())


def test_the_loss_by_itself_is_measured(gpu):
    assert "| in pieces |" in gpu["head"]("cpu", 8, 4, 20, times=1)
