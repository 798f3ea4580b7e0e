"""Reranking: the two losses, what micro-batches change, what a run reports, and how it is used."""

import json

import numpy as np
import pytest
import torch
import transformers
from tests.conftest import trained
from tests.contract.test_tasks import parts
from torch.nn import functional as F

from lushan.checkpoint.weights import load_weights
from lushan.export.hf_folder import export
from lushan.retrieval.reranking import reranking
from lushan.tasks.batches import Limits

ROWS = [
    {"question": "where is the lake", "context": "the lake lies north of the mill"},
    {"question": "what is red", "context": "a barn is red", "negatives": ["a sea is blue"]},
    {"question": "who sings", "context": "birds do", "negatives": ["a barn is red", "the lake"]},
    {"question": "who sings", "context": "people do", "negatives": ["a barn is red", "people do"]},
]
RATED = [
    {"query": row["question"], "document": text, "label": right}
    for row in ROWS
    for text, right in [(row["context"], 1), *((n, 0.2) for n in row.get("negatives", [])[:1])]
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_of(folder, *more, rows=ROWS):
    files = [
        f"data.{split}={write(folder / f'{split}.jsonl', rows)}"
        for split in ("train", "validation", "test")
    ]
    return trained(folder, "task=reranker", "data=jsonl", *files, "trainer.max_epochs=2", *more)


def made(kind):
    task, tokenizer, _, _, model = parts("reranker", "linear")
    task = type(task)(head=task.head, loss=kind)
    task.use(tokenizer)
    rows = {
        "query": [row["question"] for row in ROWS],
        "passage": [row["context"] for row in ROWS],
        "negatives": [row.get("negatives") for row in ROWS],
    }
    features = task.encode(rows, 0, tokenizer, Limits(64))
    batch = task.collate(
        [{n: np.asarray(v[i]) for n, v in features.items()} for i in range(len(ROWS))]
    )
    return task, features, batch, model.eval()


def test_a_row_has_its_passage_and_each_different_negative():
    _, features, batch, _ = made("pointwise")
    assert [len(sizes) for sizes in features["sizes"]] == [1, 2, 3, 2]
    assert features["targets"] == [1, 2, 3, 2]
    assert features["relevance"][2] == [1, 0, 0]
    assert batch["owner"].tolist() == [0, 1, 1, 2, 2, 2, 3, 3]


@torch.no_grad()
def test_listwise_is_the_cross_entropy_of_the_right_one_in_its_row():
    task, features, batch, model = made("listwise")
    assert features["targets"] == [1, 1, 1, 1]
    lists = torch.split(task.pair_scores(model, batch), [1, 2, 3, 2])
    expected = sum(-scores.log_softmax(0)[0] for scores in lists)
    torch.testing.assert_close(task.loss(model, batch), expected)


@torch.no_grad()
def test_pointwise_is_the_binary_cross_entropy_of_each_passage():
    task, _, batch, model = made("pointwise")
    scores = task.pair_scores(model, batch)
    right = torch.tensor([1, 1, 0, 1, 0, 0, 1, 0.0])
    expected = F.binary_cross_entropy_with_logits(scores, right, reduction="sum")
    torch.testing.assert_close(task.loss(model, batch), expected)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["listwise", "pointwise"])
def test_a_run_does_not_depend_on_micro_batches(loss, tmp_path):
    exact = ["trainer.precision=64-true", f"task.loss={loss}"]
    one = run_of(tmp_path, *exact, "name=one", "data.micro_tokens=null")
    two = run_of(tmp_path, *exact, "name=two", "data.micro_tokens=30")
    first, second = (load_weights(run / "checkpoints" / "best") for run in (one, two))
    assert max(float((first[n].double() - second[n].double()).abs().max()) for n in first) < 1e-9


