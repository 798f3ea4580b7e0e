"""Recommendation from training to the command: what is ranked, beside what, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.conftest import trained

from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.formats import Interactions
from lushan.data.item_fields import HISTORIES
from lushan.errors import UserError
from lushan.inference import load, prediction, recommendation, reevaluate
from lushan.models.item_scores import EASE, ItemKNN, Markov, Popularity
from lushan.models.recommender import ranks_of
from lushan.run.identity import RESOLVED

SMALL = (
    *("task=recommend", "model.config.n_embd=16", "model.config.n_layer=1"),
    *("data.batch_tokens=null", "data.batch_examples=20", "optimizer.lr=1e-2"),
    *("trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=4"),
)


def result_of(run):
    return json.loads((run / "result.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained recommender. Look, do not touch."""
    return trained(tmp_path_factory.mktemp("recommend"), "task.cold=true", small=SMALL)


def ndcg(scores, histories, targets, k=10):
    """NDCG@k by its definition, one item right for each user."""
    values = []
    for row, had, right in zip(scores, histories, targets, strict=True):
        left = np.setdiff1d(np.arange(len(row)), had)
        before = (row[left] > row[right]) | ((row[left] == row[right]) & (left < right))
        rank = 1 + before.sum()
        values.append(1 / np.log2(1 + rank) if rank <= k else 0.0)
    return values


def rows_of(corpus, split):
    number = corpus.items.numbers()
    rows = corpus.splits[split].to_pylist()
    return (
        [[number[i] for i in row["history"]] for row in rows],
        [number[row["target"][0]] for row in rows],
    )


@pytest.mark.slow
def test_baselines_stand_in_the_same_table_and_are_what_they_are_called(run):
    stored = result_of(run)
    corpus = source_of(load.config_of(run)).read(HISTORIES)
    histories, targets = rows_of(corpus, "test")
    for name, made in (
        ("popularity", Popularity()),
        ("itemknn", ItemKNN()),
        ("ease", EASE()),
        ("markov", Markov()),
    ):
        made.fit(histories, corpus.items.texts)
        values = ndcg(made.scores(histories), histories, targets)
        assert stored["metrics"][f"test/ndcg_10_{name}"] == pytest.approx(np.mean(values))
        assert any(f"test: ndcg_10 against {name}: " in note for note in stored["notes"])


def test_metrics_are_those_of_the_full_ranking_without_what_was_had(run):
    loaded, task = recommendation.load_recommender(run)
    corpus = source_of(loaded.cfg).read(HISTORIES)
    histories, targets = rows_of(corpus, "test")
    asked = corpus.splits["test"].column("history").to_pylist()
    values = ndcg(recommendation.scores_of(loaded, task, asked), histories, targets)
    assert result_of(run)["metrics"]["test/ndcg_10"] == pytest.approx(np.mean(values), abs=1e-3)
    again = reevaluate.evaluate(run, split="test")
    assert again["metrics"]["test/ndcg_10"] == pytest.approx(
        result_of(run)["metrics"]["test/ndcg_10"]
    )
    for record in again["records"]:
        assert not set(record["top"]) & set(record["history"])


def test_a_run_computes_in_bfloat16_where_the_processor_does(run, monkeypatch):
    loaded, task = recommendation.load_recommender(run)
    asked = [["b0", "b1"], ["b2"]]
    whole = recommendation.scores_of(loaded, task, asked)
    monkeypatch.setattr(prediction, "best_precision", lambda _: "bf16-mixed")
    loaded.cfg["trainer"]["precision"], loaded.cfg[RESOLVED] = "auto", {}
    half = recommendation.scores_of(loaded, task, asked)
    assert half.dtype == whole.dtype == np.float32
    assert not np.array_equal(half, whole)
    for row in (0, 1):  # items differ in more than three digits
        assert len(np.unique(half[row])) == len(np.unique(whole[row]))
    np.testing.assert_allclose(half, whole, atol=0.1 * np.abs(whole).max())


def test_the_command_recommends_what_was_not_had(run, cli_inside):
    done = cli_inside("recommend", str(run), "--history", "River 1; river 2", "--json")
    found = json.loads(done.out)
    titles = [item["title"] for item in found["items"]]
    assert len(titles) == 10
    assert not {"River 1", "River 2"} & set(titles)
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    shown = cli_inside("recommend", str(run), "--history", "River 1; b1", "--top-k", "3").out
    assert [line.split("  ")[-1] for line in shown.strip().splitlines()] == titles[:3]


