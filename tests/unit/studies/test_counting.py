"""Metrics from stored predictions: the same numbers as the tasks report, from sums."""

import math

import numpy as np
import pytest
from tests.helpers.runs import labelled

from lushan.metrics import classification, entities, generation, language
from lushan.studies import collect, contrast
from lushan.studies.counting import counted
from lushan.studies.records import Undecided, side_by_side

RNG = np.random.default_rng(7)


def values(metrics, rows, task=None):
    return {name: counted(name, [rows], task or {}).scores().item() for name in metrics}


def reproduced(run):
    """The metrics of a real run that come from counts; those that should but do not are refused."""
    member, read = collect.member_of(run), contrast.reader()
    for name in member.result.metrics:
        if not name.endswith("/loss"):
            contrast.count_together([member], name, read)
    with pytest.raises(Undecided, match="loss does not follow"):
        contrast.count_together([member], "test/loss", read)
    return set(member.result.metrics)


def test_a_run_of_tags_comes_to_its_own_numbers(ner_run):
    found = reproduced(ner_run)
    assert {"test/entity_f1", "val/entity_recall_macro", "test/token_accuracy_without_o"} <= found


def test_a_run_of_labels_comes_to_its_own_numbers(reviews_run):
    found = reproduced(reviews_run)
    assert {"test/accuracy", "test/mcc", "val/f1_macro", "test/precision_weighted"} <= found


def test_tags():
    kinds = ["O", "B-PER", "I-PER", "B-LOC"]
    gold, predicted = (
        [list(RNG.choice(kinds, 6, p=[0.5, 0.2, 0.15, 0.15])) for _ in range(40)] for _ in "ab"
    )
    rows = [{**row, "tokens": ["x"] * 6} for row in labelled(gold, predicted)]
    whole = entities.score_entities(gold, predicted)
    token = entities.score_tokens(gold, predicted)
    want = {
        "entity_f1": whole.micro.f1,
        "entity_recall": whole.micro.recall,
        "entity_precision_macro": whole.macro.precision,
        "entity_f1_weighted": whole.weighted.f1,
        "token_accuracy": token.accuracy,
        "token_accuracy_without_o": token.accuracy_without_o,
    }
    assert 0 < whole.micro.f1 < 1
    assert values(want, rows) == pytest.approx(want)


def test_one_label():
    gold, predicted = (list(RNG.choice(list("abc"), 50, p=[0.6, 0.3, 0.1])) for _ in "ab")
    want = classification.score("single", gold, predicted, labels="abcd").metrics
    assert values(want, labelled(gold, predicted)) == pytest.approx(want)
    found = counted("accuracy", [labelled(gold, predicted)], {})
    assert found.right.tolist() == [[g == p for g, p in zip(gold, predicted, strict=True)]]
    assert counted("f1_micro", [labelled(gold, predicted)], {}).right is None


def test_several_labels():
    gold, predicted = ([sorted(set(RNG.choice(list("abc"), 2))) for _ in range(30)] for _ in "ab")
    want = classification.score("multilabel", gold, predicted, labels="abcd").metrics
    rows = [r | {"probabilities": dict.fromkeys("abcd", 0.5)} for r in labelled(gold, predicted)]
    assert values(want, rows) == pytest.approx(want)
    assert 0 < want["exact_match"] < 1


def test_numbers():
    gold = (1000 + RNG.normal(size=40)).tolist()
    predicted = (np.array(gold) + RNG.normal(size=40)).tolist()
    want = classification.score("regression", gold, predicted).metrics
    rank = want.pop("spearman")
    assert math.isfinite(rank)
    assert values(want, labelled(gold, predicted)) == pytest.approx(want)
    with pytest.raises(Undecided, match="spearman"):
        values(["spearman"], labelled(gold, predicted))


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1000.1, -7e6 / 9, 1e-9])
@pytest.mark.parametrize("count", [3, 40, 1000])
def test_numbers_that_are_all_the_same(value, count):
    gold = (1000 + RNG.normal(size=count)).tolist()
    for one, other in ((gold, [value] * count), ([value] * count, gold)):
        assert math.isnan(values(["pearson"], labelled(one, other))["pearson"])


