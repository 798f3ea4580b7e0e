"""Published sets, read in place: as many examples as their authors counted."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.helpers.asked import made
from tests.helpers.costs import cost

from lushan.data.formats import Conll, Jsonl, Table, Text
from lushan.data.labels import labels_of
from lushan.data.source import Corpus
from lushan.text.tags import spans

DATA = Path(os.environ.get("LUSHAN_DATA") or Path(__file__).parents[5] / "shared" / "data")


@pytest.fixture
def folder():
    """The folder of one set."""

    def found(name: str) -> str:
        if not (DATA / name).is_dir():
            pytest.skip(f"no {name} in {DATA}; set LUSHAN_DATA to its folder")
        return str(DATA / name)

    return found


def sizes(corpus: Corpus) -> dict[str, int]:
    return {split: table.num_rows for split, table in corpus.splits.items()}


def entities(corpus: Corpus) -> dict[str, int]:
    return {
        split: sum(len(spans(tags, "iob2")) for tags in table["tags"].to_pylist())
        for split, table in corpus.splits.items()
    }


@pytest.mark.slow
def test_wnut17(folder) -> None:
    source = Conll(dir=folder("wnut17"), train="train.conll", validation="dev.conll")
    read = source.read()
    assert sizes(read) == {"train": 3394, "validation": 1009}
    words = {s: sum(map(len, t["tokens"].to_pylist())) for s, t in read.splits.items()}
    assert words == {"train": 62730, "validation": 15733}
    assert entities(read) == {"train": 1975, "validation": 836}
    assert read.scheme == "iob2"
    assert read.notes == []
    types = ["corporation", "creative-work", "group", "location", "person", "product"]
    assert labels_of(read) == types

    def plainly() -> None:
        for name in ("train", "dev"):
            text = (DATA / "wnut17" / f"{name}.conll").read_text(encoding="utf-8")
            [[line.split() for line in part.splitlines()] for part in text.split("\n\n")]

    assert cost(source.read, 2) < 20 * cost(plainly, 2)


def test_weibo_ner(folder) -> None:
    read = Conll(
        dir=folder("weibo_ner"),
        train="train.conll",
        validation="dev.conll",
        test="test.conll",
        strip_digit=True,
    ).read()
    assert sizes(read) == {"train": 1350, "validation": 270, "test": 270}
    # Of the authors' 1,885 and 414, and one more where a forbidden tag begins an entity.
    assert entities(read) == {"train": 1885 + 10, "validation": 389, "test": 414 + 4}
    assert "".join(read.splits["train"]["tokens"][0].as_py()).startswith("科技全方位资讯智能")
    assert [note.partition(" (")[0] for note in read.notes[:2]] == [
        "train: 10 tags are ill-formed in iob2",
        "test: 4 tags are ill-formed in iob2",
    ]
    assert "'I-PER.NOM' after 'I-PER.NAM' in" in read.notes[0]
    assert read.notes[0].endswith("train.conll:1266")


def test_weibo_ner_has_tags_that_iob2_forbids(folder, refused) -> None:
    source = Conll(dir=folder("weibo_ner"), train="train.conll", strip_digit=True, repair=False)
    error = refused(source.read)
    assert error.line == 1266
    assert "'I-PER.NOM' after 'I-PER.NAM'" in error.problem


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("sentences_50agree.csv", {"neutral": 2879, "positive": 1363, "negative": 604}),
        ("sentences_allagree.csv", {"neutral": 1391, "positive": 570, "negative": 303}),
    ],
)
def test_phrasebank(name: str, counts: dict[str, int], folder) -> None:
    place = folder("financial_phrasebank")
    whole = Table(dir=place, train=name).read().splits["train"]
    assert Counter(whole["label"].to_pylist()) == counts
    read = Table(
        dir=place, train=name, columns=["label", "sentence"], validation=0.1, test=0.1
    ).read()
    assert sum(sizes(read).values()) == whole.num_rows
    assert read.notes == []  # copies of a sentence are in one split
    for split in ("validation", "test"):
        part = Counter(read.splits[split]["label"].to_pylist())
        for label, count in counts.items():
            assert part[label] == pytest.approx(count / 10, abs=4)


@pytest.mark.slow
def test_tables_with_quotes_and_dates(folder) -> None:
    read = made(
        Table,
        dir=folder("ml_latest_small"),
        train="ratings.csv.gz",
        text="movieId",
        label="rating",
        label_kind="regression",
    ).read()
    assert sizes(read) == {"train": 100836}
    movies = Table(dir=folder("ml_latest_small"), train="movies.csv", text="title", label="genres")
    assert sizes(movies.read()) == {"train": 9742}


@pytest.mark.slow(1)
def test_jsonl_in_gzip(folder) -> None:
    read = Jsonl(
        dir=folder("zh_classics"),
        train="train.jsonl.gz",
        validation="valid.jsonl",
        text="text",
        label="kind",
    ).read()
    assert sizes(read) == {"train": 30627, "validation": 1614}
    assert labels_of(read) == ["ci", "lunyu", "qu", "shijing"]


def test_plain_text(folder) -> None:
    read = Text(dir=folder("tinyshakespeare"), train="input.txt", document="paragraph").read()
    assert sizes(read) == {"train": 7222}
    by_lines = Text(dir=folder("wikitext2"), train="valid.txt", document="line").read()
    assert sizes(by_lines) == {"train": 2461}
