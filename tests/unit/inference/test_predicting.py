"""`lushan predict`: what is long, labelled or of another task than usual."""

import contextlib
import io
import json
import math

import pytest

from lushan.inference import prediction
from lushan.inference.load import load
from lushan.inference.reevaluate import evaluate


def records(done):
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


LONG = f"{'word ' * 600}Anna lives in Paris"


@pytest.fixture
def long(tmp_path):
    (tmp_path / "long.txt").write_text(f"{LONG}\nAnna lives in Paris\n")
    return tmp_path / "long.txt"


def test_what_is_truncated_is_counted_and_reported(ner_run, cli_inside, long):
    done = cli_inside("predict", ner_run, "--input", long)
    first, second = records(done)
    assert first["truncated"] is True
    assert "truncated" not in second
    assert "note: 1 of 2 texts are longer than 512 tokens and were truncated" in done.err
    assert "--stride 128" in done.err


@pytest.mark.parametrize("way", [["--stride", "128"], ["data.stride=64"]])
def test_windows_read_to_the_end(ner_run, cli_inside, long, way):
    done = cli_inside("predict", ner_run, "--input", long, *way)
    first, _ = records(done)
    assert "truncated" not in first
    assert "truncated" not in done.err
    assert "were" not in done.err.replace("read as plain text", "")


@pytest.mark.slow(1)
def test_windows_are_joined_as_evaluation_joins_them(reviews_run, cli_inside, tmp_path):
    text = "a warm and clever film " * 150
    (tmp_path / "long.tsv").write_text(f"sentence\tlabel\n{text}\tgood\n")
    way = ["data.stride=100", f"data.test={tmp_path / 'long.tsv'}"]
    (evaluated,) = evaluate(reviews_run, overrides=way)["records"]
    done = cli_inside("predict", reviews_run, "--input", "long.tsv", "--stride", "100")
    (asked,) = records(done)
    assert asked["probabilities"] == pytest.approx(evaluated["probabilities"], abs=1e-6)
    (cut,) = records(cli_inside("predict", reviews_run, "--input", "long.tsv"))
    assert cut["truncated"] is True
    assert cut["probabilities"] != pytest.approx(asked["probabilities"], abs=1e-6)


@pytest.mark.parametrize("stride", ["-1", "512", "510", "x"])
def test_a_stride_that_is_none(ner_run, cli_inside, long, stride):
    done = cli_inside("predict", ner_run, "--input", long, "--stride", stride)
    assert done.code == 2
    assert "stride" in done.err
    assert "Traceback" not in done.err


def test_a_labelled_file_is_asked_about_like_any_other(ner_run, reviews_run, cli_inside, tmp_path):
    (tmp_path / "x.conll").write_text("Anna B-WHATEVER\nsaw O\nBob x-y-z\n")
    (found,) = records(cli_inside("predict", ner_run, "--input", "x.conll"))
    assert found["text"] == "Anna saw Bob"
    (tmp_path / "x.tsv").write_text("label\tsentence\n?\tdull film\n")
    (found,) = records(cli_inside("predict", reviews_run, "--input", "x.tsv"))
    assert found["text"] == "dull film"
    done = cli_inside("predict", reviews_run, "--input", "x.tsv", "data.text=label")
    assert records(done)[0]["text"] == "?"


def test_language_models_say_how_likely_a_text_is(lm_run, cli_inside, tmp_path):
    (tmp_path / "x.txt").write_text("the film was slow\nslow the was film\n")
    found = records(cli_inside("predict", lm_run, "--input", "x.txt"))
    assert [row["text"] for row in found] == ["the film was slow", "slow the was film"]
    for row in found:
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
    assert [row["loss"] < 50 < row["loss"] * row["tokens"] for row in found] == [True, True]


