"""Compiled layers: the same training, up to its last digits, and exact when it continues."""

import functools

import pytest

from lushan.checkpoint.weights import load_weights
from tests.faults import jobs
from tests.helpers.runs import losses

pytestmark = pytest.mark.slow

ONE_LAYER = "model.config.num_hidden_layers=1"  # each is compiled by itself, and all are alike
COMPILED = ("trainer.compile=true", "trainer.max_steps=8", "trainer.max_epochs=null", ONE_LAYER)


@pytest.mark.slow(60)
@pytest.mark.long
def test_a_compiled_run_goes_on_to_the_last_bit(tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert jobs.execute(jobs.config(alone, *COMPILED)) == 0
    assert jobs.execute(jobs.config(killed, *COMPILED), jobs.at_step(5)) == 137
    assert jobs.execute(jobs.config(killed, *COMPILED)) == 0
    for name in ("metrics", "weights_sha256", "final_weights_sha256"):
        assert jobs.result(killed)[name] == jobs.result(alone)[name]


class OfAnyLength:
    """Layers are compiled once for batches of all lengths, not for the first length before that.

    Args:
        backend: What makes programs of their graphs; that of a run, inductor, takes half a minute.
    """

    def __init__(self, backend):
        self.backend = backend

    def __call__(self):
        import torch
        from torch._dynamo import config

        config.assume_static_by_default = False
        torch.nn.Module.compile = functools.partialmethod(  # type: ignore[method-assign]
            torch.nn.Module.compile, backend=self.backend
        )


@pytest.mark.slow(10)
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_it_is_the_same_training(backend, tmp_path):
    short = (
        "trainer.max_steps=3",
        "trainer.max_epochs=null",
        ONE_LAYER,
        "task.head.dropout=0",
        "model.config.hidden_dropout_prob=0",
        "model.config.attention_probs_dropout_prob=0",
    )
    made, plain = tmp_path / "compiled", tmp_path / "plain"
    assert (
        jobs.execute(jobs.config(made, *short, "trainer.compile=true"), OfAnyLength(backend)) == 0
    )
    assert jobs.execute(jobs.config(plain, *short)) == 0
    assert losses(jobs.run_folder(made)) == pytest.approx(losses(jobs.run_folder(plain)), rel=1e-5)
    assert jobs.run_folder(plain).name != jobs.run_folder(made).name  # other bits: another run
    one, other = (load_weights(jobs.run_folder(f) / "checkpoints" / "best") for f in (made, plain))
    assert one.keys() == other.keys()
