"""Tag schemes, by hand and against seqeval."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

from lushan.errors import UserError
from lushan.text.tag_detection import detect
from lushan.text.tags import (
    SCHEMES,
    Span,
    convert,
    repair,
    spans,
    tag_set,
    to_tags,
    transitions,
    violations,
)

# 李白 and 杜甫 side by side, then a place of one character: 李白杜甫在蜀
CHINESE = [Span(0, 2, "人名"), Span(2, 4, "人名"), Span(5, 6, "地名")]
WRITTEN = {
    "iob1": ["I-人名", "I-人名", "B-人名", "I-人名", "O", "I-地名"],
    "iob2": ["B-人名", "I-人名", "B-人名", "I-人名", "O", "B-地名"],
    "iobes": ["B-人名", "E-人名", "B-人名", "E-人名", "O", "S-地名"],
    "bilou": ["B-人名", "L-人名", "B-人名", "L-人名", "O", "U-地名"],
    "bmes": ["B-人名", "E-人名", "B-人名", "E-人名", "O", "S-地名"],
}
LONG = {
    "iob2": ["B-creative-work", "I-creative-work", "I-creative-work"],
    "iobes": ["B-creative-work", "I-creative-work", "E-creative-work"],
    "bilou": ["B-creative-work", "I-creative-work", "L-creative-work"],
    "bmes": ["B-creative-work", "M-creative-work", "E-creative-work"],
}


def sentences(scheme: str, types: tuple[str, ...] = ("PER", "LOC")) -> st.SearchStrategy[list[str]]:
    """Any tags of a scheme, allowed or not where they stand."""
    return st.lists(st.sampled_from(tag_set(types, scheme)), max_size=8)


@st.composite
def span_lists(draw: st.DrawFn) -> tuple[list[Span], int]:
    found, at = [], 0
    for gap, size, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("甲乙")))
    ):
        found.append(Span(at + gap, at + gap + size, label))
        at += gap + size
    return found, at + draw(st.integers(0, 2))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_chinese_by_hand(scheme: str) -> None:
    assert to_tags(CHINESE, 6, scheme) == WRITTEN[scheme]
    assert spans(WRITTEN[scheme], scheme) == CHINESE
    assert spans(WRITTEN[scheme], scheme, strict=True) == CHINESE
    assert violations(WRITTEN[scheme], scheme) == []
    for target in SCHEMES:
        assert convert(WRITTEN[scheme], scheme, target) == WRITTEN[target]


@pytest.mark.parametrize("scheme", LONG)
def test_label_with_a_hyphen(scheme: str) -> None:
    assert spans(LONG[scheme], scheme, strict=True) == [Span(0, 3, "creative-work")]
    assert convert(LONG["iob2"], "iob2", scheme) == LONG[scheme]


def test_tags_without_a_type() -> None:
    # word segmentation: 庐山 | 真 | 面目
    assert spans(["B", "E", "S", "B", "E"], "bmes", strict=True) == [
        Span(0, 2, ""), Span(2, 3, ""), Span(3, 5, ""),
    ]  # fmt: skip
    assert convert(["B", "E", "S"], "bmes", "iob2") == ["B", "I", "B"]
    assert tag_set([""], "iob2") == ["O", "B", "I"]


@given(span_lists(), st.sampled_from(SCHEMES), st.sampled_from(SCHEMES))
def test_round_trip(case: tuple[list[Span], int], source: str, target: str) -> None:
    entities, length = case
    tags = to_tags(entities, length, source)
    assert spans(tags, source) == spans(tags, source, strict=True) == entities
    assert violations(tags, source) == []
    assert spans(convert(tags, source, target), target) == entities


@pytest.mark.parametrize(
    ("scheme", "theirs"), [("iob2", IOB2), ("iobes", IOBES), ("bilou", BILOU), ("iob1", IOB1)]
)
def test_strict_is_seqevals(scheme: str, theirs: type) -> None:
    @given(sentences(scheme))
    def compare(tags: list[str]) -> None:
        if scheme == "iob1" and violations(tags, scheme):
            return  # the documented difference
        found = [Span(e.start, e.end, e.tag) for e in Tokens(tags, theirs).entities]
        assert spans(tags, scheme, strict=True) == found

    compare()


@pytest.mark.parametrize("scheme", ["iob1", "iob2", "iobes"])
@given(st.lists(st.sampled_from(["O", *(f"{x}-{k}" for x in "BIES" for k in "XY")]), max_size=9))
def test_letters_of_several_schemes_are_read_as_conlleval_reads_them(
    scheme: str, tags: list[str]
) -> None:
    theirs = [Span(start, end + 1, label) for label, start, end in get_entities(tags)]
    assert spans(tags, scheme) == theirs


def test_iob1_strict_drops_the_whole_entity() -> None:
    tags = ["B-PER", "I-PER", "O", "I-PER"]
    assert spans(tags, "iob1", strict=True) == [Span(3, 4, "PER")]
    assert spans(tags, "iob1") == [Span(0, 2, "PER"), Span(3, 4, "PER")]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lenient_repair_and_transitions_agree(scheme: str) -> None:
    """What transitions allow is exactly what has no violation and what repair leaves alone."""
    names = tag_set(["PER", "LOC"], scheme)
    index = {tag: i for i, tag in enumerate(names)}
    allowed = transitions(names, scheme)

    @given(sentences(scheme))
    def compare(tags: list[str]) -> None:
        ids = [index[tag] for tag in tags]
        fits = not ids or (
            allowed.start[ids[0]]
            and allowed.end[ids[-1]]
            and all(allowed.between[a, b] for a, b in itertools.pairwise(ids))
        )
        assert fits == (violations(tags, scheme) == [])
        assert fits == (repair(tags, scheme) == tags)
        if fits:
            assert spans(tags, scheme, strict=True) == spans(tags, scheme)
        assert violations(repair(tags, scheme), scheme) == []
        assert spans(repair(tags, scheme), scheme) == spans(tags, scheme)

    compare()


def test_transitions_by_hand() -> None:
    found = transitions(["O", "B-X", "I-X", "E-X", "S-X", "I-Y"], "iobes")
    assert found.between.dtype == found.start.dtype == found.end.dtype == np.bool_
    assert found.between.astype(int).tolist() == [
        # O  B  I  E  S  I-Y
        [1, 1, 0, 0, 1, 0],  # O
        [0, 0, 1, 1, 0, 0],  # B
        [0, 0, 1, 1, 0, 0],  # I
        [1, 1, 0, 0, 1, 0],  # E
        [1, 1, 0, 0, 1, 0],  # S
        [0, 0, 0, 0, 0, 1],  # I-Y
    ]
    assert found.start.astype(int).tolist() == [1, 1, 0, 0, 1, 0]
    assert found.end.astype(int).tolist() == [1, 0, 0, 1, 1, 0]


def test_tag_set_order() -> None:
    assert tag_set(["PER", "LOC"], "iob2") == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert tag_set(["人"], "bilou") == ["O", "B-人", "I-人", "L-人", "U-人"]


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        (["O", "I-PER"], "iob2", [(1, "'I-PER' after 'O'", "B-PER")]),
        (["I-PER"], "iob2", [(0, "'I-PER' at the start", "B-PER")]),
        (["B-PER", "I-LOC"], "iob2", [(1, "'I-LOC' after 'B-PER'", "B-LOC")]),
        (["O", "B-PER"], "iob1", [(1, "'B-PER' after 'O'", "I-PER")]),
        (["B-PER", "O"], "iobes", [(0, "'B-PER' before 'O'", "S-PER")]),
        (["B-PER", "I-PER"], "iobes", [(1, "'I-PER' at the end", "E-PER")]),
        (["O", "L-PER"], "bilou", [(1, "'L-PER' after 'O'", "U-PER")]),
        (["U-PER", "I-PER", "L-PER"], "bilou", [(1, "'I-PER' after 'U-PER'", "B-PER")]),
    ],
)
def test_violations_have_their_place(
    tags: list[str], scheme: str, expected: list[tuple[int, str, str]]
) -> None:
    found = violations(tags, scheme)
    assert [(v.position, v.problem, v.repaired) for v in found] == expected
    assert [v.tag for v in found] == [tags[v.position] for v in found]


def test_what_is_no_tag_at_all() -> None:
    found = violations(["B-PER", "E-PER", "PER", "B-", ""], "iob2")
    assert [(v.position, v.repaired) for v in found] == [(2, None), (3, None), (4, None)]
    with pytest.raises(UserError, match=r"not a tag of any scheme.*'Q-PER'"):
        spans(["B-PER", "Q-PER"], "iob2")
    with pytest.raises(UserError, match="not a tag"):
        transitions(["O", "PER"], "iob2")


def test_letters_of_another_scheme_are_ill_formed() -> None:
    tags = ["B-PER", "E-PER", "O", "S-LOC", "B-PER"]
    found = violations(tags, "iob2")
    assert [(v.position, v.problem, v.repaired) for v in found] == [
        (1, "'E-PER' is not a tag of the scheme iob2", "I-PER"),
        (3, "'S-LOC' is not a tag of the scheme iob2", "B-LOC"),
    ]
    assert spans(tags, "iob2") == [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(4, 5, "PER")]
    assert spans(tags, "iob2", strict=True) == [Span(4, 5, "PER")]


def test_convert_refuses_unless_lenient() -> None:
    with pytest.raises(UserError, match="'I-PER' after 'O' at word 2, which iob2 forbids"):
        convert(["O", "I-PER"], "BIO", "bilou")
    assert convert(["O", "I-PER"], "iob2", "bilou", lenient=True) == ["O", "U-PER"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([["B-PER", "I-PER", "O"], ["O", "B-LOC"]], "iob2"),
        ([["I-PER", "I-PER", "O"], ["I-LOC", "B-LOC"]], "iob1"),
        ([["B-PER"], ["B-LOC"], ["O", "I-PER"]], "iob2"),  # two against one
        ([["B-PER", "O"], ["O", "I-PER"], ["I-LOC"], ["I-PER"]], "iob1"),  # one against three
        ([["B-PER"], ["I-PER"]], "iob2"),  # as many against either
        ([["B-PER", "I-PER"], ["B-PER"]], "iob2"),
        ([["I-PER", "O"]], "iob1"),  # IO
        ([["B-PER"]], "iob2"),
        ([["O"], []], "iob2"),
        ([], "iob2"),
        ([["B-PER", "E-PER", "S-LOC"]], "iobes"),
        ([["S-LOC"]], "iobes"),
        ([["B-PER", "I-PER", "L-PER"]], "bilou"),
        ([["U-PER"], ["O"]], "bilou"),
        ([["B", "M", "E", "S"]], "bmes"),
    ],
)
def test_detect(data: list[list[str]], expected: str) -> None:
    assert detect(data) == expected


@pytest.mark.parametrize(
    "data", [["B-PER", "L-PER", "E-PER"], ["PER"], ["M-X", "I-X"], ["NN", "VB"]]
)
def test_detect_refuses_mixtures(data: list[str]) -> None:
    with pytest.raises(UserError, match="match no scheme") as caught:
        detect([data])
    assert caught.value.value in data


@given(st.lists(span_lists(), min_size=1), st.sampled_from(["iob1", "iob2", "iobes", "bilou"]))
def test_detect_reads_what_was_written(cases: list[tuple[list[Span], int]], scheme: str) -> None:
    data = [to_tags(found, length, scheme) for found, length in cases]
    named = detect(data)
    if any(found for found, _ in cases):
        assert named == scheme
    assert [spans(tags, named) for tags in data] == [found for found, _ in cases]


def test_scheme_names() -> None:
    with pytest.raises(UserError, match=r"unknown tag scheme.*'iob3'"):
        spans([], "iob3")
    assert tag_set(["X"], "BIOES") == tag_set(["X"], "iobes")


@pytest.mark.parametrize(
    "bad", [[Span(0, 2, "A"), Span(1, 3, "A")], [Span(0, 9, "A")], [Span(1, 1, "A")]]
)
def test_to_tags_refuses_impossible_spans(bad: list[Span]) -> None:
    with pytest.raises(ValueError, match="overlaps"):
        to_tags(bad, 4, "iob2")
