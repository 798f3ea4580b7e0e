"""Items that nobody had in training: found by their words, and by these alone."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from tests.conftest import trained
from transformers import GPT2Config

from lushan.data.batch.packing import Pieces
from lushan.metrics.families.recommendation import AUC
from lushan.models import encoders, item_texts
from lushan.models.dropout import Masks, masked
from lushan.models.recommender import Recommender
from lushan.tasks.item_ranks import ranked

KINDS = ("red", "blue", "green", "black", "white", "brown")
HAD, COLD, USERS = 20, 2, 120
"""Items of a kind that are learned, and that come in the test alone; users."""
SMALL = (
    *("task=recommend", "task.cold=true", "data=interactions", "data.train=visits.csv"),
    *("data.items=items.csv", "data.batch_tokens=null", "data.batch_examples=8"),
    *("model.config.n_embd=16", "model.config.n_layer=1", "optimizer.lr=1e-2"),
    *("trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=12"),
)


@pytest.fixture
def planted(tmp_path):
    """Users who have things of one colour, in any order, and at last one that is new.

    The new ones have a word in common, which no other item has: what a model learns of it, it
    learns of them as wrong answers.
    """
    rng = np.random.default_rng(5)
    lines = ["user,item,time"]
    for user in range(USERS):
        kind = KINDS[user % len(KINDS)]
        had = rng.permutation(HAD)[:8]
        lines += [f"u{user},{kind}{item},{time}" for time, item in enumerate(had)]
        lines += [f"u{user},{kind}new{rng.integers(COLD)},99"]
    (tmp_path / "visits.csv").write_text("\n".join(lines))
    items = ["item,title"]
    for kind in KINDS:
        items += [f"{kind}{n},{kind} thing {n}" for n in range(HAD)]
        items += [f"{kind}new{n},new {kind} thing" for n in range(COLD)]
    (tmp_path / "items.csv").write_text("\n".join(items))
    return tmp_path


def metrics_of(run):
    return json.loads((run / "result.json").read_text())["metrics"]


@pytest.mark.slow(20)
@pytest.mark.parametrize("how", [["task.by=text"], ["task.by=both", "task.drop_ids=0.5"]])
def test_what_a_new_item_is_called_finds_it(planted, how):
    found = metrics_of(trained(planted, f"data.dir={planted}", *how, small=SMALL))
    # A user has had eight things of its colour: twelve are left, and two new ones.
    assert found["val/hr_10"] > 0.4
    assert found["test/hr_10_cold"] > 0.9
    assert found["test/auc_cold"] > 0.9
    assert found["test/auc_among_cold"] > 0.9


@pytest.mark.slow
def test_ids_take_over_from_texts_where_none_is_left_out(planted):
    how = ("task.by=both", "task.drop_ids=0")
    found = metrics_of(trained(planted, f"data.dir={planted}", *how, small=SMALL))
    assert found["val/hr_10"] > 0.7
    assert found["test/hr_10_cold"] < 0.3


@pytest.mark.slow
def test_by_ids_alone_nothing_is_known_of_a_new_item(planted):
    found = metrics_of(trained(planted, f"data.dir={planted}", "task.by=id", small=SMALL))
    assert found["val/hr_10"] > 0.7
    assert found["test/hr_10_cold"] < 0.1
    assert found["test/auc_among_cold"] < 0.7


def recommender(by, learned, drop_ids=0.0):
    make = functools.partial(GPT2Config, n_embd=8, n_layer=1, n_head=1)
    encoder = encoders.fresh(make, vocab_size=9)
    texts = None
    if by != "id":
        names = ["red one", "red two", "blue one", "blue two", "new red"]
        texts = item_texts.made(names, 8, None, known=None, learned=learned)
    return Recommender(
        encoder,
        torch.arange(4, 9),
        by=by,
        texts=texts,
        learned=torch.tensor(learned),
        drop_ids=drop_ids,
    )


LEARNED = [True, False, True, True, False]


@pytest.mark.parametrize("by", ["text", "both"])
def test_what_nobody_had_is_no_wrong_answer(by):
    model = recommender(by, LEARNED).eval()
    ids = torch.tensor([[2, 4, 6]])
    states, items = model(ids, torch.ones_like(ids))
    items.retain_grad()
    labels = torch.tensor([[0, 2, 3]])
    loss = model.loss(states, items, labels)
    loss.backward()
    assert items.grad[[0, 2, 3]].abs().min() > 0
    assert items.grad[[1, 4]].abs().max() == 0
    scores = (states[0] @ items[[0, 2, 3]].T).log_softmax(-1)
    torch.testing.assert_close(loss, -scores.diagonal().sum())


def test_by_ids_alone_all_items_are_candidates():
    model = recommender("id", LEARNED).eval()
    ids = torch.tensor([[2, 4, 6]])
    states, items = model(ids, torch.ones_like(ids))
    loss = model.loss(states, items, torch.tensor([[0, 2, 3]]))
    scores = (states[0] @ items.T).log_softmax(-1)
    torch.testing.assert_close(loss, -scores[range(3), [0, 2, 3]].sum())


def test_words_of_new_items_alone_have_no_vectors():
    one = item_texts.WordTexts(["a b", "a b", "new a", "new a"], 4, [True, True, False, False])
    found = one()
    assert len(one.bag.weight) == 3  # what is unknown, and two words
    torch.testing.assert_close(found[2], one.bag.weight[1])
    other = item_texts.WordTexts(["a b", "a b", "new a", "new a"], 4, [True] * 4)
    assert len(other.bag.weight) == 4


def test_ids_are_left_out_in_training_alone_and_for_a_whole_step():
    model = recommender("both", LEARNED, 0.5)
    own, texts = model.encoder.model.get_input_embeddings().weight[4:], model.texts()
    shares = []
    for seed in range(200):
        found = []
        for rows in (1, 5):  # micro-batches of one example, and of as many as there are items
            pieces = Pieces(np.arange(rows), np.full(rows, 3), np.ones(rows, int))
            with masked(Masks(seed, pieces, torch.device("cpu"))):
                found.append(model.items())
        torch.testing.assert_close(found[0], found[1])
        kept = ((found[0] - texts) / own).mean(1)
        assert set(kept.round(decimals=3).tolist()) <= {0.0, 2.0}
        assert kept[[1, 4]].abs().max() < 1e-3
        shares.append(float((kept > 1).float()[[0, 2, 3]].mean()))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    model.eval()
    learned = torch.tensor(LEARNED)[:, None]
    torch.testing.assert_close(model.items(), own * learned + texts)


def test_ranks_are_of_all_items_of_cold_ones_among_all_and_among_themselves():
    rng = np.random.default_rng(2)
    scores = torch.tensor(rng.normal(size=(40, 30)).round(1), dtype=torch.float32)
    scores[torch.tensor(rng.random((40, 30)) < 0.3)] = -torch.inf
    cold = (rng.random(30) < 0.4).tolist()
    right = [
        [*rng.permutation(np.nonzero(row > -np.inf)[0])[: rng.integers(5)].tolist(), *more]
        for row, more in zip(scores.numpy(), [[], [30]] * 20, strict=True)
    ]
    for row, own, found in zip(scores, right, ranked(scores, right, cold), strict=True):
        order = [n for n in np.argsort(-row.numpy(), kind="stable").tolist() if row[n] > -np.inf]
        apart = [n for n in order if cold[n]]
        inside = sorted(order.index(n) + 1 for n in own if n < 30)
        assert found["ranks"] == [*inside, *([31] * (30 in own))]
        assert found["cold_ranks"] == sorted(order.index(n) + 1 for n in own if n in apart)
        assert found["ranks_among_cold"] == sorted(apart.index(n) + 1 for n in own if n in apart)
        assert (found["ranked"], found["cold_ranked"]) == (len(order), len(apart))
        value, counts = AUC("cold_ranks").example_statistics(found, None)
        wrong = [n for n in order if n not in own or not cold[n]]
        pairs = [order.index(n) < order.index(w) for n in own if n in apart for w in wrong]
        assert counts == bool(pairs)
        assert value == pytest.approx(np.mean(pairs) if pairs else 0.0)


def test_an_auc_is_at_most_one_and_chance_is_a_half():
    metric = AUC()
    assert metric.example_statistics({"ranks": [1, 2], "ranked": 9}, None).tolist() == [1, 1]
    assert metric.example_statistics({"ranks": [5], "ranked": 9}, None).tolist() == [0.5, 1]
    assert metric.example_statistics({"ranks": [10], "ranked": 9}, None).tolist() == [0, 1]
    assert metric.example_statistics({"ranks": [], "ranked": 9}, None).tolist() == [0, 0]
    assert metric.example_statistics({"ranks": [1], "ranked": 1}, None).tolist() == [0, 0]


@pytest.mark.slow
def test_further_measures_of_cold_items_are_of_the_config(planted):
    family = "lushan.metrics.families"
    recall = f"{{_target_: {family}.retrieval.Recall, k: 15}}"
    found = metrics_of(
        trained(
            planted,
            *(f"data.dir={planted}", "task.by=text", "task.cold=false", "trainer.max_epochs=1"),
            "+task.metrics.recall_15_cold="
            f"{{_target_: {family}.recommendation.Of, metric: {recall}, ranks: cold_ranks}}",
            "+task.metrics.auc="
            f"{{_target_: {family}.recommendation.AUC, ranks: ranks, among: ranked}}",
            small=SMALL,
        )
    )
    assert 0 <= found["test/recall_15_cold"] <= 1
    assert found["test/recall_15_cold"] >= found["test/hr_10"]
    assert 0.5 < found["val/auc"] <= 1
    assert "test/hr_10_cold" not in found
