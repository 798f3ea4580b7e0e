"""Heads, and the CRF's manners as a head."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from lushan.errors import UserError
from lushan.models import heads
from lushan.tasks.ner import NER
from lushan.text import tags as tagging

TAGS = tagging.tag_set(["LOC", "PER"], "iob2")
ALLOWED = tagging.transitions(TAGS, "iob2")
MASK = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def crf() -> heads.CRF:
    torch.manual_seed(0)
    head = heads.CRF(width=8, num_labels=len(TAGS), allowed=ALLOWED, dropout=0.0)
    for weight in (head.start, head.between, head.end):
        torch.nn.init.normal_(weight)
    return head


def ids(*tags: str) -> list[int]:
    return [TAGS.index(tag) for tag in tags]


@pytest.mark.parametrize("kind", [heads.Linear, heads.MLP])
def test_scores_of_words_and_texts(kind: type) -> None:
    head = kind(width=8, num_labels=3, dropout=0.0)
    assert head(torch.randn(2, 5, 8)).shape == (2, 5, 3)
    assert head(torch.randn(2, 8)).shape == (2, 3)
    assert not kind.structured


def test_mlp_takes_a_width_of_its_own() -> None:
    head = heads.MLP(width=8, num_labels=3, hidden=4)
    assert [p.shape for p in head.parameters()] == [(4, 8), (4,), (3, 4), (3,)]


def test_crf_loss_reaches_every_parameter_and_decodes_what_is_allowed() -> None:
    head = crf()
    scores = head(torch.randn(2, 5, 8))
    labels = torch.tensor(
        [ids("B-PER", "I-PER", "O", "B-LOC", "O"), ids("O", "O", "B-LOC", "O", "O")]
    )
    loss = head.nll(scores, labels, MASK)
    assert loss.shape == (2,)
    assert (loss > 0).all()
    loss.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    assert (head.between.grad[~torch.from_numpy(np.asarray(ALLOWED.between))] == 0).all()
    best = head.decode(scores, MASK)
    for row, words in zip(best.tolist(), MASK.sum(1).tolist(), strict=True):
        assert not tagging.violations([TAGS[i] for i in row[:words]], "iob2")
        assert row[words:] == [0] * (len(row) - words)
    shares = head.marginals(scores, MASK)
    torch.testing.assert_close(shares.sum(-1), MASK.float())
    # Of the whole sequence's probability, and so at least that of each of its tags.
    own = shares.gather(-1, best[..., None]).squeeze(-1)
    assert (own[MASK] >= (-head.nll(scores, best, MASK)).exp()[:, None].expand_as(MASK)[MASK]).all()


def test_a_window_that_begins_or_ends_inside_an_entity_has_a_finite_loss() -> None:
    head = crf()
    scores = torch.randn(2, 5, len(TAGS))
    labels = torch.tensor([ids("I-PER", "I-PER", "O", "O", "O"), ids("I-LOC", "O", "O", "O", "O")])
    loss = head.nll(scores, labels, MASK)
    assert loss.isfinite().all()
    assert (loss > 0).all()
    # A row with a whole sentence is not touched by that of another.
    whole = torch.tensor([labels[0].tolist(), ids("O", "O", "B-LOC", "O", "O")])
    alone = head.nll(scores[1:], whole[1:], MASK[1:])
    torch.testing.assert_close(head.nll(scores, whole, MASK)[1], alone[0])


def test_a_rule_broken_inside_a_sentence_has_no_probability() -> None:
    labels = torch.tensor([ids("O", "I-PER", "O", "O", "O")])
    assert crf().nll(torch.randn(1, 5, len(TAGS)), labels, MASK[:1]).isinf().all()


def test_rules_are_no_weights() -> None:
    assert set(crf().state_dict()) == {
        "start",
        "between",
        "end",
        "emit.scores.weight",
        "emit.scores.bias",
    }


def test_constrained_decoding_is_free_where_the_best_tags_are_allowed() -> None:
    torch.manual_seed(0)
    scores = torch.randn(40, 5, len(TAGS))
    mask = torch.ones(40, 5, dtype=torch.bool)
    free = scores.argmax(-1)
    best = heads.constrained_decode(scores, ALLOWED, mask)
    broken = 0
    for row, wish in zip(best.tolist(), free.tolist(), strict=True):
        assert not tagging.violations([TAGS[i] for i in row], "iob2")
        if tagging.violations([TAGS[i] for i in wish], "iob2"):
            broken += 1
        else:
            assert row == wish
    assert 0 < broken < 40


def test_the_end_of_a_sentence_is_ruled_too() -> None:
    tags = tagging.tag_set(["PER"], "iobes")
    rules = tagging.transitions(tags, "iobes")
    scores = torch.zeros(1, 2, len(tags))
    scores[0, :, tags.index("B-PER")] = 5
    best = heads.constrained_decode(scores, rules, torch.ones(1, 2, dtype=torch.bool))
    assert [tags[i] for i in best[0]][-1] != "B-PER"
    anything = dataclasses.replace(rules, end=np.ones(len(tags), dtype=bool))
    free = heads.constrained_decode(scores, anything, torch.ones(1, 2, dtype=torch.bool))
    assert tags[free[0, -1]] == "B-PER"


# Heads of others


class Bare(torch.nn.Module):
    """What a head must have, and no word of being structured or not."""

    def __init__(self, *, width: int, num_labels: int) -> None:
        super().__init__()
        self.scores = torch.nn.Linear(width, num_labels)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.scores(hidden)


class Other(Bare):
    def __init__(self, *, hidden_size: int, num_labels: int) -> None:
        super().__init__(width=hidden_size, num_labels=num_labels)


class Narrow(Bare):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.scores(hidden)[..., :-1]


class Unfinished(Bare):
    structured = True

    def __init__(self, *, width: int, num_labels: int, allowed: object) -> None:
        super().__init__(width=width, num_labels=num_labels)


def test_a_head_need_not_say_that_it_is_not_structured() -> None:
    made = heads.make_head(functools.partial(Bare), width=8, num_labels=3, allowed=ALLOWED)
    assert made(torch.randn(2, 5, 8)).shape == (2, 5, 3)
    assert not heads.is_structured(made)


@pytest.mark.parametrize(
    ("head", "allowed", "printed"),
    [
        (Other, ALLOWED, "width"),
        (Narrow, ALLOWED, "(1, 2, 2), not (1, 2, 3)"),
        (Narrow, None, "(2, 2), not (2, 3)"),
        (Unfinished, ALLOWED, "has no nll"),
        (heads.CRF, None, "tag sequences"),
    ],
)
def test_what_is_no_head_is_refused_before_training(head, allowed, printed) -> None:
    with pytest.raises(UserError) as refused:
        heads.make_head(functools.partial(head), width=8, num_labels=3, allowed=allowed)
    assert printed in str(refused.value)
    assert refused.value.key == "task.head"


def test_looking_at_a_head_draws_nothing() -> None:
    torch.manual_seed(3)
    heads.Linear(width=8, num_labels=3)
    alone = torch.rand(1)
    torch.manual_seed(3)
    heads.make_head(functools.partial(heads.Linear), width=8, num_labels=3, allowed=ALLOWED)
    assert torch.rand(1) == alone


def test_a_tagger_learns_and_predicts_with_such_a_head() -> None:
    task = NER(head=functools.partial(Bare))
    task.restore({"labels": ["LOC", "PER"]})
    encoder = torch.nn.Embedding(10, 8)
    encoder.width, encoder.forward = 8, lambda input_ids, **_: encoder.weight[input_ids]
    model = task.build(encoder)
    batch = {
        "input_ids": torch.tensor([[1, 2, 3]]),
        "attention_mask": torch.ones(1, 3, dtype=torch.long),
        "positions": torch.tensor([[0, 1]]),
        "labels": torch.tensor([[0, 1]]),
        "start": torch.tensor([0]),
        "example": torch.tensor([0]),
    }
    task.loss(model, batch).backward()
    _, (record,) = task.predict(model, batch)
    assert len(record["tags"]) == 2
