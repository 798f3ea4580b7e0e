"""Splits by share: seeded, stratified, copies together; limits; one split alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.asked import KINDS, made

from lushan.data.fields import LABELLED
from lushan.data.formats import Conll, SampleNER, SampleReviews, Table
from lushan.data.labels import labels_of
from lushan.data.splits import _assign, divide
from lushan.errors import UserError


def table(labels: list[str], texts: list[str] | None = None) -> str:
    texts = texts or [f"text {i}" for i in range(len(labels))]
    return "label,text\n" + "".join(f"{a},{b}\n" for a, b in zip(labels, texts, strict=True))


PINNED_VALIDATION = [16, 31, 41, 53, 78]
PINNED_TEST = [10, 32, 50, 82, 97]
LABELS = ["a"] * 70 + ["b"] * 20 + ["c"] * 10


def counts(part) -> Counter[str]:
    return Counter(part["label"].to_pylist())


def test_shares_of_each_label(write) -> None:
    splits = Table(train=write("x.csv", table(LABELS)), validation=0.1, test=0.2).read().splits
    assert list(splits) == ["train", "validation", "test"]
    assert {name: part.num_rows for name, part in splits.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    for split, share in (("validation", 10), ("test", 20)):
        for label, count in counts(splits[split]).items():
            assert count == pytest.approx(Counter(LABELS)[label] * share / 100, abs=1)
    ids = [i for part in splits.values() for i in part["id"].to_pylist()]
    assert len(set(ids)) == 100


def test_rows_keep_their_order_and_place(write) -> None:
    splits = Table(train=write("x.csv", table(LABELS)), validation=0.3).read().splits
    for part in splits.values():
        lines = part["line"].to_pylist()
        assert lines == sorted(lines)
        assert part["text"].to_pylist() == [f"text {n - 2}" for n in lines]


def test_the_seed_decides(write) -> None:
    path = write("x.csv", table(LABELS))
    one, again, other = (
        Table(train=path, test=0.1, seed=seed).read().splits["test"]["id"].to_pylist()
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_this_is_the_split_that_runs_were_made_with(write) -> None:
    # Pinned: another split of the same data under the same seed would change published numbers.
    splits = Table(train=write("x.csv", table(LABELS)), validation=0.05, test=0.05).read().splits
    assert splits["validation"]["line"].to_pylist() == PINNED_VALIDATION
    assert splits["test"]["line"].to_pylist() == PINNED_TEST


def test_copies_stay_together(write) -> None:
    texts = [f"text {i % 10}" for i in range(100)]
    splits = Table(train=write("x.csv", table(LABELS, texts)), test=0.3).read().splits
    assert not set(splits["train"]["text"].to_pylist()) & set(splits["test"]["text"].to_pylist())
    assert splits["test"].num_rows == 30


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("aaaab"), st.integers(0, 12)), min_size=20, max_size=60),
    st.lists(st.tuples(st.sampled_from("rst"), st.integers(0, 3)), max_size=8),
    st.integers(0, 2**31),
)
def test_no_copy_is_ever_on_two_sides(common, rare, seed: int) -> None:
    """Also where a rare label comes back to be learned, and its text has copies."""
    rows = [*common, *((label, 100 + number) for label, number in rare)]
    rows_made = pa.table(
        {"text": [f"t{n}" for _, n in rows], "label": [label for label, _ in rows]}
    )
    try:
        splits = divide(rows_made, LABELLED, {"validation": 0.2, "test": 0.2}, seed, file="x")
    except UserError:
        return
    texts = {name: set(part["text"].to_pylist()) for name, part in splits.items()}
    for one, other in itertools.combinations(texts.values(), 2):
        assert not one & other
    assert sum(part.num_rows for part in splits.values()) == len(rows)
    learned = set(splits["train"]["label"].to_pylist())
    assert learned == {label for label, _ in rows}


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_copies_of_a_rare_example_come_back_together(kind: str) -> None:
    """The smallest case, for many seeds: two copies, of which one alone has the rare label."""
    texts = [f"t{i}" for i in range(20)] + ["same", "same"]
    labels = ["a"] * 20 + ["a", "rare"]
    columns = {"text": texts, "label": labels}
    if kind == "tokens":
        columns = {"tokens": [[t] for t in texts], "tags": [[f"B-{label}"] for label in labels]}
    for seed in range(100):
        parts = divide(pa.table(columns), KINDS[kind], {"validation": 0.3}, seed, file="x")
        train, held = (map(str, parts[name][kind].to_pylist()) for name in ("train", "validation"))
        assert not set(train) & set(held), seed


def test_every_label_is_trained_on(write) -> None:
    labels = ["a"] * 50 + [f"rare{i}" for i in range(20)]
    read = Table(train=write("x.csv", table(labels)), validation=0.3, test=0.3).read()
    assert len(labels_of(read)) == 21


def test_stratified_by_the_rarest_type(write) -> None:
    sentences = ["Ann B-PER\n"] * 80 + ["Ann B-PER\nRome B-LOC\n"] * 20
    content = "\n".join(f"w{i} O\n{s}" for i, s in enumerate(sentences))
    test = Conll(train=write("x", content), test=0.2).read().splits["test"]
    assert sum("B-LOC" in tags for tags in test["tags"].to_pylist()) == pytest.approx(4, abs=1)


def test_numbers_are_stratified_by_size(write) -> None:
    path = write("x.csv", "text,label\n" + "".join(f"t{i},{i}\n" for i in range(100)))
    test = made(Table, train=path, test=0.2, label_kind="regression").read().splits["test"]
    assert sum(test["label"].to_pylist()) / 20 == pytest.approx(49.5, abs=5)


def test_a_share_of_too_little(write, refused) -> None:
    path = write("x.csv", table(["a", "b", "a"]))
    error = refused(Table(train=path, test=0.1).read)
    assert error.key == "data.test"
    assert error.file == path


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=200),
    st.floats(0, 0.5),
    st.integers(0, 9),
)
def test_assignment_is_exact(keys: list[str], share: float, seed: int) -> None:
    size = round(share * len(keys))
    owner = _assign(keys, {"test": size}, seed)
    assert owner.count("test") == size
    for key, count in Counter(keys).items():
        taken = sum(o == "test" and k == key for o, k in zip(owner, keys, strict=True))
        assert abs(taken - count * size / len(keys)) <= 1


# limit and only


def test_limit_takes_each_label_its_share() -> None:
    whole = SampleReviews().read()
    small = SampleReviews(limit=30).read()
    assert [part.num_rows for part in small.splits.values()] == [30, 30, 30]
    for label, count in counts(whole.splits["train"]).items():
        assert counts(small.splits["train"])[label] == pytest.approx(count * 30 / 200, abs=1)


def test_limit_keeps_all_labels() -> None:
    assert labels_of(SampleNER(limit=1).read()) == ["LOC", "ORG", "PER"]


def test_limit_beyond_the_data_changes_nothing() -> None:
    assert SampleNER(limit=10_000).read().splits == SampleNER().read().splits


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_one_split_alone_is_the_same(split: str, write) -> None:
    train, test = write("x.csv", table(LABELS)), write("y.csv", table(["a", "b"]))
    source = Table(train=train, validation=0.1, test=test)
    assert source.read(only=split).splits == {split: source.read().splits[split]}


def test_one_split_alone_leaves_other_files_shut(write) -> None:
    test = write("y.csv", table(["a", "b"]))
    assert Table(train="not there", test=test).read(only="test").splits["test"].num_rows == 2


def test_the_scheme_of_one_split_is_that_of_train(write) -> None:
    train, test = write("a", "x I-PER\ny I-PER\n"), write("b", "x I-PER\ny O\n")
    source = Conll(train=train, test=test)
    read = source.read(only="test")
    assert read.scheme == source.read().scheme == "iob1"
    assert list(read.splits) == ["test"]


def test_a_split_that_is_not_there(write, refused) -> None:
    source = Table(train=write("x.csv", table(LABELS)))
    assert refused(source.read, only="test").key == "data.test"


# A share of the training split


def test_a_share_of_training_keeps_labels_and_leaves_the_rest(write) -> None:
    path = write("x.csv", table(LABELS))
    whole = Table(train=path, test=0.2).read()
    half = Table(train=path, test=0.2, train_share=0.5).read()
    assert half.splits["test"] == whole.splits["test"]
    for label, count in counts(whole.splits["train"]).items():
        assert counts(half.splits["train"])[label] == pytest.approx(count / 2, abs=1)
    assert "train: 40 examples are used for training, a share of 0.5" in half.notes


def test_smaller_shares_lie_within_larger_ones(write) -> None:
    path = write("x.csv", table(LABELS))
    shares = (0.01, 0.1, 0.3, 0.55, 1.0)
    tables = [Table(train=path, train_share=s).read().splits["train"] for s in shares]
    assert [part.num_rows for part in tables] == [1, 10, 30, 55, 100]
    ids = [part["id"].to_pylist() for part in tables]
    assert all(set(less) < set(more) for less, more in itertools.pairwise(ids))
    assert all(part["line"].to_pylist() == sorted(part["line"].to_pylist()) for part in tables)


def test_a_share_of_training_knows_all_labels() -> None:
    assert labels_of(SampleNER(train_share=0.01).read()) == ["LOC", "ORG", "PER"]


def test_a_share_of_training_changes_what_is_trained_on_alone(write) -> None:
    path = write("x.csv", table(LABELS))
    whole, part = (Table(train=path, test=0.2, train_share=s).fingerprint() for s in (None, 0.5))
    assert whole["test"] == part["test"]
    assert whole["train"] != part["train"]


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_no_share_of_training(share: float, refused) -> None:
    assert refused(SampleNER, train_share=share).key == "data.train_share"


def test_an_option_that_is_added_later_leaves_fingerprints_as_they_are(tmp_path):
    @dataclasses.dataclass(kw_only=True)
    class Later(Table):
        added: str | None = None

    Later.__name__ = Table.__name__
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(20)))
    given = {"train": str(path), "validation": 0.2}
    before = Table(**given).fingerprint()
    assert Later(**given).fingerprint() == before
    assert Later(**given, added="x").fingerprint() != before
    assert Table(**given, label_names=["a", "b"]).fingerprint() != before