def sums(losses, tokens, **more):
    return [
        {"id": i, "loss": x, "tokens": n, "hits": n // 2, **{k: v[i] for k, v in more.items()}}
        for i, (x, n) in enumerate(zip(losses, tokens, strict=True))
    ]


def test_language_models():
    losses, tokens, sizes = RNG.random(20) * 9, RNG.integers(2, 9, 20), RNG.integers(9, 40, 20)
    rows = sums(losses.tolist(), tokens.tolist(), bytes=sizes.tolist())
    want = language.Judgement(losses, tokens, tokens // 2, sizes).metrics
    assert set(want) == {"loss", "perplexity", "token_accuracy", "bits_per_byte"}
    assert values(want, rows) == pytest.approx(want)
    with pytest.raises(Undecided, match="bytes of each example are not stored"):
        values(["bits_per_byte"], sums([1.0], [2]))


def test_losses_over_different_tokens_are_not_compared():
    one, other = sums([3.0], [4], bytes=[9]), sums([3.0], [5], bytes=[9])
    for metric in ("loss", "perplexity", "token_accuracy"):
        with pytest.raises(Undecided, match="different tokens"):
            counted(metric, [one, other], {})
        with pytest.raises(Undecided, match="nor does bits_per_byte compare: 2 texts are lost"):
            counted(metric, [one, other], {}, "2 texts are lost")
    assert counted("bits_per_byte", [one, other], {}).counts.shape == (2, 1, 2)
    with pytest.raises(Undecided, match="does not compare here: 2 texts are lost"):
        counted("bits_per_byte", [one, other], {}, "2 texts are lost")
    assert counted("bits_per_byte", [one, one], {}, "2 texts are lost").counts.shape == (2, 1, 2)


SAID = ["the cat sat", "a dog ran home", "", "the mat"]
GOLD = [["the cat sat down", "a cat"], ["a dog ran home"], ["nothing"], ["on the mat"]]


@pytest.mark.parametrize("stored", [True, False])
def test_generated_texts(stored):
    report = generation.score(SAID, GOLD)
    rows = [
        {"id": i, "loss": 1.0, "tokens": 2, "hits": 1, "gold": gold, "predicted": said}
        | ({name: v[i] for name, v in report.examples.items()} if stored else {})
        for i, (said, gold) in enumerate(zip(SAID, GOLD, strict=True))
    ]
    want = {k: v for k, v in report.metrics.items() if "distinct" not in k}
    assert want["bleu"] != pytest.approx(report.examples["bleu"].mean())
    assert values(want, rows) == pytest.approx(want)
    # For a sample of the examples only, as a task of dialogues does it.
    more = {"id": 9, "loss": 1.0, "tokens": 2, "hits": 1}
    assert values(want, [more, *rows]) == pytest.approx(want)
    with pytest.raises(Undecided, match="all texts together"):
        values(["distinct1"], rows)
    with pytest.raises(Undecided, match="for different examples"):
        counted("bleu", [[more, *rows], [more, *rows[:3], {**more, "id": 3}]], {})


def test_chinese_is_split_as_the_task_was_told():
    said, gold = ["明月几时有把酒", "青天"], [["明月几时有", "x"], ["问青天"]]
    rows = [{**r, "hits": 0} for r in labelled(gold, said)]
    for name in ("auto", "en"):
        want = generation.score(said, gold, language=name).metrics["bleu"]
        assert values(["bleu"], rows, {"language": name})["bleu"] == pytest.approx(want)


def test_a_number_of_its_own_in_each_record():
    rows = [{"id": i, "mine": x} for i, x in enumerate([0.5, 1.0, 0.0])]
    assert values(["mine"], rows) == {"mine": 0.5}
    with pytest.raises(Undecided, match="mine does not follow"):
        values(["mine"], [*rows, {"id": 3}])


def test_examples_are_paired_by_their_ids():
    one, other = labelled("abc", "abc"), labelled("abc", "abd")
    assert side_by_side([one, other[::-1]])[1] == other
    with pytest.raises(Undecided, match="3 and 2, of which 2 are shared"):
        side_by_side([one, other[:2]])
    with pytest.raises(Undecided, match="different examples"):
        side_by_side([[*one, one[0]], [*other[:2], other[0], other[0]]])
    with pytest.raises(Undecided, match="test:2 has another gold answer"):
        side_by_side([one, labelled("abx", "abc")])
