"""Numbers of generated text: published figures, sacrebleu and rouge-score, and cases by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from tests.helpers.measuring import generated

from lushan.metrics import rouge
from lushan.metrics.generation import distinct, normalised, repetition
from lushan.metrics.overlap import bleu_counts, chrf_counts
from lushan.metrics.rouge import Tokens, language_of
from lushan.metrics.scores.overlap import bleu, chrf


class Report:
    """The metrics of generated texts."""

    def __init__(self, found: Any, notes: list[str]) -> None:
        self.metrics, self.examples, self.intervals = found.metrics, found.each, found.intervals
        self.counts = {name: one.rows for name, one in found.statistics.items()}
        self.notes = notes


def score(predictions: Any, references: Any, **options: Any) -> Report:
    return Report(*generated(predictions, references, **options))


NAMES = (
    *rouge.KINDS,
    *("bleu", "chrf", "exact_match", "exact_match_normalised", "repetition"),
    *("distinct1", "distinct2"),
)
Cases = list[dict[str, Any]]


def pick(cases: Cases, metric: str) -> Cases:
    found = [case for case in cases if case["metric"].startswith(metric)]
    assert found
    return found


# Published figures


def test_published_bleu(cases: Cases) -> None:
    those = [c for c in pick(cases, "corpus BLEU") if c["options"].keys() <= {"tokenize"}]
    assert len(those) > 3
    for case in those:
        references = list(zip(*case["references_by_set"], strict=True))
        tokenize = case["options"].get("tokenize", "13a")
        counts, _ = bleu_counts(case["hypotheses"], references, tokenize)
        assert float(bleu(counts.sum(0))) == pytest.approx(case["expected"])


def test_published_rouge(cases: Cases) -> None:
    seen = set()
    for case in pick(cases, "rouge"):
        kind = case["metric"].split()[0]
        tokens = Tokens("en", stem="Porter" in case["metric"])
        found = rouge.rouge([case["prediction"]], [[case["target"]]], tokens=tokens)
        assert found[kind][0] == pytest.approx(case["expected"]["f1"], abs=1e-4)
        seen.add(kind)
    assert seen == set(rouge.KINDS)


# The packages themselves

WORDS = ["the", "cat", "cats", "sat", "running", "a", "3.5", "mat.", "Mat", "庐山", "明月", "。"]
texts = (
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
    | st.lists(st.sampled_from(["a", "b"]), max_size=9).map(" ".join)  # matches of four, too
    | st.text(max_size=12)
)
examples = st.lists(
    st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=6
)


def by_place(references: list[list[str]]) -> list[list[str | None]]:
    most = max(map(len, references))
    return [[r[i] if i < len(r) else None for r in references] for i in range(most)]


@given(examples, st.sampled_from(["13a", "zh", "intl", "none", "char"]), st.booleans())
def test_bleu_is_sacrebleus(pairs, tokenize, effective) -> None:
    predictions, references = [p for p, _ in pairs], [r for _, r in pairs]
    theirs = BLEU(tokenize=tokenize, effective_order=effective, force=True)
    counts, signature = bleu_counts(predictions, references, tokenize)
    want = theirs.corpus_score(predictions, by_place(references))
    found = float(bleu(counts.sum(0), effective_order=effective))
    assert found == pytest.approx(want.score, abs=1e-9)
    if effective:
        alone = [theirs.sentence_score(p, r).score for p, r in pairs]
        assert bleu(counts, effective_order=True) == pytest.approx(alone, abs=1e-9)
    else:
        assert signature == str(theirs.get_signature())


@given(examples)
def test_chrf_is_sacrebleus(pairs) -> None:
    predictions, references = [p for p, _ in pairs], [r for _, r in pairs]
    counts, _ = chrf_counts(predictions, references)
    want = CHRF().corpus_score(predictions, by_place(references)).score
    assert float(chrf(counts.sum(0))) == pytest.approx(want, abs=1e-9)


@given(examples, st.booleans())
def test_rouge_is_rouge_scores(pairs, stem) -> None:
    scorer = RougeScorer(list(rouge.KINDS), use_stemmer=stem)
    predictions, references = [p for p, _ in pairs], [r for _, r in pairs]
    found = rouge.rouge(predictions, references, tokens=Tokens("en", stem=stem))
    for i, (prediction, several) in enumerate(pairs):
        for kind in rouge.KINDS:
            best = max(scorer.score(r, prediction)[kind].fmeasure for r in several)
            assert found[kind][i] == pytest.approx(best)


def test_the_whole_report_is_theirs() -> None:
    predictions = ["the cat sat on the mat", "a dog ran", "he reads 3.5 books"]
    references = [
        ["the cat is on the mat.", "a cat sat"],
        ["a dog runs"],
        ["he reads", "she reads"],
    ]
    report = score(predictions, references)
    theirs = sacrebleu.corpus_bleu(predictions, by_place(references), force=True)
    assert report.metrics["bleu"] == pytest.approx(theirs.score)
    assert report.metrics["chrf"] == pytest.approx(
        sacrebleu.corpus_chrf(predictions, by_place(references)).score
    )
    for i, (prediction, several) in enumerate(zip(predictions, references, strict=True)):
        assert report.examples["bleu"][i] == pytest.approx(
            sacrebleu.sentence_bleu(prediction, several).score
        )
        assert report.examples["chrf"][i] == pytest.approx(
            sacrebleu.sentence_chrf(prediction, several).score
        )
    assert list(report.metrics) == list(NAMES)
    assert "tok:13a" in report.notes[0]
    assert "nrefs:var" in report.notes[0]


# Chinese


def test_chinese_is_scored_by_characters() -> None:
    tokens = Tokens("zh")
    assert tokens.tokenize("床前BERT-2明月 光，疑是。") == [*"床前", "bert", "2", *"明月光疑是"]
    report = score(["床前明月"], [["床前看月光"]])
    # Three of four and five characters: 床 前 月; one pair of three and four: 床前.
    assert report.metrics["rouge1"] == pytest.approx(2 * 3 / 9)
    assert report.metrics["rouge2"] == pytest.approx(2 * 1 / 7)
    assert report.metrics["rougeL"] == pytest.approx(2 * 3 / 9)
    assert "tok:zh" in report.notes[0]
    assert report.notes[1] == "ROUGE zh, without stemmer"


@pytest.mark.parametrize(
    ("several", "language"),
    [
        (["a 月"], "zh"),
        (["ab 月"], "en"),
        (["かな"], "zh"),
        (["。。", "12"], "en"),
        (["明月", *["abc"] * 9], "zh"),
        (["明月", *["abc"] * 10], "en"),
        ([], "en"),
    ],
)
def test_which_language(several: list[str], language: str) -> None:
    assert language_of(several) == language


def test_a_language_that_is_named_is_taken() -> None:
    assert score(["月光"], [["月光"]], language="en").metrics["rouge1"] == 0
    assert score(["the 月"], [["the 月 of"]], language="zh").metrics["rouge1"] == pytest.approx(0.8)
    assert "tok:intl" in score(["a"], [["a"]], tokenize="intl").notes[0]


def test_the_stemmer() -> None:
    assert score(["running"], [["runs"]]).metrics["rouge1"] == 0
    assert score(["running"], [["runs"]], stem=True).metrics["rouge1"] == 1


# By hand


def test_each_measure_takes_its_own_best_reference() -> None:
    report = score(["a b c"], [["a b x y z", "c b a"]])
    assert report.metrics["rouge1"] == 1  # the second one
    assert report.metrics["rouge2"] == pytest.approx(1 / 3)  # the first one


@pytest.mark.parametrize(
    ("several", "n", "value"),
    [
        (["a b a b"], 1, 2 / 4),
        (["a b a b"], 2, 2 / 3),
        (["a b", "b a", "a b"], 2, 2 / 3),
        (["明月明月。"], 1, 3 / 5),
        (["don't stop, don't"], 1, 3 / 4),
    ],
)
def test_distinct(several: list[str], n: int, value: float) -> None:
    assert distinct(several, n) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("a b c", 0),
        ("a b c d", 0),
        ("a a a a a", 1 / 2),
        ("a b c d a b c d", 1 / 5),
        ("床前明月床前明月", 1 / 5),
        ("!" * 8, 4 / 5),
    ],
)
def test_repetition(text: str, value: float) -> None:
    assert repetition(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("one", "other", "exact", "loose"),
    [
        (" a b\n", "a b", 1, 1),
        ("A, b!", "a b", 0, 1),
        ("ＡＢＣ，明 月", "abc 明 月。", 0, 1),
        ("a  b", "a b", 0, 1),
        ("ab", "a b", 0, 0),
        ("", "a", 0, 0),
    ],
)
def test_exact_match(one: str, other: str, exact: int, loose: int) -> None:
    metrics = score([one], [["another", other]]).metrics
    assert metrics["exact_match"] == exact
    assert metrics["exact_match_normalised"] == loose


def test_normalised() -> None:
    assert normalised("  The\tCAT — “sat” 。") == "the cat sat"


def test_empty_texts() -> None:
    report = score(["", "a b"], [["a"], ["", "c"]])
    for name in (*rouge.KINDS, "bleu", "chrf", "exact_match", "repetition"):
        assert report.metrics[name] == 0
    assert report.notes[2:] == [
        "1 of 2 generated texts are empty",
        "1 of 3 references have nothing that ROUGE counts: it only counts a to z, digits and CJK "
        "characters",
    ]
    assert score([""], [[""]]).metrics["exact_match"] == 1
    assert score([""], [[""]]).metrics["rouge1"] == 0
    assert math.isnan(score([""], [[""]]).metrics["distinct1"])


def test_no_texts() -> None:
    report = score([], [])
    assert all(map(math.isnan, report.metrics.values()))
    assert all(math.isnan(low) for low, _ in report.intervals.values())
    assert report.notes == []


@pytest.mark.parametrize("references", [[["a"], ["b"]], [[]], ["a"]])
def test_references_that_do_not_fit(references: Any) -> None:
    with pytest.raises(ValueError, match="references"):
        score(["a"], references)


# Intervals


@pytest.mark.slow
def test_intervals_are_those_of_the_naive_loop() -> None:
    rng = np.random.default_rng(0)
    words = np.array(WORDS[:9])
    references = [
        [" ".join(rng.choice(words, 8)) for _ in range(n)] for n in rng.integers(1, 4, 30)
    ]
    predictions = [" ".join(rng.choice([*r[0].split(), "cat"], 7)) for r in references]
    report = score(predictions, references)
    found = report.intervals
    none_is_right = {"exact_match", "exact_match_normalised"}
    assert set(found) == set(NAMES) - {"distinct1", "distinct2"} - none_is_right
    draws = [rng.integers(30, size=30) for _ in range(200)]
    for name, metric in (("bleu", BLEU(force=True)), ("chrf", CHRF())):
        values = [
            metric.corpus_score(
                [predictions[i] for i in drawn], by_place([references[i] for i in drawn])
            ).score
            for drawn in draws
        ]
        want = np.quantile(values, [0.025, 0.975])
        assert found[name] == pytest.approx(tuple(want), rel=0.15)
    for name, (low, high) in found.items():
        assert low <= report.metrics[name] <= high
    want = np.quantile([report.examples["rouge1"][d].mean() for d in draws], [0.025, 0.975])
    assert found["rouge1"] == pytest.approx(tuple(want), rel=0.15)


def test_the_corpus_follows_from_the_examples() -> None:
    report = score(["a b c d e", "a b"], [["a b c d f"], ["b a"]])
    for kind in rouge.KINDS:
        assert report.metrics[kind] == pytest.approx(report.examples[kind].mean())
    assert report.metrics["bleu"] == pytest.approx(float(bleu(report.counts["bleu"].sum(0))))
    again = np.array([[1.0, 1.0], [2.0, 0.0]]) @ report.counts["bleu"]
    assert bleu(again) == pytest.approx(
        [report.metrics["bleu"], score(["a b c d e"], [["a b c d f"]]).metrics["bleu"]]
    )


@pytest.mark.slow
def test_neither_torch_nor_transformers_is_imported() -> None:
    code = (
        "import sys; from lushan.metrics.scores.overlap import bleu; bleu([[1] * 10]);"
        "import lushan.metrics.generation, lushan.study.compare;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchmetrics', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
