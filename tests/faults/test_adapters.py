"""Runs that learn an adapter: killed, resumed, and read again by other hands."""

import json
import string

import pytest
import torch
from safetensors.torch import load_file

from lushan.checkpoint.folder import STATE
from lushan.checkpoint.weights import WEIGHTS
from lushan.errors import UserError
from lushan.text import tokenizers
from tests.faults import jobs
from tests.faults.test_resume import numbers, require_equal
from tests.helpers import narrow, quick

ADALORA = ("peft=adalora", "peft.config.init_r=4", "peft.config.target_r=2")
LR = "optimizer.lr=0.01"
PACKED = (
    *("task=causal_lm", "data=sample_text", "model=gpt2_tiny", "processor=bpe"),
    *("data.max_length=64", "data.batch_examples=4", "data.limit=44"),
)


def losses(folder):
    """Step to loss, every bit of it."""
    lines = (jobs.notes_of(folder) / "seen.jsonl").read_text().splitlines()
    return {step: loss for step, loss, _ in map(json.loads, lines)}


def best(folder):
    return load_file(jobs.run_folder(folder) / "checkpoints" / "best" / WEIGHTS)


def ranks(weights):
    """Which ranks are left in each module."""
    return {n: (w != 0).flatten().tolist() for n, w in weights.items() if ".lora_E." in n}


PLACES = {
    # Of 24 steps, ranks are removed in those from 3 to 17, and are kept from then on.
    "before ranks go": (1, ADALORA),
    "while ranks go": (10, ADALORA),
    "when the last has gone": (17, ADALORA),
    "after that": (20, ADALORA),
    "over several batches, averaged": (10, (*ADALORA, "callbacks=ema", "data.micro_tokens=24")),
    "dropout in the adapter": (10, ("peft=lora", "peft.config.lora_dropout=0.2")),
    "packed documents": (8, (*ADALORA, *PACKED)),
    "a prefix": (10, ("peft=prefix", "peft.config.num_virtual_tokens=4")),
}


ROWS = {place: (8,) for place, (_, overrides) in PLACES.items() if ADALORA[0] in overrides}


SAME = ("before ranks go", "when the last has gone", "after that")
"""Places in the life of ranks that are restored as those of "while ranks go" are."""


@pytest.mark.parametrize("place", quick.only([], PLACES, ROWS, SAME))
def test_killed_and_started_again(place, tmp_path, left_alone):
    step, overrides = PLACES[place]
    cfg = jobs.config(tmp_path, LR, *overrides)
    assert jobs.execute(cfg, jobs.at_step(step)) == 137
    assert jobs.execute(cfg) == 0
    alone = left_alone(LR, *overrides)
    require_equal(tmp_path, alone)
    assert losses(tmp_path) == losses(alone)
    assert len(losses(alone)) == jobs.result(alone)["steps"]
    mine, theirs = best(tmp_path), best(alone)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert ranks(mine) == ranks(theirs)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run with AdaLoRA that was killed in its last epoch."""
    folder = tmp_path_factory.mktemp("killed")
    cfg = jobs.config(folder, LR, *ADALORA, *narrow.WIDE)
    assert jobs.execute(cfg, jobs.at_step(20)) == 137
    return folder


@pytest.mark.slow
def test_checkpoints_hold_the_adapter_and_the_head_alone(killed):
    folder = jobs.run_folder(killed) / "checkpoints"
    kept = [*folder.glob("step-*"), *folder.glob("best-*")]
    assert len(kept) >= 3
    for checkpoint in kept:
        names = load_file(checkpoint / WEIGHTS).keys()
        assert any(".lora_A." in name for name in names)
        assert any(name.startswith(("head.", "model.head.")) for name in names)
        assert not [name for name in names if "base_layer" in name or "embeddings" in name]
        # The model has a third of a million weights, 1.3 MB.
        assert sum(path.stat().st_size for path in checkpoint.iterdir()) < 300_000


@pytest.mark.slow
def test_its_memory_of_what_matters_is_part_of_the_state(killed):
    newest = sorted((jobs.run_folder(killed) / "checkpoints").glob("step-*"))[-1]
    state = torch.load(newest / STATE, weights_only=True)["adaptation"]
    assert state["ranks"]
    assert sum(map(sum, state["ranks"].values())) == 2 * 2


@pytest.mark.slow
def test_the_run_is_read_again(tmp_path, left_alone):
    from lushan.inference.load import load
    from lushan.inference.reevaluate import evaluate

    folder = jobs.run_folder(left_alone(LR, *ADALORA))
    loaded = load(folder)
    assert str(loaded.model.encoder.adaptation) == "adalora on 2 modules"
    again = evaluate(folder, split="validation", overrides=[f"paths.cache_dir={tmp_path}"])
    result = numbers(left_alone(LR, *ADALORA))
    assert again["metrics"].items() <= result["metrics"].items()


@pytest.mark.slow
def test_a_base_that_has_changed_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    from lushan.inference.load import load

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    shape = BertConfig(vocab_size=400, num_hidden_layers=1, **sizes)
    base, out = tmp_path / "base", tmp_path / "out"
    mine, other = BertModel(shape), BertModel(shape)
    mine.save_pretrained(base)
    letters = [string.printable, " ".join(string.printable)]
    made = tokenizers.train("wordpiece", 300, texts=lambda: letters, cache_dir=tmp_path / "cache")
    made.save_pretrained(base)
    cfg = jobs.config(
        out,
        *("peft=lora", "model=pretrained", f"model.path={base}"),
        *("processor=pretrained", "~processor.vocab_size", "trainer.max_epochs=1"),
    )
    assert jobs.execute(cfg, jobs.at_step(5)) == 137
    other.save_pretrained(base)  # other weights under the same name
    assert jobs.execute(cfg) == 2
    assert "has changed since" in jobs.error(out)
    mine.save_pretrained(base)
    assert jobs.execute(cfg) == 0
    load(jobs.run_folder(out))
    other.save_pretrained(base)
    with pytest.raises(UserError, match="another base model"):
        load(jobs.run_folder(out))
