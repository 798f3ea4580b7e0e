"""Metrics that mean another thing for each tokenizer: no verdict, and one note."""

import csv
import io

import pytest
from tests.helpers.runs import finished

from lushan.study.compare import compare, to_text
from lushan.study.table import table

LOSS = "2 of 9 texts change when"
METRICS = ("val/loss", "val/perplexity", "val/token_accuracy", "val/bits_per_byte")


@pytest.fixture
def write(tmp_path):
    """Write a run of a language model."""

    def write(kind, level, *, lossy=False, sha=None, seed=1):
        printed = {f"val/{name.partition('/')[2]}": LOSS for name in METRICS[3:] if lossy}
        metrics = dict.fromkeys(METRICS, level)
        config = {"processor": {"kind": kind}, "seed": seed}
        more = {"processor_sha256": sha or kind, "not_comparable": printed}
        return finished(tmp_path / "outputs", config, metrics, **more)

    return write


def cells(place, metric, **options):
    made = table([place], rows=["processor.kind"], metrics=[metric], format="csv", **options)
    return list(csv.DictReader(io.StringIO(made.text))), made.apart


@pytest.mark.parametrize("metric", METRICS)
def test_no_row_is_best_by_a_metric_that_does_not_compare(write, tmp_path, metric):
    write("wordpiece", 0.5, lossy=True)
    write("bpe", 0.7)
    write("unigram", 0.9)
    lines, notes = cells(tmp_path / "outputs", metric, baseline="bpe")
    assert {line["best"] + line["second"] for line in lines} == {"00"}
    # The two that lose nothing compare with each other by their bytes.
    shown = {line["processor.kind"] for line in lines if line["difference"]}
    assert shown == ({"unigram"} if metric == METRICS[3] else set())
    assert len([note for note in notes if LOSS in note]) == 1


def test_it_is_reported_once_of_how_many_runs(write, tmp_path):
    write("wordpiece", 0.5, lossy=True)
    write("bpe", 0.7)
    text = table([tmp_path / "outputs"], rows=["processor.kind"], metrics=["bits_per_byte"]).text
    assert "**" not in text
    assert "val/bits_per_byte of 1 run does not compare with that of another tokenizer: " in text
    assert text.count(LOSS) == 1


def test_of_one_tokenizer_all_compares(write, tmp_path):
    write("wordpiece", 0.5, lossy=True, sha="same")
    write("wordpiece-like", 0.7, lossy=True, sha="same")
    for metric in METRICS:
        lines, _ = cells(tmp_path / "outputs", metric)
        assert sorted(line["best"] for line in lines) == ["0", "1"], metric


def test_without_loss_bytes_compare_and_tokens_do_not(write, tmp_path):
    write("bpe", 0.5)
    write("unigram", 0.7)
    for metric in METRICS:
        lines, notes = cells(tmp_path / "outputs", metric)
        known = metric == "val/bits_per_byte"
        assert [line["best"] for line in lines] == (["1", "0"] if known else ["0", "0"])
        assert len(notes) == (not known)


def test_inside_a_column_of_one_tokenizer_there_is_a_best(write, tmp_path):
    for kind, lossy in (("wordpiece", True), ("bpe", False)):
        write(kind, 0.5, lossy=lossy, seed=1)
        write(kind, 0.7, lossy=lossy, seed=2)
    made = table(
        [tmp_path / "outputs"],
        rows=["seed"],
        columns=["processor.kind"],
        over=["name"],
        metrics=["bits_per_byte"],
        format="csv",
    )
    best = [line["best"] for line in csv.DictReader(io.StringIO(made.text))]
    assert best == ["1", "1", "0", "0"]


@pytest.mark.parametrize("name", ["bits_per_byte", "perplexity"])
def test_two_runs_get_no_difference_and_one_note(write, name):
    found = compare(write("wordpiece", 0.5, lossy=True), write("bpe", 0.7), metrics=[name])
    assert [row.difference for row in found.rows] == [None] * len(found.rows)
    text = to_text(found, 5)
    row = next(x for x in text.splitlines() if x.startswith(f"val/{name}"))
    assert row.split()[1:] == ["0.5000", "0.7000", "-", "does", "not", "compare"]
    assert len([note for note in found.notes if f"val/{name}" in note]) == 1
    assert text.count(LOSS) == 1
    assert "undecided" not in text
    assert "is better" not in text
    assert "1 run does" in text
