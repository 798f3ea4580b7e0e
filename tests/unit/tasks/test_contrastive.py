"""Texts and images that find one another: copies are no negatives, and both ways are ranked."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from tests.conftest import trained

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data import processing
from lushan.engine import joint
from lushan.models.towers import paired_losses, sigmoid_losses
from lushan.tasks.batches import Limits
from lushan.tasks.nearest_pairs import NearestPairs
from lushan.vision import images


@pytest.fixture(scope="module")
def task():
    return build(check(compose(["task=contrastive"]))["task"])


def vectors(texts, images, keys=None):
    made = {"text": torch.tensor(texts), "image": torch.tensor(images)}
    keys = keys or (range(len(texts)), range(len(texts)))
    return made | {"text_key": torch.tensor([*keys[0]]), "image_key": torch.tensor([*keys[1]])}


def test_the_loss_of_a_pair_is_of_both_directions():
    torch.manual_seed(0)
    one, other = torch.randn(5, 3), torch.randn(5, 3)
    scores = one @ other.T
    expected = -(scores.log_softmax(1).diag() + scores.log_softmax(0).diag()) / 2
    found = paired_losses(one, other, torch.zeros(5, 5, dtype=torch.bool))
    torch.testing.assert_close(found, expected)


def test_what_is_the_same_is_no_negative(task):
    torch.manual_seed(0)
    one, other = torch.randn(4, 3).tolist(), torch.randn(4, 3).tolist()
    # Rows 0 and 2 have the same text, rows 1 and 3 the same image.
    found = task.joint_losses(vectors(one, other, ([5, 6, 5, 7], [1, 2, 3, 2])))
    first = task.joint_losses(vectors([one[i] for i in (0, 1, 3)], [other[i] for i in (0, 1, 3)]))
    apart = task.joint_losses(vectors(one, other))
    assert found[0] < apart[0]
    assert found[0] == pytest.approx(float(first[0]))


def test_ranks_are_of_different_texts_and_images(task):
    table = pa.table({"id": ["a", "b", "c"], "text": ["x", "y", "x"]})
    unit = np.eye(3, dtype=np.float32)
    records = [
        {"example": 0, "text": unit[0], "image": unit[0], "text_key": 1, "image_key": 1},
        {"example": 1, "text": unit[1], "image": unit[2], "text_key": 2, "image_key": 2},
        {"example": 2, "text": unit[0], "image": unit[1], "text_key": 1, "image_key": 3},
    ]
    joined = task.join(table, records[::-1])
    assert [row["text_candidates"] for row in joined] == [2, 2, 2]
    assert [row["image_candidates"] for row in joined] == [3, 3, 3]
    # The image of the third row is where the text of the second is.
    assert [row["predicted"] for row in joined] == ["x", "x", "y"]
    assert (joined[0]["text_ranks"], joined[2]["text_ranks"]) == ([1], [2])
    # Text x has two right images.
    assert [len(row["image_ranks"]) for row in joined] == [2, 1, 2]
    evaluation = task.evaluate(
        table.append_column("image", [[{"path": "i"}] * 3]), records, full=False
    )
    assert evaluation.metrics["text_recall_1_random"] == pytest.approx(1 / 2)
    assert evaluation.metrics["image_recall_1_random"] == pytest.approx(1 / 3)


def test_siglips_loss_is_of_each_text_with_each_image():
    """Algorithm 1 of Zhai et al. (2023), whose mean over rows this is before it is divided."""
    torch.manual_seed(0)
    one, other, bias = torch.randn(5, 3), torch.randn(5, 3), torch.full((5,), -2.0)
    labels = 2 * torch.eye(5) - 1
    expected = -torch.nn.functional.logsigmoid(labels * (one @ other.T - 2)).sum(1)
    found = sigmoid_losses(one, other, torch.zeros(5, 5, dtype=torch.bool), bias)
    torch.testing.assert_close(found, expected)
    hidden = torch.zeros(5, 5, dtype=torch.bool)
    hidden[0, 3] = True
    assert sigmoid_losses(one, other, hidden, bias)[0] < found[0]


def picture(shade):
    return {"path": "", "bytes": images.encoded(f"rgb({shade},0,0)")}


def test_the_nearest_pairs_find_texts_and_images_without_learning():
    known = {"text": ["dark stone", "bright sun"], "image": [picture(10), picture(240)]}
    pairs = NearestPairs.of(pa.table(known))
    assert NearestPairs.restored(json.loads(json.dumps(pairs.state()))).texts == pairs.texts
    texts = ["the sun", "a stone"]
    assert pairs.of_images([picture(200), picture(30)], texts).argmax(1).tolist() == [0, 1]
    assert pairs.of_texts(texts, [picture(30), picture(200)]).argmax(1).tolist() == [1, 0]


SMALL = [
    *("task=contrastive", "data.limit=48", "data.batch_examples=16", "processor.image.size=16"),
    *("processor.tokenizer.vocab_size=300", "model.config.vision.num_hidden_layers=1"),
    *("model.config.text.num_hidden_layers=1", "trainer.max_epochs=2", "trainer=cpu"),
    *("trainer.precision=32-true", "logger=none"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    more = ("task.loss=siglip", "task.baseline=nearest")
    return trained(tmp_path_factory.mktemp("pairs"), *more, small=SMALL)


def test_a_table_has_what_was_learned_beside_chance_and_the_baseline(run):
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    for what in ("text", "image"):
        for k in (1, 5, 10):
            names = [f"test/{what}_recall_{k}{more}" for more in ("", "_random", "_nearest")]
            assert all(0 <= metrics[name] <= 1 for name in names)


def test_it_chooses_among_labels_for_images_alone(run, cli_inside, tmp_path):
    (tmp_path / "red.png").write_bytes(images.encoded("red"))
    options = ("--input", str(tmp_path / "red.png"), "--label", "a red circle")
    done = cli_inside("predict", str(run), *options, "--label", "a blue square")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["predicted"] == max(found["probabilities"], key=found["probabilities"].get)
    out = tmp_path / "out"
    done = cli_inside("export", str(run), str(out))
    assert done.code == 0, done.err
    assert "matches the run's model" in done.out + done.err
    model, processor = (
        kind.from_pretrained(out) for kind in (transformers.AutoModel, transformers.AutoProcessor)
    )
    texts = ["a red circle", "a blue square"]
    red = images.decode(images.encoded("red"), "")
    read = processor(text=texts, images=red, padding=True, return_tensors="pt")
    own = model(**read).logits_per_image.softmax(-1)[0].tolist()
    assert own == pytest.approx(list(found["probabilities"].values()), abs=1e-4)
    ask = transformers.pipeline("zero-shot-image-classification", str(out))
    answers = ask(red, candidate_labels=texts, hypothesis_template="{}")
    assert {a["label"]: a["score"] for a in answers} == pytest.approx(
        found["probabilities"], abs=1e-4
    )
    for labels in (["a"], ["a", "a"], ["a", " "]):
        more = [word for label in labels for word in ("--label", label)]
        done = cli_inside("predict", str(run), "--input", str(tmp_path / "red.png"), *more)
        assert done.code == 2
        assert "at least two different labels" in done.err


@pytest.mark.slow(1)
def test_siglips_gradient_does_not_depend_on_micro_batches(tmp_path):
    cfg = check(compose(["task=contrastive", "task.loss=siglip", *SMALL[2:6]]))
    made = build(cfg["task"])
    corpus = made.demo()
    read = build(cfg["processor"], texts=corpus.train_texts, cache_dir=tmp_path)
    made.use(read)
    special = {"special": made.special_ids(read), "auto_class": made.auto_class, "wrap": made.wrap}
    torch.manual_seed(1)
    encoder = build(cfg["model"], **processing.vocabulary(read), **special)
    model = made.build(encoder).double().eval()
    features = made.encode(corpus.splits["train"].to_pydict(), 0, read, Limits(64))
    rows = [
        {name: np.asarray(column[i]) for name, column in features.items()} | {"index": i}
        for i in range(4)
    ]
    rows = made.transform(rows, 1)
    found = []
    for shares in ([rows], [rows[:1], rows[1:3], rows[3:]]):
        batches = [made.collate(share) for share in shares]
        known = [joint.vectors_of(made, lambda call, b: call(model, b), b, 0) for b in batches]
        model.zero_grad()
        for batch, part in zip(batches, joint.parts_of(made, known), strict=True):
            joint.term(made, part, 0)(model, batch).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    model.zero_grad()
    made.loss(model, made.collate(rows)).backward()
    assert "encoder.bias" in found[0]
    for name, parameter in model.named_parameters():
        if name in found[0]:
            torch.testing.assert_close(found[0][name], parameter.grad)
            torch.testing.assert_close(found[1][name], parameter.grad)
