"""Questions from SQuAD's files through every command: trained, asked, exported, compared, shown."""

from __future__ import annotations

import io
import json

import pytest
from tests.conftest import trained
from tests.faults import jobs
from tests.helpers import corpora

from lushan.inference.load import load
from lushan.inference.reevaluate import evaluate

OPTIONS = ["task=qa", "data=squad", "optimizer.lr=3e-3", "trainer.max_epochs=6", "name=asked"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return corpora.questions(tmp_path_factory.mktemp("squad"))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    overrides = [*OPTIONS, "seed=1", *corpora.overrides(files)]
    return trained(tmp_path_factory.mktemp("asked"), *overrides)


@pytest.fixture(scope="module")
def other(run, files):
    folder = run.parents[2]
    return trained(folder, *OPTIONS, "seed=2", *corpora.overrides(files))


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def flat(file):
    """A file's rows, one a line."""
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    return [
        {"context": paragraph["context"], **asked}
        for article in articles
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


@pytest.fixture(scope="module")
def stored(run):
    return lines((run / "predictions" / "test.jsonl").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_nested_files_are_read_whole_and_impossible_questions_have_no_answer(stored, files):
    wanted = flat(files["test"])
    assert [row["id"] for row in stored] == [row["id"] for row in wanted]
    for row, asked in zip(stored, wanted, strict=True):
        texts = [answer["text"] for answer in asked["answers"]]
        assert row["gold"] == (texts or [""])
        assert (texts == []) == asked["is_impossible"]
        assert row["context"] == asked["context"]
        assert row["predicted"] == row["context"][row["start"] : row["end"]]


def test_the_threshold_of_validation_is_stored_and_used(run, stored, cli_inside, tmp_path):
    state = json.loads((run / "task.json").read_text(encoding="utf-8"))["state"]
    assert state["has_unanswerable"]
    assert state["threshold"] != 0
    loaded = load(run)
    assert loaded.task.threshold == state["threshold"]
    again = evaluate(run)
    assert again["records"] == stored
    assert again["metrics"]["test/f1"] == pytest.approx(
        sum(row["f1"] for row in stored) / len(stored)
    )
    # With another one the same spans compete, and nothing or everything is answered.
    copied = {}
    for threshold in (-1e9, 1e9):
        loaded.task.threshold = threshold
        table = loaded.task.demo().splits["test"]
        from lushan.inference.prediction import predict_rows

        copied[threshold] = predict_rows(loaded, table)
    assert all(row["answer"] == "" for row in copied[-1e9])
    assert all(row["answer"] for row in copied[1e9])


def asked(done):
    assert done.code == 0, done.err
    return lines(done.out)


def test_every_way_of_asking_gives_the_same_answers(
    run, stored, files, cli_inside, tmp_path, monkeypatch
):
    wanted = [{name: row[name] for name in ("id", "start", "end")} for row in stored]

    def short(rows):
        return [{name: row[name] for name in ("id", "start", "end")} for row in rows]

    nested = asked(cli_inside("predict", run, "--input", files["test"]))
    assert short(nested) == wanted
    assert [row["answer"] for row in nested] == [row["predicted"] for row in stored]
    assert all(row["n_best"][0]["text"] for row in nested)
    rows = [{k: row[k] for k in ("id", "question", "context")} for row in flat(files["test"])]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    shown = cli_inside("predict", run, "--input", tmp_path / "x.jsonl")
    assert (shown.code, "data.each=null" in shown.err) == (2, True), shown.err
    assert nested == asked(
        cli_inside("predict", run, "--input", tmp_path / "x.jsonl", "data.each=null")
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert nested == asked(cli_inside("predict", run, "--input", "-", "data.each=null"))


def test_a_line_of_plain_text_is_no_question(run, cli_inside, tmp_path):
    (tmp_path / "x.txt").write_text("Where?\n", encoding="utf-8")
    done = cli_inside("predict", run, "--input", tmp_path / "x.txt")
    assert done.code == 2
    assert "question, context" in done.err


def test_what_is_exported_answers_alike(run, files, cli_inside, tmp_path):
    done = cli_inside("export", run, "there")
    assert done.code == 0, done.err
    assert "matches the run's model" in done.out
    config = json.loads((tmp_path / "there" / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForQuestionAnswering"]
    own = asked(cli_inside("predict", run, "--input", files["test"]))
    assert asked(cli_inside("predict", tmp_path / "there", "--input", files["test"])) == own


def test_runs_are_compared_tabled_and_reported(run, other, cli_inside, tmp_path):
    compared = cli_inside("compare", run, other, "--metric", "f1,exact_match")
    assert compared.code == 0, compared.err
    assert "test/exact_match" in compared.out
    tabled = cli_inside("table", run, other, "--rows", "task", "--over", "seed")
    assert tabled.code == 0, tabled.err
    assert "test/f1" in tabled.out
    shown = cli_inside("report", run, other, "-o", "site")
    assert shown.code == 0, shown.err
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")]
    data = [p.read_text(encoding="utf-8") for p in (tmp_path / "site").rglob("*.js*")]
    assert any("Where does Bob sleep?" in text for text in [*pages, *data])


STUDY = """\
title: Does a stride help?
base: [{base}]
axes:
  stride: {{none: [data.stride=null], four: [data.stride=4]}}
seeds: [1]
tables:
  - {{rows: stride, metrics: [test/f1, test/exact_match]}}
claims:
  - "stride=four: test/f1 >= 0 %"
"""


@pytest.mark.slow
def test_a_study(files, cli, cli_inside, tmp_path):
    from tests.helpers.command import SMALL

    base = [*SMALL, *OPTIONS[:2], "name=asked", "data.max_length=32", *corpora.overrides(files)]
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(base=", ".join(base)), encoding="utf-8")
    done = cli("study", "run", file)
    assert done.code == 0, done.err
    assert "2 runs: 2 complete" in done.out
    shown = cli_inside("study", "table", file)
    assert shown.code == 0, shown.err
    assert "test/f1" in shown.out
    assert "**holds**" in shown.out or "holds" in shown.out


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    files = corpora.questions(tmp_path)
    more = [*OPTIONS[:3], "data.limit=null", "data.batch_examples=2", *corpora.overrides(files)]

    def all_of(folder):
        result, run = jobs.result(folder), jobs.run_folder(folder)
        names = ("metrics", "ci", "reports", "steps", "best_step", "final_weights_sha256")
        kept = {path.name: path.read_bytes() for path in sorted((run / "predictions").iterdir())}
        return [result[name] for name in names], kept, (run / "task.json").read_bytes()

    killed = jobs.config(tmp_path / "killed", *more)
    assert jobs.execute(killed, jobs.at_step(8)) == 137
    assert jobs.execute(killed) == 0
    assert jobs.execute(jobs.config(tmp_path / "alone", *more)) == 0
    assert all_of(tmp_path / "killed") == all_of(tmp_path / "alone")


def test_a_wrong_place_is_refused_before_anything_is_trained(cli_inside, tmp_path):
    rows = [{"context": "Anna lives in Paris", "question": "Who?"}] * 2
    places = [0, 3]
    text = "\n".join(
        json.dumps({**row, "answers": [{"text": "Anna", "answer_start": place}]})
        for row, place in zip(rows, places, strict=True)
    )
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    done = cli_inside("train", "task=qa", "data=jsonl", "data.train=train.jsonl", "test=false")
    assert done.code == 2
    assert "train.jsonl:2" in done.err or "line 2" in done.err, done.err
    assert "answer_start counts characters" in done.err


def test_articles_stay_on_one_side_and_real_questions_align(data_root, cli_inside):
    from lushan.data.formats import Jsonl
    from lushan.tasks.qa import QUESTIONS

    folder = data_root / "xquad"
    if not folder.is_dir():
        pytest.skip("no xquad")
    from lushan.data.answers import require_places

    for name in ("en.jsonl", "zh.jsonl"):
        source = Jsonl(dir=str(folder), train=name, validation=0.1, test=0.2, group="title")
        corpus = source.read(QUESTIONS)
        sizes = {split: table.num_rows for split, table in corpus.splits.items()}
        assert sum(sizes.values()) == 1190
        for table in corpus.splits.values():
            require_places(table, "answers", "context")
        contexts = [set(t.column("context").to_pylist()) for t in corpus.splits.values()]
        assert not contexts[0] & contexts[1] | contexts[0] & contexts[2]
