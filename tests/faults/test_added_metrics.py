"""Metrics that a config adds: what it may say of them, and what comes of odd arguments."""

from __future__ import annotations

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.measures import measures
from lushan.errors import UserError

pytestmark = pytest.mark.fault(76)

F1 = "torchmetrics.classification.MulticlassF1Score"


def composed(node: str):
    words = ["data=sample_reviews", "task=classification", "model=bert_tiny"]
    return check(compose([*words, f"+task.metrics={{a: {node}}}"]))


@pytest.mark.parametrize(
    "node",
    [
        f"{{_target_: {F1}, dist_sync_fn: {{_target_: os.system}}}}",
        f"{{_target_: {F1}, process_group: 1}}",
        f"{{_target_: {F1}, compute_on_cpu: true}}",
        f"{{_target_: {F1}, _args_: [2]}}",
        f"{{_target_: {F1}, top_k: 99999}}",
        "{_target_: torchmetrics.classification.MulticlassAUROC, thresholds: 1000000000000}",
        "{_target_: torchmetrics.classification.MulticlassConfusionMatrix}",
        "{_target_: torchmetrics.wrappers.MinMaxMetric}",
        "{_target_: torchmetrics.functional.text.bert.torch.load}",
        "{_target_: torchmetrics.text.BERTScore}",
        "{_target_: lushan.tasks.Classification}",
        "3",
        "{}",
    ],
)
def test_what_is_refused(node):
    with pytest.raises(UserError):
        composed(node)


@pytest.mark.slow
def test_what_a_class_gives_itself_need_not_be_said():
    assert "a" in measures(composed(f"{{_target_: {F1}}}"))


def test_null_adds_none(cli_inside):
    words = ("data=sample_reviews", "task=classification", "model=bert_tiny", "data.limit=8")
    done = cli_inside("train", *words, "show=batch", "+task.metrics={a: null}")
    assert done.code == 0, done.err
