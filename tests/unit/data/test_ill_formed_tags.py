"""Tags as people annotate them: a few errors among thousands of entities, or another scheme."""

from __future__ import annotations

import pytest
from tests.helpers.tagged import conll_2003, sentences, with_strays

from lushan.data.formats import Conll, Jsonl
from lushan.text.tags import SCHEMES, spans

COUNT = 300
PLACES = (140, 240)
STRAYS = {
    "iob1": ["B-MISC", "S-PER", "E-PER"],
    "iob2": ["I-MISC", "S-PER", "E-PER", "U-LOC"],
    "iobes": ["I-MISC", "B-PER", "E-LOC", "L-LOC", "U-PER"],
    "bilou": ["I-MISC", "B-PER", "L-LOC", "E-LOC", "S-PER", "M-PER"],
    "bmes": ["M-MISC", "B-PER", "E-LOC", "I-LOC", "U-PER"],
}
CASES = [(scheme, stray) for scheme in SCHEMES for stray in STRAYS[scheme]]


def entities(tags: list[list[str]], scheme: str) -> list[list[tuple[int, int, str]]]:
    return [spans(row, scheme) for row in tags]


def test_conll_2003_as_it_is_distributed(write) -> None:
    tags = with_strays(sentences(1500, "iob1"), "B-MISC", (700, 1200))
    path = write("eng.train", conll_2003(tags))
    read = Conll(train=path).read()
    assert read.scheme == "iob1"
    table = read.splits["train"]
    assert table.num_rows == 1500
    assert entities(table["tags"].to_pylist(), "iob2") == entities(tags, "iob1")
    total = sum(map(len, entities(tags, "iob1")))
    line = conll_2003(tags).splitlines().index("w700x1 NN I-NP B-MISC") + 1
    assert read.notes == [
        f"train: 2 tags are ill-formed in iob1 ({total:,} entities) and were interpreted as in "
        f"conlleval; the first: 'B-MISC' after 'O' in {path}:{line}"
    ]


@pytest.mark.parametrize(("scheme", "stray"), CASES)
def test_a_few_stray_tags(scheme: str, stray: str, write, refused) -> None:
    """They change neither the scheme nor any other entity, and are entities of one word."""
    tags = with_strays(sentences(COUNT, scheme), stray, PLACES)
    path = write("x", conll_2003(tags))
    read = Conll(train=path).read()
    assert read.scheme == scheme
    found = entities(read.splits["train"]["tags"].to_pylist(), "iob2")
    clean = entities(sentences(COUNT, scheme), scheme)
    for place, (ours, wanted) in enumerate(zip(found, clean, strict=True)):
        more = [(1, 2, stray[2:])] if place in PLACES else []
        assert ours == more + wanted
    assert read.notes[0].startswith(f"train: 2 tags are ill-formed in {scheme} (")

    error = refused(Conll(train=path, repair=False).read)
    assert f"{stray!r}" in error.problem
    assert error.line == conll_2003(tags).splitlines().index(f"w140x1 NN I-NP {stray}") + 1
    assert "data.repair=null" in error.hint


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("named", SCHEMES)
def test_a_scheme_that_is_not_theirs(scheme: str, named: str, write, refused) -> None:
    path = write("x", conll_2003(sentences(200, scheme)))
    if named == scheme:
        assert Conll(train=path, scheme=named).read().notes == []
        return
    error = refused(Conll(train=path, scheme=named).read)
    assert error.line
    assert "tags are ill-formed, of" in error.problem
    assert f"{scheme} fits better (0 ill-formed tags): data.scheme={scheme}." in error.hint
    read = Conll(train=path, scheme=named, repair=True).read()
    assert entities(read.splits["train"]["tags"].to_pylist(), "iob2") == entities(
        sentences(200, scheme), scheme
    )


