"""Ranking by features: the losses, what is not among the candidates, and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.formats import Jsonl
from lushan.data.item_fields import CANDIDATES
from lushan.errors import UserError
from lushan.models.ranker import Ranker, RankerConfig, losses
from lushan.tasks.batches import Limits

SCORES = torch.tensor([[1.0, 2.0, 0.5, 9.0], [0.0, 1.0, 2.0, 3.0]])
RIGHT = torch.tensor([[False, True, False, False], [False, False, False, False]])
THERE = torch.tensor([[True, True, True, False], [True, True, True, True]])
ROW = {
    "user": "u",
    "candidates": ["a", "b"],
    "features": {"x": [1, 2.5], "y": [0, -3]},
    "target": ["b"],
}


def task(*overrides):
    return build(check(compose(["task=rank", *overrides]))["task"])


def read(tmp_path, *rows):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps({**ROW, **row}) for row in rows))
    return Jsonl(train=str(path)).read(CANDIDATES)


def test_listwise_is_the_cross_entropy_among_candidates():
    found = losses(SCORES, RIGHT, THERE, "listwise")
    assert found[0] == pytest.approx(float(F.cross_entropy(SCORES[0, :3], torch.tensor(1))))
    assert found[1] == 0  # nothing is right


def test_pairwise_is_the_mean_over_pairs():
    found = losses(SCORES, RIGHT, THERE, "pairwise")
    wanted = [np.log1p(np.exp(other - 2.0)) for other in (1.0, 0.5)]
    assert found[0] == pytest.approx(np.mean(wanted))
    assert found[1] == 0


@pytest.mark.parametrize("sizes", [[], [4]])
def test_near_scores_differ_also_under_autocast(sizes):
    model = Ranker(RankerConfig(features=1, hidden_sizes=sizes))
    features = torch.linspace(1.0, 1.01, 300)[None, :, None]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(features)
    assert torch.equal(scores, model(features))
    assert len(scores.unique()) == 300


def test_what_is_no_candidate_is_not_found(tmp_path):
    corpus = read(tmp_path, {}, {"target": ["c"]}, {"target": ["a", "c"]})
    table = corpus.splits["train"]
    made = task()
    made.prepare(corpus)
    features = made.encode(table.to_pydict(), 0, None, Limits(9))
    notes = list(made.encoding_notes("test", made.count(features)))
    assert notes[0].startswith("test: 1 of 3 lists have no relevant item")
    records = [{"example": n, "scores": [0.0, 1.0], "loss": 0.0} for n in range(3)]
    found = made.evaluate(table, records, full=False).metrics
    assert found["hr_1"] == pytest.approx(1 / 3)
    assert found["hr_10"] == pytest.approx(2 / 3)
    assert found["mrr_10"] == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_features_of_a_run_are_asked_for_again(tmp_path):
    made = task("task.features=[y]")
    made.prepare(read(tmp_path, {}))
    assert made.names == ["y"]
    made.encode(read(tmp_path, {}).splits["train"].to_pydict(), 0, None, Limits(9))
    other = read(tmp_path, {"features": {"x": [1, 2]}}).splits["train"].to_pydict()
    with pytest.raises(UserError, match="the features are x, but the run was trained on y"):
        made.encode(other, 0, None, Limits(9))


@pytest.mark.parametrize("key", ["features", "baselines"])
def test_a_feature_that_is_not_there_is_refused_with_its_key(tmp_path, key):
    with pytest.raises(UserError, match="unknown feature; the data has x, y") as raised:
        task(f"task.{key}=[z]").prepare(read(tmp_path, {}))
    assert raised.value.key == f"task.{key}"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"features": {"x": [1]}}, "does not have a number for each candidate under 'x'"),
        ({"features": {"x": [1, "2"]}}, "has a value that is not a number under 'x'"),
        ({"features": {"x": [1, None]}}, "has a value that is not a number under 'x'"),
        ({"features": []}, "must map the name of each feature"),
        ({"features": "{"}, "must map the name of each feature"),
        ({"features": {"x": [1, 2]}}, "features are x, but above they are x, y"),
        ({"candidates": "a"}, "candidates must be a list of items"),
        ({"candidates": ["a", {}]}, "candidates contains a value that is not an item id"),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path, row, words):
    with pytest.raises(UserError, match=words) as raised:
        read(tmp_path, {}, row)
    assert raised.value.line == 2