def test_a_user_has_all_of_its_history(run, cli_inside):
    found = json.loads(cli_inside("recommend", str(run), "--user", "reader 7", "--json").out)
    corpus = source_of(load.config_of(run)).read(HISTORIES)
    row = next(r for r in corpus.splits["test"].to_pylist() if r["user"] == "reader 7")
    assert [item["item"] for item in found["history"]] == [*row["history"], *row["target"]]
    assert not {i["item"] for i in found["items"]} & {i["item"] for i in found["history"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--history", "Rivr 1"), ["no item has this title", "River 1"]),
        (("--history", "River"), ["7 items have this title"]),
        (("--history", " ; "), ["a history needs at least one item"]),
        (("--user", "reader 700"), ["unknown user", "reader"]),
        ((), ["exactly one of them is required"]),
        (("--user", "a", "--history", "b"), ["exactly one of them is required"]),
        (("--split", "train"), ["not used for training"]),
    ],
)
def test_what_cannot_be_recommended_for_is_refused(run, cli_inside, options, words):
    done = cli_inside("recommend", str(run), *options)
    assert done.code == 2
    for word in words:
        assert word in done.err


def test_predict_reads_histories_and_counts_what_it_does_not_know(run, cli_inside, tmp_path):
    rows = [{"user": "x", "history": ["b0", "b1"]}, {"user": "y", "history": ["b7", "nothing"]}]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = cli_inside("predict", str(run), "--input", "new.jsonl")
    assert done.code == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [row["user"] for row in found] == ["x", "y"]
    assert all(len(row["top"]) == 10 for row in found)
    assert [row.get("unknown") for row in found] == [None, ["nothing"]]
    assert "1 item of the histories is not in the catalogue of the run" in done.err
    assert "truncated" not in done.err
    long = {"user": "x", "history": ["b0"] * 300}
    (tmp_path / "long.jsonl").write_text(json.dumps(long))
    done = cli_inside("predict", str(run), "--input", "long.jsonl")
    assert "1 of 1 histories is truncated to the last 127 items" in done.err
    assert "--stride" not in done.err
    (tmp_path / "bad.jsonl").write_text('{"user": "x", "history": "b0"}')
    done = cli_inside("predict", str(run), "--input", "bad.jsonl")
    assert done.code == 2
    assert "history must be a list of items" in done.err
    assert "bad.jsonl:1" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("by", ["id", "text", "both"])
