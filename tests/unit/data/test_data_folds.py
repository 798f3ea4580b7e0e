"""K folds: every row is held out once, labels even, copies and groups on one side."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.test_source_splits import LABELS, counts, table

from lushan.data.fields import LABELLED
from lushan.data.formats import Jsonl, SampleReviews, Table, Text
from lushan.data.splits import hold_out
from lushan.errors import UserError


def folds(path, count, **options):
    return [
        Table(train=path, folds=count, fold=i + 1, **options).read().splits for i in range(count)
    ]


def ids(part):
    return part["id"].to_pylist()


def test_every_row_is_held_out_once_and_labels_are_even(write):
    found = folds(write("x.csv", table(LABELS)), 5)
    assert sorted(i for f in found for i in ids(f["test"])) == sorted(
        [*ids(found[0]["train"]), *ids(found[0]["test"])]
    )
    for fold in found:
        assert not {*ids(fold["train"])} & {*ids(fold["test"])}
        assert counts(fold["test"]) == {"a": 14, "b": 4, "c": 2}
        assert fold["train"].num_rows == 80


def test_the_seed_of_the_data_decides(write):
    path = write("x.csv", table(LABELS))
    one, again, other = (folds(path, 3, seed=seed) for seed in (1, 1, 2))
    assert [ids(f["test"]) for f in one] == [ids(f["test"]) for f in again]
    assert ids(one[0]["test"]) != ids(other[0]["test"])


def test_validation_is_taken_of_what_is_left(write):
    (splits, *_) = folds(write("x.csv", table(LABELS)), 4, validation=0.2)
    assert {name: part.num_rows for name, part in splits.items()} == {
        "train": 60,
        "validation": 15,
        "test": 25,
    }


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8)), min_size=12, max_size=40),
    st.integers(2, 4),
)
def test_no_copy_is_on_two_sides(rows, count):
    import pyarrow as pa

    rows += [("a", 100 + i) for i in range(count)]
    whole = pa.table(
        {
            "id": [str(i) for i in range(len(rows))],
            "text": [f"t{n}" for _, n in rows],
            "label": [label for label, _ in rows],
        }
    )
    held = []
    for fold in range(1, count + 1):
        learned, evaluated, _ = hold_out(whole, LABELLED, fold, count, 1, file="x")
        assert not {*learned["text"].to_pylist()} & {*evaluated["text"].to_pylist()}
        assert {*evaluated["label"].to_pylist()} <= {*learned["label"].to_pylist()}
        held += ids(evaluated)
    assert len(held) == len(set(held))


def test_groups_stay_together_and_sizes_are_even(write):
    lines = [
        f'{{"text": "t {i}", "label": "{"ab"[i % 2]}", "doc": "d{i // size}"}}'
        for size, numbers in ((10, range(40)), (3, range(100, 160)))
        for i in numbers
    ]
    path = write("x.jsonl", "\n".join(lines))
    sources = [Jsonl(train=path, group="doc", folds=4, fold=i + 1) for i in range(4)]
    held = [source.read().splits["test"] for source in sources]
    groups = [{*part["group"].to_pylist()} for part in held]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert max(p.num_rows for p in held) - min(p.num_rows for p in held) <= 10


def test_a_label_of_one_fold_alone_is_learned_and_counted(write):
    path = write("x.csv", table(["a"] * 11 + ["b"]))
    read = [Table(train=path, folds=3, fold=i + 1).read() for i in range(3)]
    assert all("b" in counts(corpus.splits["train"]) for corpus in read)
    notes = [corpus.notes[0] for corpus in read]
    assert Counter("1 kept for training because no other fold" in note for note in notes) == {
        True: 1,
        False: 2,
    }


def test_one_split_alone_and_its_fingerprint(write):
    path = write("x.csv", table(LABELS))
    one, other = (Table(train=path, folds=3, fold=i, validation=0.2) for i in (1, 2))
    for split in ("train", "validation", "test"):
        assert one.read(only=split).splits[split].equals(one.read().splits[split])
        assert one.fingerprint()[split] != other.fingerprint()[split]
    assert (
        Table(train=path).fingerprint()["train"]
        == Table(train=path, folds=None).fingerprint()["train"]
    )


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"folds": 3}, "data.fold", "set data.folds and data.fold"),
        ({"folds": 3, "fold": 4}, "data.fold", "there are 3 folds"),
        ({"folds": 3, "fold": 1, "test": "y.csv"}, "data.test", "a file for that split is given"),
        ({"folds": 3, "fold": 1, "test": 0.1}, "data.test", "a file for that split is given"),
    ],
)
def test_refusals(options, key, words):
    with pytest.raises(UserError, match=words) as caught:
        Table(train="x.csv", **options)
    assert caught.value.key == key


def test_too_few_examples_and_sources_without_folds(write):
    with pytest.raises(UserError, match="in 3 parts that stay together"):
        Table(train=write("x.csv", table(["a"] * 3)), folds=4, fold=1).read()
    with pytest.raises(UserError, match="does not support folds"):
        Text(train="x.txt", folds=2, fold=1)


def test_folds_of_built_in_data_become_validation():
    source = SampleReviews(folds=2, fold=2, fold_split="validation", validation=None)
    assert source.read().splits["validation"].num_rows > 10
