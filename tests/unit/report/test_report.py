"""What is on a report: groups, curves, scores by class, examples; and the files it is made of."""

import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.helpers import declared
from tests.helpers.runs import curve, finished, labelled, tagged

from lushan.errors import UserError
from lushan.report import class_scores, curves, examples, groups, site
from lushan.report.groups import of_folders
from lushan.run.folder import RunFolder
from lushan.run.status import NEW, STATES

EVIL = "</script><img src=x onerror=alert(1)> \" ' & \u2028 \\ 明月"


def tags_of(seed):
    """Two sentences; the second has an error in every other seed."""
    return tagged(
        ("Anna lives in New York", "B-PER O O B-LOC I-LOC", "B-PER O O B-LOC I-LOC"),
        (
            "李 白 在 庐 山",
            "B-PER I-PER O B-LOC I-LOC",
            f"B-PER I-PER O B-{'LOC' if seed % 2 else 'ORG'} I-{'LOC' if seed % 2 else 'ORG'}",
        ),
    )


@pytest.fixture
def place(tmp_path):
    """Two heads with three seeds each."""
    for head in ("linear", "crf"):
        for seed in (1, 2, 3):
            run = finished(
                tmp_path / "outputs",
                {"seed": seed, "task": {"head": head}},
                {"test/entity_f1": 0.5 + seed / 10, "test/loss": 1.0},
                tags_of(seed),
            )
            curve(run, "val/entity_f1", [0.1 * seed, 0.2 * seed])
    return tmp_path / "outputs"


def read(file):
    """What a data file hands to the page: JSON in a string of JavaScript."""
    found = re.fullmatch(
        r'lushan\.put\("([^"]+)", JSON\.parse\(\'(.*)\'\)\);\n', file.read_text("utf-8")
    )
    assert found, file
    text = re.sub(r"\\(\\|')", r"\1", found[2])
    return json.loads(text)


def made(place, output, **options):
    return site.write(of_folders([place], **options), output)


def test_runs_that_differ_in_the_seed_alone_are_a_group(place, tmp_path):
    written = made(place, tmp_path / "site")
    report = read(tmp_path / "site/data/report.js")
    assert written.problems == []
    assert [group["label"] for group in report["groups"]] == ["linear", "crf"]
    assert [len(group["runs"]) for group in report["groups"]] == [3, 3]
    curve_ = report["curves"][0]["val/entity_f1"]
    assert curve_["steps"] == [10, 20]
    assert curve_["mean"] == pytest.approx([0.2, 0.4])
    assert (curve_["low"], curve_["high"]) == ([0.1, 0.2], [0.3, 0.6])
    by_class = {row["label"]: row for row in report["scores"][0]["rows"]}
    assert by_class["PER"]["f1"] == 1.0
    assert by_class["LOC"]["runs"] == pytest.approx([1, 2 / 3, 1])
    assert by_class["LOC"]["low"] <= by_class["LOC"]["f1"] <= by_class["LOC"]["high"]
    # The examples are the same for all runs, and are written once.
    assert len(list((tmp_path / "site/data").glob("examples-*.js"))) == 1
    assert len(list((tmp_path / "site/data").glob("run-*.js"))) == 6
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "6 of 6 runs complete" in page
    assert "70.00 ± 10.00" in page


