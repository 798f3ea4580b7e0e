"""With dropout a global batch is the same step too, however it is shared out or computed."""

import json

import pytest

from tests.conftest import trained
from tests.helpers import command, quick
from tests.helpers.narrow import narrowed
from tests.helpers.runs import LOSSES, losses

SHORT = (
    "trainer.precision=64-true",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "optimizer.lr=1e-3",
    "scheduler=constant",
    "trainer=cpu",
    "test=false",
)
WORDS = "processor.vocab_size=300"
BY_EXAMPLES = ("data.limit=20", "data.batch_tokens=null", "data.batch_examples=10")
BY_TOKENS = ("data.limit=24", "data.batch_tokens=256", "data.max_length=64", WORDS)
CASES = {
    "ner": ["experiment=sample/ner", *BY_EXAMPLES],
    "ner crf deberta": [
        "experiment=sample/ner",
        "model=deberta_tiny",
        "task/head=crf",
        *BY_EXAMPLES,
    ],
    "ner eager": ["experiment=sample/ner", "model.attention=eager", *BY_EXAMPLES],
    "ner lora": [
        "experiment=sample/ner",
        "peft=lora",
        "peft.config.lora_dropout=0.2",
        *BY_EXAMPLES,
    ],
    "classification": ["experiment=sample/reviews", "task/head=mlp", *BY_EXAMPLES],
    "causal": ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", *BY_TOKENS],
    "causal eager": [
        *("task=causal_lm", "data=sample_text", "model=gpt2_tiny", "model.attention=eager"),
        *BY_TOKENS,
    ],
    "masked": ["task=masked_lm", "data=sample_text", "model=bert_tiny", *BY_TOKENS],
    "masked in rows": [
        *("task=masked_lm", "data=sample_text", "model=bert_tiny", "data.packing=true"),
        *BY_TOKENS,
    ],
    "seq2seq": [
        *("task=seq2seq", "data=sample_pairs", "model=t5_tiny", "task.generates=false"),
        *(*BY_EXAMPLES, WORDS),
    ],
    "chat": [
        *("task=chat", "data=sample_chat", "model=llama_tiny", "data.batch_tokens=512"),
        *("model.config.attention_dropout=0.1", "data.limit=20", "task.generate_examples=0", WORDS),
    ],
    "images": [
        *("task=image_classification", "data=sample_images", "model=vit_tiny", *BY_EXAMPLES),
        *("processor.size=16", "model.config.num_hidden_layers=2"),
        *("model.config.hidden_dropout_prob=0.1", "model.config.attention_probs_dropout_prob=0.1"),
    ],
    "items": [
        *("task=recommend", "task.drop_ids=0.5", *BY_EXAMPLES),
        *("model.config.n_embd=32", "model.config.n_layer=1"),
    ],
}
MICRO = {"images": "data.micro_tokens=40", "chat": "data.micro_tokens=200"}


@pytest.mark.slow
@pytest.mark.parametrize("case", quick.only(["ner", "causal"], CASES))
def test_micro_batches_drop_the_same(case, tmp_path):
    given = narrowed([*CASES[case], *SHORT])
    whole = trained(tmp_path, *given, small=())
    parts = trained(
        tmp_path, *given, MICRO.get(case, "data.micro_tokens=64"), "name=parts", small=()
    )
    assert whole.name == parts.name  # one run id
    assert losses(parts, *LOSSES) == pytest.approx(losses(whole, *LOSSES), abs=1e-9)
    scores = [json.loads((run / "result.json").read_text())["metrics"] for run in (whole, parts)]
    assert scores[1] == pytest.approx(scores[0], abs=1e-9)


@pytest.mark.parametrize("case", quick.only([], CASES, long=set(CASES) - {"chat"}))
def test_two_processes_drop_the_same(case, tmp_path):
    given = narrowed([*CASES[case], *SHORT])
    one = command.cli("train", *given, "name=one", cwd=tmp_path)
    two = command.cli("train", *given, "name=two", "trainer=ddp_sim", cwd=tmp_path, ranks=1)
    assert (one.code, two.code) == (0, 0), one.err + two.err
    assert losses(two.folder, *LOSSES) == pytest.approx(losses(one.folder, *LOSSES), abs=1e-9)
    assert two.result["metrics"] == pytest.approx(one.result["metrics"], abs=1e-9)
