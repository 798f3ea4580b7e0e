"""Our heads in the places that classes of transformers have for theirs: the same scores."""

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    RobertaConfig,
)

from lushan.errors import UserError
from lushan.export.transformers_heads import classifier, tagger
from lushan.models import encoders
from lushan.models.pooling import pooler

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
CONFIGS = {
    "bert": lambda: BertConfig(**SHAPE),
    "roberta": lambda: RobertaConfig(**SHAPE),
    "electra": lambda: ElectraConfig(**SHAPE, embedding_size=16),
    "deberta": lambda: DebertaV2Config(**SHAPE),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=60, dim=32, n_layers=2, n_heads=2, hidden_dim=48, pad_token_id=0
    ),
    "modernbert": lambda: ModernBertConfig(**SHAPE, bos_token_id=1, eos_token_id=2),
}


def encoder(family):
    torch.manual_seed(1)
    made = encoders._make(CONFIGS[family](), "encoder")
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # norms too, as after training
    return made.eval()


def head(width, count):
    torch.manual_seed(2)
    layer = nn.Linear(width, count)
    nn.init.normal_(layer.weight, std=0.5)
    return layer


@pytest.fixture
def batch():
    torch.manual_seed(3)
    ids = torch.randint(3, 60, (4, 12))
    mask = torch.ones_like(ids)
    mask[0, 7:] = mask[2, 3:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def alike(found, expected):
    scale = expected.abs().max()
    assert float((found - expected).abs().max() / scale) < 2e-6


@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_tags(family, batch):
    own, scores = encoder(family), head(32, 5)
    made = tagger(own.model, scores, ["O", "B-A", "I-A", "B-B", "I-B"])
    real = batch["attention_mask"].bool()
    alike(made(**batch).logits[real], scores(own(**batch))[real])
    assert made.config.id2label[3] == "B-B"


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_labels(family, pooling, batch):
    own, scores = encoder(family), head(32, 3)
    problem = "single_label_classification"
    if pooling == "mean" and family != "modernbert":
        with pytest.raises(UserError, match="pooling"):
            classifier(own.model, scores, ["a", "b", "c"], pooling=pooling, problem=problem)
        return
    made = classifier(own.model, scores, ["a", "b", "c"], pooling=pooling, problem=problem)
    pooled = pooler(pooling, 32)(own(**batch), batch["attention_mask"])
    alike(made(**batch).logits, scores(pooled))
    assert made.config.problem_type == problem
    assert made.config.label2id == {"a": 0, "b": 1, "c": 2}


@torch.no_grad()
def test_too_many_labels_for_the_layer_between_are_refused():
    own = encoder("electra")
    labels = [str(i) for i in range(17)]
    with pytest.raises(UserError, match="17 scores"):
        classifier(own.model, head(32, 17), labels, pooling="cls", problem="regression")


def test_families_without_such_a_class_are_refused():
    own = encoders._make(
        GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=2, n_positions=16), "encoder"
    )
    with pytest.raises(UserError, match="gpt2"):
        classifier(own.model, head(32, 2), ["a", "b"], pooling="cls", problem="regression")


def test_random_state_is_left_alone():
    own = encoder("bert")
    state = torch.random.get_rng_state()
    tagger(own.model, head_of_two(), ["O", "B-A"])
    assert torch.equal(torch.random.get_rng_state(), state)


def head_of_two():
    with torch.random.fork_rng():
        return nn.Linear(32, 2)