def test_what_is_missing_is_said(place, tmp_path):
    cfg = {"name": "mine", "seed": 9, "paths": {"output_dir": str(place)}, "task": {"head": "crf"}}
    folder = RunFolder.of(cfg)
    with folder.locked():
        folder.start(cfg)
        folder.fail(ValueError("no <room> left"))
    damaged = next(place.rglob("result.json"))
    damaged.write_text("{")
    broken = next(p for p in place.rglob("test.jsonl") if p.parents[1] != damaged.parent)
    broken.write_text('{"id": 1}\n{"id"')
    written = made(place, tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "5 of 7 runs complete" in page
    assert "1 failed" in page
    assert "no &lt;room&gt; left" in page
    assert "1 damaged" in page
    assert len(written.problems) == 1
    assert "test.jsonl: cannot be read" in written.problems[0]
    assert "test.jsonl: cannot be read" in page
    report = read(tmp_path / "site/data/report.js")
    assert sorted(run["state"] for run in report["runs"]) == ["complete"] * 5 + [
        "damaged",
        "failed",
    ]


def test_all_text_is_escaped(tmp_path):
    records = labelled([EVIL, "__proto__"], ["__proto__", EVIL])
    records[0]["text"] = EVIL
    finished(
        tmp_path / "outputs",
        {"name": EVIL.replace("/", ""), "note": EVIL},
        {"test/accuracy": 0.0},
        records,
    )
    made(tmp_path / "outputs", tmp_path / "site", title=EVIL)
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "<img" not in page
    assert "</script>" in page
    assert page.count("<script") == page.count("</script>") == 2
    for file in (tmp_path / "site/data").glob("*.js"):
        assert "<" not in file.read_text("utf-8")
        assert "\u2028" not in file.read_text("utf-8")
    (shared,) = (tmp_path / "site/data").glob("examples-*.js")
    assert read(shared)["rows"][0] == [
        "test:0",
        [["text", ["text", EVIL]]],
        ["chips", [EVIL]],
    ]


def test_an_earlier_report_is_replaced_and_nothing_else(place, tmp_path):
    output = tmp_path / "deep" / "site"
    made(place, output)
    first = {path.name for path in output.rglob("*")}
    shutil.rmtree(next(path.parent for path in place.rglob("result.json")))
    made(place, output)
    second = {path.name for path in output.rglob("*")}
    assert len(second) == len(first) - 1
    assert [path.name for path in output.parent.iterdir()] == ["site"]  # nothing temporary is left
    (output / "CNAME").write_text("mine")
    with pytest.raises(UserError, match="CNAME"):
        made(place, output)
    assert (output / "data/report.js").is_file()
    strange = tmp_path / "page"
    strange.mkdir()
    made(place, strange)  # an empty folder is nobody's
    (strange / "index.html").write_text("<html>mine</html>")
    with pytest.raises(UserError, match="not a report"):
        made(place, strange)
    with pytest.raises(UserError, match="this is a file"):
        made(place, strange / "index.html")


def test_a_report_that_fails_leaves_the_earlier_one(place, tmp_path, monkeypatch):
    made(place, tmp_path / "site")
    before = (tmp_path / "site/index.html").read_bytes()
    monkeypatch.setattr(site, "page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made(place, tmp_path / "site")
    assert (tmp_path / "site/index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs", "site"]


def test_a_number_alone_is_no_name(tmp_path):
    for rate in (0.001, 0.01):
        finished(tmp_path, {"optimizer": {"lr": rate}}, {"test/loss": rate})
    assert [group.label for group in of_folders([tmp_path]).groups] == ["lr=0.001", "lr=0.01"]


# Curves


def test_curves_are_thinned_with_their_ends():
    steps = list(range(5000))
    kept = curves.thinned(steps)
    assert kept[0] == 0
    assert kept[-1] == 4999
    assert len(kept) <= curves.MOST_POINTS + 1
    assert curves.thinned([1, 2]) == [1, 2]


def test_runs_of_different_lengths_are_averaged_where_they_are():
    found = curves.together([{"x": {1: 1.0, 2: 3.0}}, {"x": {1: 3.0}}, {"y": {1: 5.0}}])
    assert found["x"].steps == [1, 2]
    assert found["x"].mean == [2.0, 3.0]
    assert found["x"].runs == [2, 1]
    assert found["x"].sd == pytest.approx([math.sqrt(2), 0], abs=1e-5)
    assert found["y"].mean == [5.0]


def test_ends_of_epochs_are_one_point_whatever_their_steps():
    series = [{88: 1.0, 264: 2.0}, {89: 3.0, 266: 4.0}]
    found = curves.together([{"x": one} for one in series])
    assert found["x"].steps == [89, 265]
    assert found["x"].mean == [2.0, 3.0]
    assert found["x"].runs == [2, 2]
    # Steps that lie between one another's are no such points.
    crossed = [{10: 1.0, 20: 2.0}, {20: 3.0, 30: 4.0}]
    assert curves.aligned(crossed) == crossed


def test_a_damaged_file_of_numbers_is_reported(place):
    run = next(place.rglob("result.json")).parent
    curve(run, "val/x", [None, float("nan"), float("inf"), 2.0])
    member = of_folders([run]).runs[0].member
    assert curves.read(member) == ({"val/x": {40: 2.0}}, None)
    (run / "metrics.csv").write_text("step,val/x\n1,two\n")
    found, problem = curves.read(member)
    assert found == {}
    assert "metrics.csv" in problem


# Classes


def evaluated(rows):
    return class_scores.class_counts(rows, declared.schema_of(rows))


def test_confusion_of_entities():
    """Of the same words by type; of other words one is missed and one spurious."""
    rows = tagged(
        ("a b c", "B-PER O B-LOC", "B-ORG O B-LOC"),
        ("a b c", "B-PER I-PER O", "B-PER O O"),
        ("a b c", "O O O", "O B-LOC O"),
    )
    found = class_scores.class_counts(rows, declared.schema_of(rows))
    assert found.confusion == {
        ("PER", "ORG"): 1,
        ("LOC", "LOC"): 1,
        ("PER", ""): 1,
        ("", "PER"): 1,
        ("", "LOC"): 1,
    }
    assert found.counts.sum(0).tolist() == [[1, 0, 0], [2, 1, 1], [1, 0, 2]]


def test_confusion_of_labels_and_none_of_several():
    found = evaluated(labelled(["a", "a", "b"], ["a", "b", "b"]))
    assert found.confusion == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1}
    several = evaluated(labelled([["a", "b"], []], [["a"], ["b"]]))
    assert several.confusion == {}
    assert several.counts.sum(0).tolist() == [[1, 0], [1, 1], [1, 1]]
    assert evaluated(labelled([1.0], [2.0])) is None
    assert evaluated([{"id": "1", "loss": 1.0, "tokens": 3, "hits": 1}]) is None


def test_interval_of_one_run_is_that_of_the_metrics():
    """The same draws as the interval that training reports of the whole."""
    from lushan.metrics.stats.bootstrap import f1_interval

    rng = np.random.default_rng(0)
    gold = rng.choice(["a", "b"], 200).tolist()
    predicted = [g if rng.random() < 0.7 else "a" for g in gold]
    found = evaluated(labelled(gold, predicted))
    row = class_scores.scores([found], alike=True)[0]
    expected = f1_interval(found.counts[:, :, 0], resamples=class_scores.RESAMPLES)
    assert (row.low, row.high) == pytest.approx(expected)
    both = class_scores.scores([found, found], alike=True)[0]
    assert (both.low, both.high) == pytest.approx(expected)
    assert class_scores.scores([found, found], alike=False)[0].low is None


# Examples


def compact(rows, *more):
    return examples.compact(rows, declared.schema_of(rows), *more)


def test_examples_of_each_kind():
    small = compact(tags_of(2))
    assert small.shared[1] == [
        "test:1",
        [["tokens", ["text", "李白在庐山"]]],
        ["spans", "tokens", [[0, 2, "PER"], [3, 5, "LOC"]]],
    ]
    part, _, right, marks, pairs, _ = small.own[1]
    assert part == ["spans", "tokens", [[0, 2, "PER"], [3, 5, "ORG"]]]
    assert right is False
    assert marks == [[[True, ""], [False, "type"]], [[True, ""], [False, "type"]]]
    named = [[small.classes[place] for place in pair] for pair in pairs]
    assert named == [["PER", "PER"], ["LOC", "ORG"]]
    assert small.own[0][3] is None  # all is right
    assert (small.errors, small.is_strict, small.unpaired) == (1, True, True)
    labels = labelled(["a", "b"], ["a", "a"])
    labels[1] |= {"text": "hm", "probabilities": {"a": 0.9, "b": 0.1}, "score": 0.9}
    small = compact(labels)
    assert small.shared[1] == ["test:1", [["text", ["text", "hm"]]], ["chips", ["b"]]]
    marks = [[[True, "10.0 %"]], [[False, "90.0 %"]]]
    assert small.own[1] == [["chips", ["a"]], [0.9], False, marks, [[1, 0]], []]
    numbers = compact(labelled([1.5], [2.5]))
    assert numbers.numbers == ["absolute error"]
    assert numbers.own[0][:3] == [["number", 2.5], [1.0], None]
    assert compact([{"id": "1", "loss": 1.0}]) is None


def test_what_was_not_generated_is_counted():
    rows = [
        {"id": "1", "loss": 2.0, "tokens": 3, "hits": 1},
        {"id": "2", "loss": 3.0, "tokens": 3, "hits": 1, "predicted": "x", "gold": "y"},
    ]
    small = compact(rows, {"2": "who?"})
    assert small.is_strict is False
    assert small.left_out == 1
    assert small.shared == [["2", [["prompt", ["text", "who?"]]], ["text", "y"]]]
    assert small.numbers == ["loss", "tokens", "hits"]
    assert small.own[0][2] is False


# The command


def test_the_command_says_what_it_wrote(place, cli_inside, tmp_path):
    done = cli_inside("report", place, "-o", "site")
    assert done.code == 0, done.err
    assert done.out.strip() == "site/index.html"
    assert "6 runs: 6 complete" in done.err
    assert (tmp_path / "site/index.html").as_uri() in done.err
    one = cli_inside("report", next(place.rglob("result.json")).parent, "-o", "site")
    assert one.code == 0, one.err
    assert "one run" in (tmp_path / "site/index.html").read_text("utf-8")


def test_mistakes_of_the_command(place, cli_inside, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/study.yaml").write_text("axes: {}")
    for words, printed in (
        (["empty", "-o", "site"], "lushan report empty/study.yaml"),
        (["nowhere", "-o", "site"], "the folder does not exist"),
        (["empty/study.yaml", "outputs", "-o", "site"], "only one study"),
        (["empty/study.yaml", "-o", "site", "--title", "x"], "sets its own title"),
        (["outputs", "-o", "outputs"], "contains other files than a report"),
    ):
        done = cli_inside("report", *words)
        assert done.code == 2, words
        assert printed in done.err
    assert not (tmp_path / "site").exists()


def test_a_study_of_which_nothing_has_run(cli_inside, tmp_path):
    (tmp_path / "study.yaml").write_text(
        "title: Nothing yet\n"
        "base: [experiment=sample/ner]\n"
        "axes: {head: {linear: [task/head=linear], crf: [task/head=crf]}}\n"
        "claims: [crf beats linear on test/entity_f1]\n"
    )
    done = cli_inside("report", "study.yaml", "-o", "site")
    assert done.code == 0, done.err
    assert "2 runs: 2 missing" in done.err
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "0 of 2 runs complete" in page
    assert "undecided" in page
    assert "No table: no run is complete yet." in page


def test_a_report_does_without_torch(place, tmp_path):
    words = f"['lushan', 'report', {str(place)!r}, '-o', 'site']"
    program = f"import sys; sys.argv = {words}; from lushan.cli.app import main; main()"
    program += "; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["site/index.html", "False"]


def test_every_state_of_a_run_is_counted():
    assert set(groups.STATES) >= set(STATES) - {NEW}


def test_runs_of_one_config_and_other_weights_are_not_one(tmp_path):
    weights = [{"files": {"model.path/model.safetensors": text}} for text in "ab"]
    config = {"model": {"path": "enc"}}
    for name, inputs in zip(("p", "p2"), weights, strict=True):
        finished(tmp_path / "a", {"name": name, **config}, {"val/loss": 0.5}, inputs=inputs)
    found = of_folders([tmp_path / "a"])
    assert (len(found.runs), len(found.groups), list(found.notes)) == (2, 2, [])
    # Below one name they stand in one cell, and that is said.
    finished(tmp_path / "b", {"name": "p", **config}, {"val/loss": 0.5}, inputs=weights[1])
    found = of_folders([tmp_path / "a" / "p", tmp_path / "b"])
    assert len(found.runs) == 2
    assert any("different inputs: model.path/model.safetensors" in n for n in found.tables[0].notes)
