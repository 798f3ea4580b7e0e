"""Our heads in the places that classes of transformers have for theirs: the same scores."""

import pytest
import torch
from torch import nn
from transformers import (
    AlbertConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    RobertaConfig,
)

from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.exported import are_same
from lushan.models.pooling import pooler
from lushan.models.transformers_heads import with_scores

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
    "albert": lambda: AlbertConfig(**SHAPE, embedding_size=16),
}
REFUSED = {
    "gpt2": lambda: GPT2Config(
        vocab_size=60, n_embd=32, n_layer=1, n_head=2, n_positions=16, pad_token_id=0
    ),
}


def encoder(family):
    torch.manual_seed(1)
    made = encoders._make((CONFIGS | REFUSED)[family](), "AutoModel", encoders.encoder_of)
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


def tagger(own, scores, batch):
    real = batch["attention_mask"].bool()
    expected = scores(own(**batch))[real]
    made = with_scores(
        own.model,
        "AutoModelForTokenClassification",
        scores,
        labels=[f"T{i}" for i in range(scores.out_features)],
        is_same=lambda model: are_same([model(**batch).logits[real]], [expected]),
    )
    alike(made(**batch).logits[real], expected)
    return made


def classifier(own, scores, batch, pooling="cls"):
    pooled = pooler(pooling, own.width)(own(**batch), batch["attention_mask"])
    expected = scores(pooled)
    made = with_scores(
        own.model,
        "AutoModelForSequenceClassification",
        scores,
        labels=[f"L{i}" for i in range(scores.out_features)],
        options={"problem_type": "regression", "classifier_pooling": pooling, "other": 1},
        is_same=lambda model: are_same([model(**batch).logits], [expected]),
        key="task.pooling",
    )
    alike(made(**batch).logits, expected)
    return made


@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_tags(family, batch):
    made = tagger(encoder(family), head(32, 5), batch)
    assert made.config.id2label[3] == "T3"


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_labels(family, pooling, batch):
    own, scores = encoder(family), head(32, 3)
    if pooling == "max" or (pooling == "mean" and family != "modernbert"):
        with pytest.raises(UserError, match="pooling") as caught:
            classifier(own, scores, batch, pooling)
        assert caught.value.key == "task.pooling"
        return
    made = classifier(own, scores, batch, pooling)
    assert made.config.problem_type == "regression"
    assert made.config.label2id == {"L0": 0, "L1": 1, "L2": 2}
    assert not hasattr(made.config, "other")


@torch.no_grad()
def test_too_many_labels_for_the_layer_between_are_refused(batch):
    with pytest.raises(UserError, match="17 scores"):
        classifier(encoder("electra"), head(32, 17), batch)


@torch.no_grad()
def test_a_family_is_refused_where_its_class_reads_another_token(batch):
    with pytest.raises(UserError, match="GPT2ForSequenceClassification cannot compute"):
        classifier(encoder("gpt2"), head(32, 2), batch)


@torch.no_grad()
def test_a_family_without_such_a_class_is_refused():
    with pytest.raises(UserError, match="no AutoModelForCTC for a bert"):
        with_scores(encoder("bert").model, "AutoModelForCTC", head(32, 2), is_same=lambda _: True)


@torch.no_grad()
def test_spans_of_an_answer(batch):
    """A head of two scores, as extractive question answering has it."""
    own, scores = encoder("bert"), head(32, 2)
    expected = scores(own(**batch))

    def outputs(model):
        found = model(**batch)
        return torch.stack([found.start_logits, found.end_logits], dim=-1)

    made = with_scores(
        own.model,
        "AutoModelForQuestionAnswering",
        scores,
        is_same=lambda model: are_same([outputs(model)], [expected]),
    )
    alike(outputs(made), expected)


def test_random_state_is_left_alone(batch):
    own, layer = encoder("bert"), head_of_two()
    state = torch.random.get_rng_state()
    with torch.no_grad():
        tagger(own, layer, batch)
    assert torch.equal(torch.random.get_rng_state(), state)


def head_of_two():
    with torch.random.fork_rng():
        return nn.Linear(32, 2)