def test_the_perplexity_is_that_of_evaluation(lm_run, cli_inside, tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": "the film was slow"}) + "\n")
    (asked,) = records(cli_inside("predict", lm_run, "--input", "x.jsonl"))
    node = ["data._target_=lushan.data.formats.Text", f"+data.test={tmp_path / 'x.jsonl'}"]
    evaluated = evaluate(lm_run, overrides=node)
    assert asked["perplexity"] == pytest.approx(evaluated["metrics"]["test/perplexity"], rel=1e-5)


def test_chat_runs_evaluate_dialogues_and_refuse_what_has_no_answer(chat_run, cli_inside, tmp_path):
    printed = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Thank you ."}]
    (tmp_path / "x.jsonl").write_text(json.dumps({"messages": printed}) + "\n")
    (found,) = records(cli_inside("predict", chat_run, "--input", "x.jsonl"))
    assert found["messages"] == printed
    assert found["perplexity"] > 1
    (tmp_path / "y.jsonl").write_text(json.dumps({"messages": printed[:1]}) + "\n")
    done = cli_inside("predict", chat_run, "--input", "y.jsonl")
    assert done.code == 2
    assert "y.jsonl:1" in done.err
    assert "lushan generate" in done.err


def test_pairs_are_written_although_training_wrote_none(pairs_run, cli_inside, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"source": "one two", "target": "two"}\n')
    (found,) = records(cli_inside("predict", pairs_run, "--input", "x.jsonl"))
    assert found["text"] == "one two"
    assert isinstance(found["predicted"], str)


def test_json_lines_from_standard_input(reviews_run, cli_inside, monkeypatch):
    lines = io.TextIOWrapper(io.BytesIO(b'{"id": 7, "sentence": "dull film"}\n'))
    monkeypatch.setattr("sys.stdin", lines)
    (found,) = records(cli_inside("predict", reviews_run, "--input", "-"))
    assert (found["id"], found["text"]) == ("7", "dull film")


def test_evaluation_reads_the_columns_of_training(reviews_run, cli_inside, tmp_path):
    (tmp_path / "x.tsv").write_text("text\tsentence\tlabel\nno\tdull film\tbad\n")
    (row,) = evaluate(reviews_run, overrides=[f"data.test={tmp_path / 'x.tsv'}"])["records"]
    assert row["text"] == "dull film"


@pytest.mark.parametrize(
    "content", ["id,sentence\n1,so good\n", "sentence,label\nso good,\nbad,\n"]
)
def test_what_has_no_labels_is_predicted(content, reviews_run, cli_inside, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(content)
    error = cli_inside("eval", str(reviews_run), f"data.test={path}").err
    assert "data.test=null" not in error
    command = f"lushan predict {reviews_run} --input {path} --output predictions.jsonl"
    assert command in error
    done = cli_inside(*command.split()[1:])
    assert done.code == 0, done.err


def test_a_run_on_sample_data_is_evaluated_on_a_file(lm_run, tmp_path, cli_inside):
    file = tmp_path / "x.txt"
    file.write_text("A cat sat on the mat.\n\nA dog ran home.\n", encoding="utf-8")
    alone = cli_inside("eval", lm_run, f"data.test={file}")
    assert alone.code == 2
    assert "Set the format too: data=conll" in alone.err
    for order in ([f"data.test={file}", "data=text"], ["data=text", f"data.test={file}"]):
        done = cli_inside("eval", lm_run, *order)
        assert done.code == 0, done.err
        assert "test/perplexity" in done.out
    wrong = cli_inside("eval", lm_run, "data=conl", f"data.test={file}")
    assert (wrong.code, "Did you mean data=conll?" in wrong.err) == (2, True), wrong.err
    there = cli_inside("predict", lm_run, "--input", file, "data=text")
    assert (there.code, "For example, data.KEY=VALUE." in there.err) == (2, True), there.err


def test_the_advice_of_transformers_is_kept_off_the_terminal(lm_run):
    from transformers.utils import logging

    before = logging.get_verbosity()
    try:
        logging.set_verbosity_warning()  # as it is in a new process
        load(lm_run)
        assert logging.get_verbosity() == logging.ERROR
    finally:
        logging.set_verbosity(before)


@pytest.mark.parametrize("command", ["predict", "generate"])
def test_a_table_is_not_written_as_lines_of_json(command, cli_inside, tmp_path):
    done = cli_inside(command, tmp_path, "--input", "x.csv", "--output", "out.csv")
    assert done.code == 2
    assert "out.jsonl" in done.err


def test_empty_texts_are_counted(reviews_run, cli_inside, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"sentence": ""}\n{"sentence": "dull film"}\n')
    done = cli_inside("predict", reviews_run, "--input", "x.jsonl")
    assert len(records(done)) == 2
    assert "1 of 2 texts are empty" in done.err


def test_a_batch_has_fewer_tokens_on_a_processor(ner_run, monkeypatch):
    loaded, bounds = load(ner_run), []
    monkeypatch.setattr(prediction, "autocast", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(prediction, "plan_evaluation", lambda _, bound: bounds.append(bound) or [])
    for tokens in (None, 100):
        prediction.records_of(loaded, [], batch_tokens=tokens)
    prediction.records_of(loaded, [], device="cuda")
    assert bounds == [prediction.ON_A_PROCESSOR, 100, prediction.BATCH_TOKENS]
