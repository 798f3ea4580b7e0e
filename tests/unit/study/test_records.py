"""Metrics from stored predictions: the same numbers as the tasks report, from sums."""

import dataclasses
import math

import numpy as np
import pytest
from tests.helpers import declared, measuring
from tests.helpers.measuring import rows_of, run_of, together
from tests.helpers.runs import labelled

from lushan.common.units import Measure
from lushan.errors import UserError
from lushan.study import collect, differences, example_statistics
from lushan.study.records import side_by_side
from lushan.study.undecided import Undecided

RNG = np.random.default_rng(7)


def same(found, count, *, without=()):
    """Each metric's statistics give its value; those without are refused."""
    run = run_of(found, rows_of(count))
    for name, value in found.metrics.items():
        if name in without:
            with pytest.raises(Undecided, match=f"{name} cannot be computed"):
                together(name, run)
        else:
            assert together(name, run).scores().item() == pytest.approx(value, nan_ok=True)


def reproduced(run):
    """The metrics of a real run that come from counts; those that should but do not are refused."""
    member, read = collect.member_of(run), differences.reader()
    for name in member.result.metrics:
        if not name.endswith("/loss"):
            differences.count_together([member], name, read)
    with pytest.raises(Undecided, match="loss cannot be computed"):
        differences.count_together([member], "test/loss", read)
    return set(member.result.metrics)


def test_a_run_of_tags_gives_its_own_numbers(ner_run):
    found = reproduced(ner_run)
    assert {"test/entity_f1", "val/entity_recall_macro", "test/token_accuracy_without_o"} <= found


def test_a_run_of_labels_gives_its_own_numbers(reviews_run):
    found = reproduced(reviews_run)
    assert {"test/accuracy", "test/mcc", "val/f1_macro", "test/precision_weighted"} <= found


def test_tags():
    kinds = ["O", "B-PER", "I-PER", "B-LOC"]
    gold, predicted = (
        [list(RNG.choice(kinds, 6, p=[0.5, 0.2, 0.15, 0.15])) for _ in range(40)] for _ in "ab"
    )
    same(measuring.of_tags(gold, predicted), 40)


def test_one_label():
    gold, predicted = (list(RNG.choice(list("abc"), 50, p=[0.6, 0.3, 0.1])) for _ in "ab")
    found = measuring.of_labels(gold, predicted, labels="abcd")
    same(found, 50)
    run = run_of(found, rows_of(50))
    right = together("accuracy", run).right()
    assert right.tolist() == [[g == p for g, p in zip(gold, predicted, strict=True)]]
    assert together("f1_macro", run).right() is None
    assert together("mcc", run).right() is None


def test_several_labels():
    gold, predicted = ([sorted(set(RNG.choice(list("abc"), 2))) for _ in range(30)] for _ in "ab")
    found = measuring.of_labels(gold, predicted, labels="abcd")
    assert 0 < found.metrics["exact_match"] < 1
    same(found, 30)


def test_runs_that_know_other_classes_are_counted_side_by_side():
    gold = list("aabb") * 4
    one = measuring.of_labels(gold, list("aabc") * 4)
    other = measuring.of_labels(gold, list("zabb") * 4)
    pair = [run_of(found, rows_of(16)) for found in (one, other)]
    for name in ("f1_macro", "mcc", "f1_micro"):
        found = together(name, *pair)
        assert found.scores() == pytest.approx([one.metrics[name], other.metrics[name]])


def test_of_too_many_classes_the_micro_averages_alone_are_counted(monkeypatch):
    gold, predicted = list("abcabc"), list("abcacb")
    found = measuring.of_labels(gold, predicted)
    run = run_of(found, rows_of(6))
    monkeypatch.setattr(example_statistics, "MOST_COUNTS", 20)
    assert together("f1_micro", run).counts.shape == (1, 6, 3)
    with pytest.raises(Undecided, match="3 classes in each of 6 examples"):
        together("f1_macro", run)


def test_numbers():
    gold = (1000 + RNG.normal(size=40)).tolist()
    predicted = (np.array(gold) + RNG.normal(size=40)).tolist()
    same(measuring.of_numbers(gold, predicted), 40, without=["spearman"])


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1000.1, -7e6 / 9, 1e-9])
@pytest.mark.parametrize("count", [3, 40, 1000])
def test_numbers_that_are_all_the_same(value, count):
    gold = (1000 + RNG.normal(size=count)).tolist()
    for one, other in ((gold, [value] * count), ([value] * count, gold)):
        found = measuring.of_numbers(one, other, intervals=False)
        assert math.isnan(found.metrics["pearson"])


