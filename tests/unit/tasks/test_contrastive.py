"""Texts and images that find one another: copies are no negatives, and both ways are ranked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.models.towers import paired_losses


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
