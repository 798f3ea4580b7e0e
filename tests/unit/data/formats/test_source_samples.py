"""The built-in sets: always the same, varied, and without files."""

from __future__ import annotations

import hashlib

import pytest

from lushan.data.formats import SampleNER, SamplePairs, SampleReviews
from lushan.data.labels import labels_of
from lushan.text.tags import violations

BOTH = (SampleNER, SampleReviews)


@pytest.mark.parametrize("source", BOTH)
def test_sizes_and_no_copies(source: type) -> None:
    read = source().read()
    assert {s: t.num_rows for s, t in read.splits.items()} == {
        "train": 200,
        "validation": 60,
        "test": 60,
    }
    assert read.notes == []
    assert len(labels_of(read)) == 3


@pytest.mark.parametrize(
    ("source", "digest"), [(SampleNER, "c8af6c4eddef"), (SampleReviews, "3920b268b18d")]
)
def test_the_same_everywhere(source: type, digest: str) -> None:
    # A change moves the numbers of the quickstart and of every golden test.
    text = repr(sorted(source().fingerprint().items()))
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == digest


def test_tags_are_sound() -> None:
    for table in SampleNER().read().splits.values():
        assert not any(violations(tags, "iob2") for tags in table["tags"].to_pylist())
        pairs = zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True)
        assert all(len(tokens) == len(tags) for tokens, tags in pairs)


def test_evaluation_has_new_words() -> None:
    for source, column in ((SampleNER, "tokens"), (SampleReviews, "text")):
        splits = source().read().splits

        def words(split: str, splits=splits, column=column) -> set[str]:
            rows = splits[split][column].to_pylist()
            return {w for row in rows for w in (row.split() if isinstance(row, str) else row)}

        assert words("test") - words("train")


@pytest.mark.parametrize("source", BOTH)
def test_files_are_refused(source: type, refused) -> None:
    error = refused(source, train="mine.conll")
    assert error.key == "data.train"
    assert "data=conll" in error.hint


@pytest.mark.parametrize("source", BOTH)
def test_splits_may_be_left_out(source: type) -> None:
    assert list(source(test=None).read().splits) == ["train", "validation"]
    assert list(source(test=None).fingerprint()) == ["train", "validation"]


def test_headlines() -> None:
    read = SamplePairs().read()
    assert next(iter(read.fields)) == "source"
    assert {s: t.num_rows for s, t in read.splits.items()} == {
        "train": 200,
        "validation": 60,
        "test": 60,
    }
    assert read.notes == []
    for split, table in read.splits.items():
        assert {len(t) for t in table["targets"].to_pylist()} == {1 if split == "train" else 2}
        pairs = zip(table["source"].to_pylist(), table["lead"].to_pylist(), strict=True)
        assert all(source.startswith(lead) for source, lead in pairs)
    first = read.splits["train"].slice(0, 1).to_pylist()[0]
    assert first["source"] == (
        "After long talks Delta hired Tom . 昨天有人在北京见到了李白。北京今天下雨。"
    )
    assert first["targets"] == ["Tom joins Delta"]
    assert read.splits["test"]["targets"][0].as_py() == ["黄河清在庐山", "庐山见到黄河清"]