def sums(losses, tokens, **more):
    return [
        {"id": i, "loss": x, "tokens": n, "hits": n // 2, **{k: v[i] for k, v in more.items()}}
        for i, (x, n) in enumerate(zip(losses, tokens, strict=True))
    ]


def test_language_models():
    losses, tokens, sizes = RNG.random(20) * 9, RNG.integers(2, 9, 20), RNG.integers(9, 40, 20)
    rows = sums(losses.tolist(), tokens.tolist(), bytes=sizes.tolist())
    found = measuring.of_language(rows)
    assert set(found.metrics) == {"loss", "perplexity", "token_accuracy", "bits_per_byte"}
    same(found, 20)


def test_losses_over_different_tokens_are_not_compared():
    rows = sums([3.0], [4], bytes=[9]), sums([3.0], [5], bytes=[9])
    one, other = (run_of(measuring.of_language(side), side) for side in rows)
    for run, processor in ((one[0], "a"), (other[0], "b")):
        run.result.extra["processor_sha256"] = processor
    for metric in ("loss", "perplexity", "token_accuracy"):
        with pytest.raises(
            Undecided, match=f"different tokens, so {metric} has a different meaning"
        ):
            together(metric, one, other)
    assert together("bits_per_byte", one, other).counts.shape == (2, 1, 2)

    run, *more = one
    lost = {"not_comparable": {"test/bits_per_byte": "2 texts are lost"}, "processor_sha256": "a"}
    lossy = dataclasses.replace(run, result=dataclasses.replace(run.result, extra=lost)), *more
    for metric in ("loss", "perplexity", "token_accuracy"):
        with pytest.raises(Undecided, match="nor does bits_per_byte compare: 2 texts are lost"):
            together(metric, lossy, other)
    with pytest.raises(Undecided, match="is not comparable here: 2 texts are lost"):
        together("bits_per_byte", lossy, other)
    assert together("bits_per_byte", lossy, one).counts.shape == (2, 1, 2)


SAID = ["the cat sat", "a dog ran home", "", "the mat"]
GOLD = [["the cat sat down", "a cat"], ["a dog ran home"], ["nothing"], ["on the mat"]]


def test_generated_texts():
    found = measuring.of_texts(SAID, GOLD)
    assert found.metrics["bleu"] != pytest.approx(found.each["bleu"].mean())
    same(found, 4, without=["distinct1", "distinct2"])


def test_texts_that_were_generated_for_a_sample_of_the_examples():
    one, other = (measuring.of_texts(SAID, GOLD, examples=e) for e in ([1, 2, 3, 4], [0, 1, 2, 3]))
    first, second = (run_of(found, rows_of(5)) for found in (one, other))
    assert together("bleu", first).examples == [1, 2, 3, 4]
    assert together("bleu", first).scores().item() == pytest.approx(one.metrics["bleu"])
    with pytest.raises(Undecided, match="the runs measured different examples"):
        together("bleu", first, second)


def test_statistics_follow_the_examples_of_the_first_run():
    one, other = list("aabb"), list("abab")
    found = [measuring.of_labels(one, other), measuring.of_labels(one[::-1], other[::-1])]
    runs = [run_of(found[0], rows_of(4)), run_of(found[1], rows_of(4)[::-1])]
    counts = together("accuracy", *runs).counts
    assert counts[0].tolist() == counts[1].tolist() == [[1, 1], [0, 1], [0, 1], [1, 1]]


def test_a_stored_score_that_may_not_be_called_is_refused(tmp_path):
    found = measuring.of_labels(list("ab"), list("ab"))
    for score in ("os.system", "lushan.metrics.scores.ratios.np.load", "lushan.metrics.prf.prf"):
        found.measures["accuracy"] = Measure(statistics="right", score=score)
        with pytest.raises(UserError, match="not allowed"):
            together("accuracy", run_of(found, rows_of(2)))


def paired(*runs):
    return side_by_side(runs, [declared.schema_of(rows) for rows in runs])


def test_examples_are_paired_by_their_ids():
    one, other = labelled("abc", "abc"), labelled("abc", "abd")
    assert paired(one, other[::-1]) == [[0, 1, 2], [2, 1, 0]]
    with pytest.raises(Undecided, match="3 and 2, of which 2 are shared"):
        paired(one, other[:2])
    with pytest.raises(Undecided, match="different examples"):
        paired([*one, one[0]], [*other[:2], other[0], other[0]])
    with pytest.raises(Undecided, match="test:2 has another gold answer"):
        paired(one, labelled("abx", "abc"))
