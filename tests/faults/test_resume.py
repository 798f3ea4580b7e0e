"""A run that is killed and started again ends as one never interrupted, to the last bit."""

import csv
import json
import shutil
import signal
from pathlib import Path

import pytest

from lushan.checkpoint.folder import STATE, WEIGHTS
from tests.faults import jobs
from tests.helpers import quick, shared

STEPS = 24


def numbers(folder):
    """Everything of a result that must be equal."""
    result = jobs.result(folder)
    names = ("metrics", "ci", "report", "reports", "steps", "best_step", "train_examples")
    hashes = ("weights_sha256", "final_weights_sha256")
    return {name: result[name] for name in (*names, *hashes)}


def curve(folder):
    """The rows of metrics.csv without the clock."""
    with (jobs.run_folder(folder) / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def require_equal(folder, alone):
    assert numbers(folder) == numbers(alone)
    assert curve(folder) == curve(alone)
    assert jobs.steps_seen(folder) == jobs.steps_seen(alone)
    assert len(jobs.steps_seen(folder)) == numbers(alone)["steps"]


EMA = "callbacks=ema"
ACCUMULATE = "data.micro_tokens=24"
VALIDATION = "lushan.engine.lit_module:LitModule.validation_step"
LOSS = "lushan.tasks.ner:NER.loss"
TEXT = ("data=sample_text", "data.limit=44", "data.max_length=64")
MUON = "Muon, noise, and a rate that validation lowers"
PLACES = {
    "mid-epoch": (jobs.at_step(5), ()),
    "first step": (jobs.at_step(0), ()),
    "an epoch's last batch": (jobs.at_step(7), ()),
    "an epoch's end": (jobs.at_step(8), ()),
    "the last step": (jobs.at_step(STEPS - 1), ()),
    "during validation": (jobs.At(VALIDATION, 2), ()),
    "while it is tested": (jobs.At("lushan.engine.lit_module:LitModule.test_step", 1), ()),
    "inside an accumulation window": (jobs.At(LOSS, 12), (ACCUMULATE,)),
    "averaged weights": (jobs.at_step(13), (EMA,)),
    "averaged weights, in validation": (jobs.At(VALIDATION, 2), (EMA,)),
    "steps, not epochs": (jobs.at_step(10), ("trainer.max_steps=18",)),
    "documents that share rows": (jobs.at_step(10), ("task=causal_lm", "model=gpt2_tiny", *TEXT)),
    "masked anew in each epoch": (
        jobs.at_step(10),
        ("task=masked_lm", "task.masking=whole_word", *TEXT),
    ),
    "steps that are left out": (jobs.at_step(14), ("callbacks=guard", "callbacks.guard.spike=0.5")),
    MUON: (
        jobs.at_step(18),
        ("optimizer=muon", "callbacks=neftune", "scheduler=plateau", "scheduler.patience=0"),
    ),
    "while it saves": (jobs.At("lushan.checkpoint.io:write_folder", 3), ()),
}


ROWS = {
    "mid-epoch": (1, 11),
    "an epoch's last batch": (2,),
    "an epoch's end": (3,),
    "during validation": (4,),
    "inside an accumulation window": (5,),
    "masked anew in each epoch": (6,),
    "averaged weights": (7,),
    "averaged weights, in validation": (7,),
}


LONG = (
    *("first step", "an epoch's end", "the last step", "while it is tested"),
    *("averaged weights", "steps, not epochs", "steps that are left out"),
    *("an epoch's last batch", "averaged weights, in validation"),
)
"""Places and settings at which test_boundaries.py lets runs die, too, within one process."""


@pytest.mark.parametrize("place", quick.only([], PLACES, ROWS, [*LONG, MUON]))
def test_killed_and_started_again(place, tmp_path, left_alone):
    fault, overrides = PLACES[place]
    cfg = jobs.config(tmp_path, *overrides)
    assert jobs.execute(cfg, fault) == 137
    assert jobs.state(tmp_path) == "interrupted"
    assert jobs.execute(cfg) == 0
    require_equal(tmp_path, left_alone(*overrides))


@pytest.mark.slow
@pytest.mark.fault(9)
def test_killed_twice(tmp_path, left_alone):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.at_step(4)) == 137
    assert jobs.execute(cfg, jobs.at_step(7)) == 137
    assert jobs.execute(cfg) == 0
    require_equal(tmp_path, left_alone())


@pytest.mark.slow
def test_early_stopping_goes_on_counting(tmp_path, left_alone):
    stop = (
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "optimizer.lr=0",
        "trainer.max_epochs=6",
    )
    cfg = jobs.config(tmp_path, *stop)
    assert jobs.execute(cfg, jobs.at_step(9)) == 137
    assert jobs.execute(cfg) == 0
    require_equal(tmp_path, left_alone(*stop))
    assert jobs.result(tmp_path)["steps"] < 48


SIGNALS = [
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.fault(20, 23)),
    pytest.param(signal.SIGINT, 130, marks=pytest.mark.fault(22)),
    pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.fault(54)),
    pytest.param(signal.SIGHUP, 129, marks=pytest.mark.fault(68)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "expected"), SIGNALS)