@pytest.mark.parametrize(("strays", "allowed"), [(1, True), (2, False)])
def test_the_share_that_is_read(strays: int, allowed: bool, write, refused) -> None:
    """1 of 100 entities is an error of annotation; 2 are not."""
    tags = [["B-PER", "O", "O"]] * (100 - strays) + [["O", "I-LOC", "O"]] * strays
    path = write("x", conll_2003(tags))
    if allowed:
        assert "1 tag is ill-formed in iob2 (100 entities)" in Conll(train=path).read().notes[0]
        return
    error = refused(Conll(train=path).read)
    assert "2 tags are ill-formed, of 100 entities" in error.problem
    assert "No other scheme fits better" in error.hint
    assert "data.repair=true" in error.hint


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("places", [[4], [2, 6]])
def test_a_stray_tag_in_a_small_file(scheme: str, places: list[int], write) -> None:
    """1 % of few entities is less than one, and that their scheme fits best is clear."""
    for stray in STRAYS[scheme]:
        clean = sentences(12, scheme)
        tags = with_strays(clean, stray, places)
        assert sum(map(len, entities(tags, scheme))) < 100
        read = Conll(train=write("x", conll_2003(tags))).read()
        assert read.scheme == scheme
        assert f"ill-formed in {scheme}" in read.notes[0]
        assert read.notes[0].startswith(f"train: {len(places)} tag")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("named", SCHEMES)
def test_a_wrong_scheme_is_seen_in_a_small_file_too(scheme, named, write, refused) -> None:
    tags = sentences(8, scheme)
    path = write("x", conll_2003(tags))
    if entities(tags, named) == entities(tags, scheme) and named == scheme:
        return
    error = refused(Conll(train=path, scheme=named).read)
    assert "ill-formed, of" in error.problem


@pytest.mark.parametrize(
    "tags",
    [
        [["I-PER", "O", "B-LOC"]],  # either of two schemes
        [["B-PER", "O"], ["B-LOC", "O"], ["I-PER", "O"], ["O", "I-LOC"]],
        [["B-PER", "O"]] * 20 + [["O", "I-LOC"]] * 3,
    ],
)
def test_what_few_tags_do_not_tell_is_refused(tags, write, refused) -> None:
    assert "ill-formed, of" in refused(Conll(train=write("x", conll_2003(tags))).read).problem


def test_a_small_split_is_read_as_all_splits_tell(write) -> None:
    train = write("train", conll_2003(sentences(200, "iob2")))
    test = write("test", conll_2003([["B-PER", "O"], ["O", "I-LOC"]]))
    read = Conll(train=train, test=test).read()
    assert read.splits["test"]["tags"].to_pylist() == [["B-PER", "O"], ["O", "B-LOC"]]
    assert read.notes[0].startswith("test: 1 tag is ill-formed in iob2 (2 entities)")


def test_a_split_in_another_scheme(write, refused) -> None:
    train = write("train", conll_2003(sentences(200, "iob1")))
    test = write("test", conll_2003(sentences(200, "iob2", seed=1)))
    error = refused(Conll(train=train, test=test).read)
    assert error.file == test
    assert "The training split is in iob1 and this one in iob2" in error.hint


@pytest.mark.parametrize("repair", [None, True, False])
def test_what_no_scheme_has_is_refused_with_its_line(repair: bool | None, write, refused) -> None:
    path = write("x", conll_2003(with_strays(sentences(COUNT, "iob2"), "Q-PER", [140])))
    error = refused(Conll(train=path, repair=repair).read)
    assert (error.value, "not a tag of any scheme" in error.problem) == ("Q-PER", True)
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        assert file.read().splitlines()[error.line - 1].endswith("Q-PER")


def test_rows_of_token_lists(write) -> None:
    import json

    tags = with_strays(sentences(COUNT, "iob1"), "B-MISC", PLACES)
    rows = [{"tokens": [f"w{i}" for i in range(len(row))], "tags": row} for row in tags]
    path = write("x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    read = Jsonl(train=path).read()
    assert read.scheme == "iob1"
    assert f"'B-MISC' after 'O' (word 2, 'w1') in {path}:141" in read.notes[0]
