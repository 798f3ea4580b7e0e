"""Whatever each process holds, copies or parts, the training is the one of a single process."""

import json

import pytest

from lushan.checkpoint.weights import load_weights
from tests.helpers import command
from tests.helpers.runs import losses

pytestmark = pytest.mark.xdist_group("strategies")

MODEL = (
    "task=causal_lm",
    "model=qwen_tiny",
    "model.config.hidden_size=32",
    "model.config.head_dim=8",
    "model.config.intermediate_size=48",
    "data.limit=40",
    "data.batch_tokens=null",
    "data.batch_examples=8",
    "data.max_length=40",
    "data.micro_tokens=120",
    "data.eval_tokens=512",
    "processor.vocab_size=300",
    "callbacks=ema",
    "~callbacks.samples",
    "trainer.precision=64-true",
    "trainer.max_steps=4",
    "trainer.max_epochs=null",
    "trainer.log_every_n_steps=1",
    "optimizer.lr=1e-3",
)
STRATEGIES = {
    "ddp": ("trainer=ddp_sim",),
    "fsdp": ("trainer=fsdp_sim",),
    "fsdp, added up often": ("trainer=fsdp_sim", "trainer.reduce_often=true"),
    "tensors": ("trainer=tp_sim",),
}

FROZEN = 'optimizer.freeze=["*embed_tokens*", "*.layers.0.*"]'

PAIRS = (
    "task=seq2seq",
    "model=t5_tiny",
    "model.config.d_model=32",
    "model.config.d_kv=8",
    "model.config.d_ff=48",
    "model.config.dropout_rate=0",
    "data.limit=13",
    "data.batch_tokens=null",
    "data.batch_examples=5",
    "data.micro_tokens=120",
    "data.eval_tokens=160",
    "task.decoding.max_new_tokens=6",
    "processor.vocab_size=300",
    "trainer.precision=64-true",
    "trainer.max_steps=4",
    "trainer.max_epochs=null",
    "trainer.log_every_n_steps=1",
)
"""Text is generated, by one process for more examples than by the other."""


def trained(cwd, trainer, *overrides, of=MODEL):
    ranks = 0 if trainer == "trainer=cpu" else 1
    words = ("train", trainer, *of, *overrides)
    done = command.cli(*words, cwd=cwd, timeout=600, ranks=ranks)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The results of one process."""
    return trained(tmp_path_factory.mktemp("alone"), "trainer=cpu", "name=alone")


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=pytest.mark.long if name == "fsdp, added up often" else ())
        for name in STRATEGIES
    ],
)
def test_several_processes_train_as_one(strategy, alone, tmp_path):
    done = trained(tmp_path, *STRATEGIES[strategy], "name=several")
    assert len(losses(alone.folder)) == 4
    require_equal(done, alone)


@pytest.fixture(scope="module")
def alone_frozen(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("frozen"), "trainer=cpu", FROZEN, "name=alone")


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy", ["ddp", "fsdp", pytest.param("tensors", marks=pytest.mark.long)]
)
def test_weights_that_do_not_learn_are_left_alone_by_all(strategy, alone_frozen, tmp_path):
    done = trained(tmp_path, *STRATEGIES[strategy], FROZEN, "name=several")
    require_equal(done, alone_frozen)
    counts = alone_frozen.result["parameters"]
    assert counts["trained"] < counts["all"]
    for shown in (done, alone_frozen):
        assert f"parameters: {counts['all']:,}, trained: {counts['trained']:,}" in shown.err


@pytest.mark.slow
@pytest.mark.fault(46)
def test_several_processes_generate_as_one(tmp_path):
    alone = trained(tmp_path, "trainer=cpu", "name=alone", of=PAIRS)
    done = trained(tmp_path, "trainer=fsdp_sim", "name=several", of=PAIRS)
    require_equal(done, alone)
    assert written(done) == written(alone)
    assert len(written(alone)) == 13


def written(done):
    lines = (done.folder / "predictions" / "test.jsonl").read_text().splitlines()
    return {r["id"]: (r["predicted"], round(r["score"], 9)) for r in map(json.loads, lines)}


def require_equal(done, alone):
    assert done.folder.name == alone.folder.name  # the same run, to its id
    assert losses(done.folder) == pytest.approx(losses(alone.folder), abs=1e-9)
    for name, value in alone.result["metrics"].items():
        assert done.result["metrics"][name] == pytest.approx(value, abs=1e-9), name
    weights, expected = (load_weights(d.folder / "checkpoints" / "best") for d in (done, alone))
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        assert float((weights[name] - tensor).abs().max()) < 1e-9, name
