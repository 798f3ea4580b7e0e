"""Two runs side by side: `lushan compare`."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.helpers import measuring
from tests.helpers.runs import finished, labelled, listed_anew

from lushan.errors import UserError
from lushan.metrics.stats.significance import mcnemar, paired_bootstrap
from lushan.study.compare import compare, to_json, to_text

GOLD = list("aabbccaabbccaabbccaa")
ONE = list("aabbccaabbccaabbccbb")  # wrong in the last two
OTHER = list("aabbccaabbccaabbacab")  # wrong in the last, and in one before


@pytest.fixture
def labels(tmp_path):
    """Write a run of labels."""

    def write(predicted, *, gold=GOLD, records=None, **options):
        found = measuring.of_labels(gold, predicted).metrics
        metrics = {f"test/{name}": found[name] for name in ("accuracy", "f1_macro")}
        config = {"task": {"kind": "single"}, "optimizer": {"lr": options.pop("lr", 1e-3)}}
        rows = labelled(gold, predicted) if records is None else records
        return finished(tmp_path / "outputs", config, metrics | {"test/loss": 0.5}, rows, **options)

    return write


def test_what_differs_and_how_sure(labels):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    found = compare(a, b, metrics=["accuracy", "f1_macro"])
    assert found.config == {"optimizer.lr": (1e-3, 1e-2)}
    assert [row.metric for row in found.rows] == ["test/accuracy", "test/f1_macro", "test/loss"]
    assert found.rows[2].contrast is None
    right = [np.array(x) == np.array(GOLD) for x in (OTHER, ONE)]
    want = paired_bootstrap(
        *(np.stack([x, np.ones(20)], axis=1) for x in right), lambda c: c[..., 0] / c[..., 1]
    )
    first = found.rows[0].contrast
    assert first.effect == pytest.approx(0)
    assert (first.low, first.high, first.p) == (want.low, want.high, want.p)
    text = to_text(found, 5)
    line = next(line for line in text.splitlines() if line.startswith("test/accuracy"))
    assert line.split()[:5] == ["test/accuracy,", "%", "90.00", "90.00", "0.00"]
    assert "p, Holm over 2" in text
    assert "for these two runs, not for other seeds" in text


def test_examples_that_changed_sides(labels):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    found = compare(a, b).changes
    assert {heading: count for heading, (count, _) in found.groups.items()} == {
        "from right to wrong": 1,
        "from wrong to right": 1,
    }
    assert found.groups["from right to wrong"][1] == [
        {"id": "test:16", "gold": "c", "A": "c", "B": "a"}
    ]
    text = to_text(compare(b, a), 5)
    assert "from wrong to right: 1 (an example is right if its label is)\n  test:16\n" in text
    assert "    gold: c\n    A: a\n    B: c" in text


def test_no_more_examples_than_asked(labels):
    a, b = labels(GOLD), labels(["a"] * 20, lr=1e-2)
    wrong = sum(g != "a" for g in GOLD)
    text = to_text(compare(a, b), 3)
    assert f"from right to wrong: {wrong} (" in text
    assert text.count("    gold: ") == 3
    assert f"and {wrong - 3} more" in text


def test_mcnemar(labels):
    a, b = labels(GOLD), labels(["a"] * 20, lr=1e-2)
    row = compare(a, b, test="mcnemar").rows[0]
    want = mcnemar(np.array(["a"] * 20) == np.array(GOLD), np.ones(20))
    assert (row.contrast.effect, row.contrast.p) == pytest.approx((want.effect, want.p))
    assert want.p < 0.001
    assert "A is better" in to_text(compare(a, b, test="mcnemar"), 0)
    refused = compare(a, b, metrics=["f1_macro"], test="mcnemar")
    assert refused.rows[0].contrast.p is None
    assert any("McNemar's test needs right and wrong" in note for note in refused.notes)
    assert "undecided" in to_text(refused, 0)


def test_tags_are_right_by_sentence(tmp_path):
    rows = [
        {"id": str(i), "tokens": ["New", "York"], "gold": ["B-LOC", "I-LOC"], "predicted": tags}
        for i, tags in enumerate([["B-LOC", "I-LOC"], ["B-LOC", "O"]] * 6)
    ]
    a = finished(tmp_path, {"x": 1}, {"test/entity_f1": 0.5}, rows)
    better = [{**row, "predicted": row["gold"]} for row in rows]
    b = finished(tmp_path, {"x": 2}, {"test/entity_f1": 1.0}, better)
    found = compare(a, b)
    assert found.rows[0].contrast.effect == 0.5
    count, examples = found.changes.groups["from wrong to right"]
    assert (count, len(examples)) == (6, 6)
    assert examples[0] == {
        "id": "1",
        "tokens": "New York",
        "gold": ["New York (LOC)"],
        "A": ["New (LOC)"],
        "B": ["New York (LOC)"],
    }


def test_texts_that_changed_most(tmp_path):
    gold = [[f"the cat sat on mat {i}"] for i in range(12)]
    printed = [["nothing"] * 12, [g[0] for g in gold[:3]] + ["the cat"] + ["nothing"] * 8]
    runs = []
    for i, texts in enumerate(printed):
        report = measuring.of_texts(texts, gold)
        rows = [
            {**row, "source": f"source {n}", "loss": 1.0, "tokens": 2, "hits": 1}
            | {name: float(values[n]) for name, values in report.each.items()}
            for n, row in enumerate(labelled(gold, texts))
        ]
        metrics = {f"test/{name}": report.metrics[name] for name in ("rouge1", "bleu")}
        runs.append(finished(tmp_path, {"x": i}, metrics, rows))
    for metric in ("rouge1", "bleu"):
        found = compare(*runs, metrics=[metric])
        assert found.rows[0].contrast.effect > 0
        assert found.rows[0].contrast.p < 0.5
        assert found.changes.groups["worse"][0] == 0
        ids = [row["id"] for row in found.changes.groups["better"][1]]
        assert ids == ["test:0", "test:1", "test:2", "test:3"]
    assert "    source: source 0\n    gold: the cat sat on mat 0\n    A: nothing" in to_text(
        found, 1
    )


def test_losses_and_errors_the_largest_change_first(tmp_path):
    def write(x, losses):
        rows = [{"id": i, "loss": v, "tokens": 2, "hits": 1} for i, v in enumerate(losses)]
        metrics = {"test/loss": sum(losses) / 2 / len(losses)}
        return finished(tmp_path, {"x": x}, metrics, rows)

    a, b = write(1, [2.0] * 10), write(2, [2.0] * 8 + [6.0, 1.0])
    found = compare(a, b).changes
    assert found.groups["worse"] == (1, [{"id": 8, "by": 2.0}])
    assert found.groups["better"] == (1, [{"id": 9, "by": -0.5}])
    gold = np.arange(10.0)
    sides = [
        finished(tmp_path, {"x": i}, {"test/mse": m}, labelled(gold, (gold + off).tolist()))
        for i, (off, m) in enumerate([(1.0, 1.0), (0.5, 0.25)], start=3)
    ]
    assert compare(*sides).changes.groups["better"][0] == 10


def test_as_json(labels, cli_inside):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    done = cli_inside("compare", a, b, "--json", "--examples", "1")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["config"] == {"optimizer.lr": [1e-3, 1e-2]}
    first = shown["metrics"][0]
    assert first["metric"] == "test/accuracy"
    assert 0 < first["p"] <= first["p_holm"] <= 1
    assert first["interval"][0] <= first["difference"] <= first["interval"][1]
    assert shown["changes"]["from right to wrong"]["count"] == 1


def test_a_real_run_with_itself(ner_run, cli_inside):
    done = cli_inside("compare", ner_run, ner_run, "--split", "validation")
    assert done.code == 0, done.err
    assert "Their configs have no difference" in done.out
    line = next(line for line in done.out.splitlines() if line.startswith("val/entity_f1, %"))
    assert line.split()[-2:] == ["0.00", "undecided"]
    assert "examples are too few" in done.out  # and no fault with its stored predictions


def test_it_needs_no_torch(labels):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    code = (
        "import sys; from pathlib import Path; from lushan.study import compare as c;"
        "c.to_text(c.compare(*map(Path, sys.argv[1:])), 3);"
        "assert not {'torch', 'transformers', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(a), str(b)], check=True)


def test_other_data_are_refused(labels, cli_inside):
    done = cli_inside("compare", labels(ONE), labels(OTHER, data="b", lr=1e-2))
    assert done.code == 2
    assert "was not measured on the same data" in done.err
    assert "--columns" not in done.err


def test_too_few_examples_decide_nothing(labels):
    found = compare(labels(ONE[:9], gold=GOLD[:9]), labels(OTHER[:9], gold=GOLD[:9], lr=1e-2))
    assert found.rows[0].contrast.why == "9 examples are too few; the minimum is 10"
    assert "note: test/accuracy is undecided: 9 examples are too few" in to_text(found, 1)


def test_predictions_that_are_not_what_was_reported(labels):
    a = labels(ONE)
    b = labels(OTHER, records=labelled(GOLD, [*ONE[:-1], "a"]), lr=1e-2)
    why = compare(a, b).rows[0].contrast.why
    assert f"the stored predictions of {b} give 0.95, but its result has 0.9" in why
    c = labels(OTHER, records=labelled(GOLD[1:], OTHER[1:]), lr=1e-1)
    assert "different examples: 19 and 20" in compare(a, c).rows[0].contrast.why


def test_predictions_that_are_gone_or_damaged(labels):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    path = b / "predictions" / "test.jsonl"
    path.write_text(path.read_text() + "[1]\n")
    assert f"{path}: this file was changed" in compare(a, b).rows[0].contrast.why
    listed_anew(b)
    found = compare(a, b)
    assert found.rows[0].contrast.why == f"{path}:21: not the record of an example: no mapping"
    assert found.changes is None
    path.write_text(path.read_text().replace("{", "", 1))
    listed_anew(b)
    assert f"{path}:1: not JSON" in compare(a, b).rows[0].contrast.why
    shutil.rmtree(path.parent)
    assert "no stored predictions of its test split" in to_text(compare(a, b), 1)


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"test": "bootstrp"}, "Did you mean 'bootstrap'"),
        ({"test": "welch"}, "--baseline"),
        ({"split": "tset"}, "Did you mean 'test'"),
        ({"split": "validation"}, "They share test/accuracy"),
        ({"metrics": ["acuracy"]}, "Did you mean 'test/accuracy'"),
        (
            {"metrics": ["val/accuracy"], "split": "test"},
            "do not share this metric of the test split",
        ),
        ({"metrics": ["test/accuracy", "val/accuracy"]}, "all metrics must be of one split"),
    ],
)
def test_mistakes(labels, options, printed):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    with pytest.raises(UserError) as caught:
        compare(a, b, **options)
    assert printed in str(caught.value)


def test_what_is_no_complete_run(labels, tmp_path):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    with pytest.raises(UserError, match="not a run folder"):
        compare(a, tmp_path)
    (b / "result.json").unlink()
    with pytest.raises(UserError, match=r"not complete \(interrupted"):
        compare(a, b)


def test_the_same_rows_under_other_names_are_paired_by_their_place(labels):
    a = labels(ONE)
    rows = [row | {"id": f"other.csv.gz:{i}"} for i, row in enumerate(labelled(GOLD, OTHER))]
    b = labels(OTHER, records=rows, lr=1e-2)
    found = compare(a, b)
    assert found.rows[0].contrast.why is None
    assert found.changes is not None
    # Where a part of the ids is the same, they are names, and some examples are others.
    rows[0]["id"] = "test:5"
    c = labels(OTHER, records=rows, lr=1e-1)
    assert "evaluated on different examples" in compare(a, c).rows[0].contrast.why


def test_statistics_that_are_gone_or_damaged_are_named(labels):
    a, b = labels(ONE), labels(OTHER, lr=1e-2)
    file = b / "predictions" / "test.npz"
    kept = file.read_bytes()
    for damaged in (None, kept[:-30], b""):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        (note, *_) = compare(a, b).notes
        assert "test/accuracy is undecided" in note
        assert str(file) in note
    file.write_bytes(kept[:-30])
    listed_anew(b)
    assert "not statistics of examples" in compare(a, b).notes[0]
    file.unlink()
    listed_anew(b)
    assert "has no stored statistics of its test split" in compare(a, b).notes[0]


def test_the_same_config_with_other_weights_data_and_code_is_named(tmp_path):
    before = {
        "data": {"train": "1" * 64, "validation": "3" * 64},
        "files": {"model.path/model.safetensors": "4" * 64, "task.template": "8" * 64},
        "targets": {"mine": "5" * 64},
    }
    after = {
        "data": {"train": "2" * 64, "validation": "3" * 64},
        "files": {"model.path/model.safetensors": "6" * 64, "task.template": "8" * 64},
        "targets": {"mine": "7" * 64},
    }
    config = {"model": {"path": "enc"}}
    a = finished(tmp_path, config, {"val/loss": 0.5}, inputs=before)
    b = finished(tmp_path, config | {"name": "p2"}, {"val/loss": 0.7}, inputs=after)
    assert a.name == b.name
    found = compare(a, b)
    text = to_text(found, 0)
    assert found.inputs == {
        "data of train": ("1" * 12, "2" * 12),
        "model.path/model.safetensors": ("4" * 12, "6" * 12),
        "code of mine": ("5" * 12, "7" * 12),
    }
    for label, (one, other) in found.inputs.items():
        assert any(line.split() == [*label.split(), one, other] for line in text.splitlines())
    assert "differ in nothing" not in text
    assert json.loads(to_json(found, 0))["inputs"]["code of mine"] == ["5" * 12, "7" * 12]
    # What follows from other keys is no difference beyond these.
    c = finished(tmp_path, {"model": {"path": "other"}}, {"val/loss": 0.7}, inputs=after)
    assert list(compare(a, c).inputs) == ["data of train", "code of mine"]


def test_both_texts_of_a_pair_are_shown(labels):
    rows = [
        [
            {**row, "text": "first text", "text_pair": "other text"}
            for row in labelled(GOLD, printed)
        ]
        for printed in (ONE, OTHER)
    ]
    a, b = (
        labels(printed, records=own, lr=lr)
        for printed, own, lr in zip((ONE, OTHER), rows, (1e-3, 1e-2), strict=True)
    )
    text = to_text(compare(a, b), 5)
    assert "    text: first text\n    text_pair: other text\n    gold: c" in text
