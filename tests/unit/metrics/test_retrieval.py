"""Metrics of rankings, against ir-measures where it is installed and formulas written out."""

import numpy as np
import pytest

from lushan.metrics.families.retrieval import metrics
from lushan.metrics.rankings import ranking
from lushan.text import bm25

CHANCE = np.random.default_rng(0)
COUNTS = CHANCE.integers(1, 6, 40)
RANKS = [sorted(CHANCE.choice(30, n, replace=False) + 1) for n in COUNTS]


def by_hand(name, ranks):
    measure, _, k = name.partition("_")
    inside = [r for r in ranks if not k or r <= int(k)]
    if measure == "recall":
        return len(inside) / len(ranks)
    if measure == "mrr":
        return 1 / inside[0] if inside else 0.0
    if measure == "ndcg":
        best = range(1, min(len(ranks), int(k)) + 1)
        return sum(1 / np.log2(1 + r) for r in inside) / sum(1 / np.log2(1 + r) for r in best)
    return float(np.mean([(i + 1) / r for i, r in enumerate(ranks)]))


@pytest.mark.parametrize("name", metrics())
def test_a_metric_is_what_its_formula_says(name):
    metric = metrics()[name]
    rows = np.asarray(metric.statistics(RANKS, RANKS))
    assert rows[:, 0] == pytest.approx([by_hand(name, ranks) for ranks in RANKS])
    assert metric.example_statistics(RANKS[3], None) == pytest.approx(rows[3])
    metric.update(RANKS[:7], RANKS[:7])
    metric.update(RANKS[7:], RANKS[7:])
    assert float(metric.compute()) == pytest.approx(rows[:, 0].mean())


def test_they_are_those_of_ir_measures():
    pytest.importorskip("pytrec_eval")
    library = pytest.importorskip("ir_measures")
    from ir_measures import AP, RR, R, nDCG

    theirs = {
        "recall_1": R @ 1,
        "recall_10": R @ 10,
        "mrr_10": RR @ 10,
        "ndcg_10": nDCG @ 10,
        "map": AP,
    }
    run = {str(q): {f"d{r:02}": 100.0 - r for r in range(1, 31)} for q in range(len(RANKS))}
    qrels = {str(q): {f"d{r:02}": 1 for r in ranks} for q, ranks in enumerate(RANKS)}
    found = library.calc_aggregate(list(theirs.values()), qrels, run)
    for name, measure in theirs.items():
        metric = metrics()[name]
        ours = metric.of_rows(RANKS, RANKS, metric.statistics(RANKS, RANKS))
        assert ours == pytest.approx(found[measure]), name


def test_ranks_of_right_documents():
    scores = np.array([[0.1, 0.9, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]])
    assert ranking(scores, [[2, 0], [3]]) == [[2, 4], [4]]
    assert ranking(scores, [[3], [0, 1]]) == [[3], [1, 2]]
    assert ranking(np.zeros((0, 4)), []) == []


TEXTS = [
    "The lake lies north of the old mill, and the mill is old.",
    "庐山在九江，九江在江西。",
    "A mill by the sea",
    "",
    "北京 is a city: Beijing",
]


def test_chinese_is_counted_by_characters_and_pairs():
    assert bm25.terms("ＡBC 庐山在 x_1") == ["abc", "庐", "山", "在", "庐山", "山在", "x", "1"]


def test_emoji_are_words():
    assert bm25.terms("Taxi🚕🚕 ❤️ 👍🏽 ok!") == ["taxi", "🚕", "🚕", "❤", "👍", "ok"]
    assert bm25.fit(["no taxi", "🚕", "🅿️"]).scores(["🚕 🅿"]).argmax() > 0


def test_bm25_is_what_its_formula_says():
    fitted = bm25.fit(TEXTS)
    (scores,) = fitted.scores(["mill mill lake nowhere"])
    split = [bm25.terms(text) for text in TEXTS]
    mean = np.mean([len(terms) for terms in split])

    def of(term, document):
        count = document.count(term)
        among = sum(term in d for d in split)
        idf = np.log(1 + (len(TEXTS) - among + 0.5) / (among + 0.5))
        return idf * count / (count + 1.5 * (0.25 + 0.75 * len(document) / mean))

    expected = [2 * of("mill", d) + of("lake", d) for d in split]
    assert scores == pytest.approx(expected, rel=1e-5)
    assert fitted.scores(["nowhere"]).tolist() == [[0.0] * len(TEXTS)]
    assert bm25.fit([]).scores(["x"]).shape == (1, 0)


def test_bm25_is_that_of_bm25s():
    library = pytest.importorskip("bm25s")
    theirs = library.BM25(k1=1.5, b=0.75, method="lucene")
    theirs.index([bm25.terms(text) for text in TEXTS], show_progress=False)
    for query in ("mill mill lake", "九江", "city"):
        expected = theirs.get_scores(bm25.terms(query))
        assert bm25.fit(TEXTS).scores([query])[0] == pytest.approx(expected, rel=1e-5)
