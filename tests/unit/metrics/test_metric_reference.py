"""Every published figure on tagging in the reference data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.costs import cost

from lushan.metrics.conll_score import score
from lushan.metrics.entities import entity_counts, score_entities, score_tokens
from lushan.metrics.prf import Report, Scores, prf
from lushan.text.tag_detection import detect
from lushan.text.tags import spans, violations

Cases = list[dict[str, Any]]


def pick(cases: Cases, metric: str) -> Cases:
    found = [case for case in cases if case["metric"].startswith(metric)]
    assert found
    return found


def row(scores: Scores) -> list[float]:
    return [scores.precision, scores.recall, scores.f1, scores.support]


def check(report: Report, expected: dict[str, Any]) -> None:
    if "f1" in expected:
        assert report.micro.f1 == pytest.approx(expected["f1"])
    for name in ("micro", "macro", "weighted"):
        if name in expected:
            assert row(getattr(report, name)) == pytest.approx(expected[name])
    found = {name: row(scores) for name, scores in report.by_class.items()}
    assert found.keys() == expected["by_type"].keys()
    for name, numbers in expected["by_type"].items():
        assert found[name] == pytest.approx(numbers)


def test_conlleval(data: Path, cases: Cases) -> None:
    (case,) = pick(cases, "conlleval")
    want = case["expected"]
    verdict = score(data / "reference" / case["input"].split()[0])
    micro = verdict.entity.micro
    assert verdict.tokens == want["tokens"]
    assert [micro.support, micro.predicted, micro.correct] == [
        want["gold"], want["found"], want["correct"],
    ]  # fmt: skip
    percent = [micro.precision, micro.recall, micro.f1, verdict.token.accuracy]
    assert [round(100 * x, 2) for x in percent] == [
        want["precision"], want["recall"], want["f1"], want["accuracy"],
    ]  # fmt: skip
    by_type = {
        name: [round(100 * x, 2) for x in (s.precision, s.recall, s.f1)] + [s.predicted]
        for name, s in verdict.entity.by_class.items()
    }
    assert by_type == want["by_type"]
    low, high = verdict.interval
    assert low < micro.f1 < high


def test_seqeval_default(cases: Cases) -> None:
    for case in [*pick(cases, "seqeval default"), *(c for c in cases if c["metric"] == "seqeval")]:
        check(score_entities(case["y_true"], case["y_pred"]), case["expected"])


def test_seqeval_strict(cases: Cases) -> None:
    for case in pick(cases, "seqeval strict"):
        check(score_entities(case["y_true"], case["y_pred"], strict=True), case["expected"])


def test_seqeval_entities(cases: Cases) -> None:
    for case in pick(cases, "seqeval entities"):  # there ends are inclusive
        found = [[s.label, s.start, s.end - 1] for s in spans(case["tags"], "iob2")]
        assert found == case["expected"]


def test_performance_measure(cases: Cases) -> None:
    for case in pick(cases, "performance_measure"):
        found = score_tokens(case["y_true"], case["y_pred"]).confusion
        tags, counts = found.names, found.table()
        assert tags[0] == "O"
        found = {
            "TP": counts.trace() - counts[0, 0],
            "FP": counts.sum() - counts.trace(),
            "FN": counts[1:, 0].sum(),
            "TN": counts[0, 0],
        }
        assert found == case["expected"]


def test_shared_task_figures(cases: Cases) -> None:
    """The systems' output is not in the data; their counts must give their figures."""
    for case in pick(cases, "entity P/R/F1"):
        want = case["expected"]
        found = prf(want["correct"], want["found"], want["gold"])
        assert [round(100 * float(x), 2) for x in found] == [
            want["precision"], want["recall"], want["f1"],
        ]  # fmt: skip


def read(path: Path) -> list[list[str]]:
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    lines = ([line for line in block.split("\n") if line] for block in blocks)
    return [[line.split("\t")[1] for line in block] for block in lines if block]


@pytest.mark.parametrize(
    ("name", "sentences", "entities", "forbidden"),
    [
        ("wnut17/train", 3394, 1975, 0),
        ("wnut17/dev", 1009, 836, 0),
        ("weibo_ner/train", 1350, 1885, 10),
        ("weibo_ner/dev", 270, 389, 0),
        ("weibo_ner/test", 270, 414, 4),
    ],
)
def test_real_corpora(data: Path, name: str, sentences: int, entities: int, forbidden: int) -> None:
    tags = read(data / f"{name}.conll")
    assert len(tags) == sentences
    assert detect(tags) == "iob2"
    assert sum(len(violations(t, "iob2")) for t in tags) == forbidden
    # What was published counts the tags B.
    assert sum(len(spans(t, "iob2", strict=True)) for t in tags) == entities


def test_quick(data: Path) -> None:
    """Scoring WNUT-17's 1,009 development sentences takes a few times as long as reading them."""
    gold = read(data / "wnut17" / "dev.conll")
    rng = np.random.default_rng(0)
    predicted = [[t if rng.random() < 0.9 else "O" for t in tags] for tags in gold]

    def scored() -> None:
        score_entities(gold, predicted)
        score_tokens(gold, predicted)
        entity_counts(gold, predicted)

    assert cost(scored) < 10 * cost(lambda: read(data / "wnut17" / "dev.conll"))