def test_a_signal_saves_and_says_so(signum, expected, tmp_path, left_alone):
    cfg = jobs.config(tmp_path, "callbacks.checkpoints.every_n_steps=null")
    assert jobs.execute(cfg, jobs.at_step(5, signum)) == expected
    assert jobs.state(tmp_path) == "interrupted"
    # The step that the signal fell into was finished, and saved.
    (kept,) = (jobs.run_folder(tmp_path) / "checkpoints").glob("step-*")
    assert kept.name == "step-000000006"
    assert jobs.execute(cfg) == 0
    assert numbers(tmp_path) == numbers(left_alone("callbacks.checkpoints.every_n_steps=null"))
    assert len(jobs.steps_seen(tmp_path)) == STEPS


class Nohup(jobs.At):
    """Ignore SIGHUP, as `nohup` has it, and get one."""

    def __call__(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        super().__call__()


@pytest.mark.slow
@pytest.mark.fault(68)
def test_a_run_that_ignores_the_end_of_its_terminal_goes_on(tmp_path):
    fault = Nohup("lushan.engine.lit_module:LitModule.training_step", 6, signal.SIGHUP)
    assert jobs.execute(jobs.config(tmp_path), fault) == 0


@pytest.mark.slow
@pytest.mark.fault(13)
def test_the_newest_checkpoint_cut_short_falls_back_and_says_so(tmp_path, left_alone):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.at_step(14)) == 137
    newest = sorted((jobs.run_folder(tmp_path) / "checkpoints").glob("step-*"))[-1]
    state = newest / STATE
    state.write_bytes(state.read_bytes()[:-100])
    assert jobs.execute(cfg) == 0
    log = (jobs.run_folder(tmp_path) / "log.txt").read_text()
    assert f"skipping a damaged checkpoint: {state}" in log
    require_equal(tmp_path, left_alone())


@pytest.mark.slow
@pytest.mark.fault(14)
def test_one_flipped_bit_is_refused(tmp_path, left_alone):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.at_step(14)) == 137
    newest = sorted((jobs.run_folder(tmp_path) / "checkpoints").glob("step-*"))[-1]
    content = bytearray((newest / WEIGHTS).read_bytes())
    content[-7] ^= 1
    (newest / WEIGHTS).write_bytes(content)
    assert jobs.execute(cfg) == 0
    assert "SHA-256" in (jobs.run_folder(tmp_path) / "log.txt").read_text()
    require_equal(tmp_path, left_alone())


@pytest.mark.slow
@pytest.mark.fault(10)
def test_another_number_of_devices_is_refused_by_name(tmp_path):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.at_step(10)) == 137
    cfg["trainer"]["devices"] = 2
    cfg["trainer"]["strategy"] = "ddp"
    assert jobs.execute(cfg) == 2
    assert "trainer.devices" in jobs.error(tmp_path)


@pytest.mark.slow(9)
@pytest.mark.fault(10)
def test_other_data_is_refused_by_name(tmp_path, sample_files):
    cfg = jobs.config(tmp_path, "data=conll", *sample_files)
    assert jobs.execute(cfg, jobs.at_step(1)) == 137
    train = next(line for line in sample_files if line.startswith("data.train=")).split("=")[1]
    with Path(train).open("a", encoding="utf-8") as file:
        file.write("\nOslo B-LOC\n")
    assert jobs.execute(cfg) == 2
    assert "data.train" in jobs.error(tmp_path)


@pytest.fixture
def sample_files(tmp_path):
    """The command line's names of three small files."""
    text = "Anna B-PER\nlives O\nin O\nParis B-LOC\n\nBob B-PER\nsleeps O\n\n" * 8
    lines = []
    for split in ("train", "validation", "test"):
        path = tmp_path / f"{split}.conll"
        path.write_text(text, encoding="utf-8")
        lines.append(f"data.{split}={path}")
    return lines


@pytest.mark.slow
def test_a_complete_run_that_lost_its_states_is_still_complete(tmp_path):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg) == 0
    before = jobs.result(tmp_path)
    shutil.rmtree(jobs.run_folder(tmp_path) / "checkpoints")
    assert jobs.execute(cfg, jobs.at_step(0)) == 0
    assert jobs.result(tmp_path) == before


def documents(folder):
    """Write ninety documents of some letters."""
    texts = ("".join("abcdefg"[(i * k) % 7] for k in range(i % 9 + 3)) for i in range(90))
    lines = (json.dumps({"text": " ".join(text)}) + "\n" for text in texts)
    (folder / "documents.jsonl").write_text("".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, *(pytest.param(n, marks=pytest.mark.long) for n in (3, 13))])
def test_a_stream_goes_on_in_the_window_where_it_stood(step, tmp_path, left_alone):
    """Five windows of some ten steps, each read when its turn comes; then the set begins anew."""
    file = shared.once("documents", documents) / "documents.jsonl"
    stream = (
        *("task=causal_lm", "model=gpt2_tiny", "data=stream", f"data.path={file}"),
        *("data.limit=null", "data.window_documents=20", "data.validation=10", "data.test=null"),
        *("data.max_length=32", "data.batch_examples=4", "trainer.max_steps=18"),
    )
    cfg = jobs.config(tmp_path, *stream, f"paths.cache_dir={tmp_path}/cache")
    assert jobs.execute(cfg, jobs.at_step(step)) == 137
    assert jobs.execute(cfg) == 0
    require_equal(tmp_path, left_alone(*stream))
    assert numbers(tmp_path)["steps"] == 18