def test_export_is_a_language_model_of_items(by, tmp_path, cli_inside):
    made = trained(tmp_path, f"task.by={by}", "trainer.max_epochs=1", small=SMALL)
    done = cli_inside("export", str(made), str(tmp_path / "exported"))
    assert done.code == 0, done.err
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "exported")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    read = tokenizer(["b0", "b1"], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**read).logits[0, -1]
    loaded, task = recommendation.load_recommender(made)
    scores = recommendation.scores_of(loaded, task, [["b0", "b1"]])[0]
    np.testing.assert_allclose(logits.numpy()[task.tokens], scores, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_cold_items_are_found_by_their_texts_and_counted_apart(tmp_path):
    lines = ["user,item,time"]
    for user in range(12):
        kind = ("r", "b")[user % 2]
        lines += [f"u{user},{kind}{n},{n}" for n in range(5)]
        lines += [f"u{user},{kind}new,9"]  # in the test alone
    (tmp_path / "x.csv").write_text("\n".join(lines))
    items = ["item,title"]
    for kind, name in (("r", "red"), ("b", "blue")):
        items += [f"{kind}{n},{name} thing" for n in (*range(5), "new")]
    (tmp_path / "items.csv").write_text("\n".join(items))
    places = ("data=interactions", f"data.dir={tmp_path}", "data.train=x.csv")
    made = trained(
        tmp_path,
        *(*places, "data.items=items.csv", "task.by=text", "task.cold=true"),
        *("model.config.embd_pdrop=0", "model.config.resid_pdrop=0", "trainer.max_epochs=20"),
        small=SMALL,
    )
    metrics = result_of(made)["metrics"]
    # Of six items of a kind five were had: the new one is the only one left.
    assert metrics["test/hr_10_cold"] == metrics["test/hr_1"] == 1.0
    assert metrics["val/hr_10_cold"] == 1.0


def test_without_cold_items_their_metrics_are_undefined(run):
    metrics = result_of(run)["metrics"]
    assert metrics["test/hr_10_cold"] is None or np.isnan(metrics["test/hr_10_cold"])
    assert metrics["test/hr_10"] > 0


@pytest.mark.slow
def test_options_of_candidates_need_a_split(run, cli_inside):
    for more in (("--output", "x.jsonl"),):
        done = cli_inside("recommend", str(run), "--history", "b0", *more)
        assert (done.code, "requires --split" in done.err) == (2, True), done.err
    done = cli_inside("recommend", str(run), "--split", "test", "--json")
    assert (done.code, "writes JSON lines" in done.err) == (2, True), done.err


def test_data_without_items_are_refused(tmp_path):
    rows = [{"user": "u", "history": ["a"], "target": ["b"]}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ("task=recommend", "data=jsonl", f"data.train={tmp_path}/x.jsonl")
    cfg = check(compose(list(options)))
    task = build(cfg["task"])
    with pytest.raises(UserError, match="this task needs the catalogue"):
        task.prepare(source_of(cfg).read(task.fields))


def test_texts_that_are_not_there_are_asked_for(tmp_path):
    (tmp_path / "x.csv").write_text("user,item,time\n" + "".join(f"a,{n},{n}\n" for n in range(5)))
    task = build(check(compose(["task=recommend"]))["task"])
    corpus = Interactions(dir=str(tmp_path), train="x.csv").read(HISTORIES)
    with pytest.raises(UserError, match="the items have no texts"):
        task.prepare(corpus)


def test_long_sequences_are_learned_whole_and_read_from_their_end():
    task = build(check(compose(["task=recommend"]))["task"])
    corpus = type(task).demo()
    task.prepare(corpus)
    from lushan.tasks.batches import Limits
    from lushan.text.item_vocabulary import items

    task.use(items(texts=corpus.train_texts, cache_dir=None))
    rows = corpus.splits["train"].to_pydict()
    learned = task.encode(rows, 0, None, task.limits(Limits(4), "train"))
    drawn = task.transform(
        [{n: np.asarray(v[i]) for n, v in learned.items()} for i in range(len(learned["length"]))],
        1,
        training=True,
    )
    terms = sum(row["targets"] for row in drawn)
    assert terms == sum(len(h) + 1 for h in rows["history"])
    assert sum(learned["cut"]) == 0
    read = task.encode(rows, 0, None, task.limits(Limits(4), "test"))
    assert len(read["length"]) == len(rows["history"])
    assert max(read["length"]) == 4
    assert sum(read["cut"]) == len(rows["history"])


def test_even_scores_stand_in_the_order_of_items():
    scores = torch.tensor([[1.0, 2.0, 2.0, 0.0]])
    assert ranks_of(scores, [[2, 0]]) == [[2, 3]]
    assert ranks_of(scores, [[1]]) == [[1]]


@pytest.mark.slow
def test_candidates_are_ranked_again(run, tmp_path, cli_inside):
    for split in ("validation", "test"):
        done = cli_inside(
            *("recommend", str(run), "--split", split, "--output", f"{split}.jsonl"),
            *("--top-k", "15"),
        )
        assert done.code == 0, done.err
        assert "120 lists" in done.err
    made = trained(
        tmp_path,
        *("data=jsonl", f"data.dir={tmp_path}", "data.train=validation.jsonl"),
        *("data.validation=0.2", "data.test=test.jsonl", "trainer.max_epochs=20"),
        "task.baselines=[model,ease,markov]",
        small=("task=rank", *SMALL[3:]),
    )
    metrics, first = result_of(made)["metrics"], result_of(run)["metrics"]
    # Candidates hold the best ten of each: ranked by one of them, they are as it ranked all.
    for name in ("ease", "markov"):
        assert metrics[f"test/ndcg_10_{name}"] == pytest.approx(first[f"test/ndcg_10_{name}"])
    assert metrics["test/ndcg_10_model"] == pytest.approx(first["test/ndcg_10"], abs=1e-3)
    assert metrics["test/ndcg_10"] > metrics["test/ndcg_10_model"]
    done = cli_inside("predict", str(made), "--input", "test.jsonl")
    assert len(done.out.splitlines()) == 120


@pytest.mark.slow(60)
@pytest.mark.long
def test_known_figures_of_movielens(data_root):
    """Leave-last-out, full ranking: as published for this file, to their three digits."""
    folder = str(data_root / "ml_latest_small")
    source = Interactions(dir=folder, train="ratings.csv.gz", items="movies.csv")
    corpus = source.read(HISTORIES)
    histories, targets = rows_of(corpus, "test")
    known = {
        Popularity: (0.043, 0.019),
        ItemKNN: (0.071, 0.033),
        EASE: (0.089, 0.040),
        Markov: (0.074, 0.047),
    }
    for kind, (hits, gain) in known.items():
        made = kind()
        made.fit(histories, corpus.items.texts)
        values = np.array(ndcg(made.scores(histories), histories, targets))
        assert (values > 0).mean() == pytest.approx(hits, abs=0.0021), kind
        assert values.mean() == pytest.approx(gain, abs=0.0011), kind