@pytest.mark.slow(1)
def test_a_run_ranks_the_passages_of_each_query_and_reports_bm25(tmp_path):
    result = json.loads((run_of(tmp_path) / "result.json").read_text(encoding="utf-8"))
    expected = {f"test/{n}" for n in ("mrr_10", "ndcg_10", "recall_1", "map", "ndcg_10_bm25")}
    assert expected <= set(result["metrics"])
    notes = " ".join(result["notes"])
    assert "test: 3 of 3 queries also in train" in notes
    assert "1 query has only one passage: nothing to rank" in notes
    assert "against BM25's: " in notes
    assert result["metrics"]["test/recall_1_bm25"] == pytest.approx((1 + 1 + 0) / 3)


@pytest.mark.slow
def test_rows_with_a_relevance_are_learned_one_by_one(tmp_path, cli_inside):
    run = run_of(tmp_path, "task.loss=pointwise", rows=RATED)
    new = write(tmp_path / "new.jsonl", [{"query": "who sings", "document": "birds do"}])
    done = cli_inside("predict", str(run), "--input", str(new))
    assert done.code == 0, done.err
    (row,) = [json.loads(line) for line in done.out.splitlines()]
    assert (row["passage"], row["rank"]) == ("birds do", 1)
    export(run, tmp_path / "exported")
    again = cli_inside("predict", str(tmp_path / "exported"), "--input", str(new))
    (other,) = [json.loads(line) for line in again.out.splitlines()]
    assert other["score"] == pytest.approx(row["score"], abs=1e-4)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "exported")
    assert model.config.num_labels == 1
    # Searches take it as they take a run.
    opened = reranking(str(tmp_path / "exported"), 5, [])
    (score,) = opened.scores("who sings", ["birds do"])
    assert score == pytest.approx(row["score"], abs=1e-4)


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("rows", "more", "problem"),
    [
        (RATED, [], "rows with a relevance need a pointwise loss"),
        (ROWS[:1], [], "there are none"),
        (ROWS[:1], ["task.loss=pointwise"], "every passage of the training split is relevant"),
        (
            [{**ROWS[2], "negatives": ["people do"]}, ROWS[3]],
            [],
            "train.jsonl:1: a negative is a relevant passage",
        ),
        (
            [{**RATED[0], "label": 3}],
            ["task.loss=pointwise"],
            "relevance must be a number from 0 to 1",
        ),
    ],
)
def test_rows_that_teach_nothing_are_refused(rows, more, problem, tmp_path, cli_inside):
    file = write(tmp_path / "train.jsonl", rows)
    words = ["task=reranker", "data=jsonl", f"data.train={file}", f"data.validation={file}", *more]
    done = cli_inside("train", *words)
    assert done.code == 2
    assert problem in done.err


@pytest.mark.slow
def test_a_search_is_reranked_evaluated_and_gives_a_teachers_scores(tmp_path, cli_inside):
    run = run_of(tmp_path)
    write(tmp_path / "corpus.jsonl", [{"text": row["context"]} for row in ROWS])
    cli_inside("index", "build", "corpus.jsonl", "--model", "bm25", "--output", "words")
    again = reranking(str(run), 3, [])
    # None of the documents has a word of the query: BM25 alone finds none, and orders none.
    assert json.loads(cli_inside("search", "words", "who sings", "--json").out) == []
    scores = again.scores("who sings", list(dict.fromkeys(row["context"] for row in ROWS))[:3])
    more = ["--rerank", str(run), "--candidates", "3"]
    done = cli_inside("search", "words", "who sings", *more, "--json", "--top-k", "2")
    assert done.code == 0, done.err
    hits = json.loads(done.out)
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(scores, reverse=True)[:2])
    asked = ["search", "words", "--input", "test.jsonl", "--relevant", "context", *more]
    metrics = json.loads(cli_inside(*asked, "--json").out)
    assert list(metrics) == ["bm25", f"reranked by {run.name}"]
    assert "ndcg_10 of reranked by" in cli_inside(*asked).out
    done = cli_inside(*asked, "--negatives", "1", "--output", "mined.jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "mined.jsonl").read_text().splitlines()]
    one = rows[1]
    expected = again.scores(one["query"], [one["positive"], *one["negatives"]])
    assert one["scores"] == pytest.approx(expected.tolist(), abs=1e-5)
    refused = cli_inside("search", "words", "who sings", *more)
    assert (refused.code, "the 10 documents to return" in refused.err) == (2, True)
