"""Copies and near-duplicates, against brute force."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pyarrow as pa
import pytest

from lushan.audit import near
from lushan.audit.duplicates import Duplicates, duplicates_of, forms_of
from lushan.audit.shared import copies_of_train, notes_of
from lushan.audit.texts import key_of
from lushan.data.fields import DIALOGUES, DOCUMENTS

WORDS = [f"w{i}" for i in range(60)]


def table(*texts: str, **columns: list) -> pa.Table:
    rows = list(range(1, len(texts) + 1))
    named = {"id": [f"x:{i}" for i in rows], "text": list(texts), "line": rows}
    return pa.table(named | columns)


def found_in(**splits: pa.Table) -> Duplicates:
    return duplicates_of(splits, forms_of(splits, DOCUMENTS))


def mutated(texts: list[str], rng: random.Random, chinese: bool) -> list[str]:
    """The texts and versions of them with words changed, all different."""
    joint = "" if chinese else " "
    found = list(texts)
    for text in texts:
        units = list(text) if chinese else text.split()
        for _ in range(rng.randint(0, 3)):
            units[rng.randrange(len(units))] = "新" if chinese else "new"
            found.append(joint.join(units))
    return list(dict.fromkeys(found))


def brute_force(texts: list[str], size: int, chinese: bool) -> dict[tuple[int, int], float]:
    def shingles(text: str) -> set[tuple[str, ...]]:
        units = list(text) if chinese else text.split()
        return {tuple(units[i : i + size]) for i in range(max(1, len(units) - size + 1))}

    sets = [shingles(text) for text in texts]
    pairs = itertools.combinations(range(len(texts)), 2)
    return {(i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in pairs}


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_near_duplicates_are_those_of_brute_force(chinese: bool, threshold: float) -> None:
    rng = random.Random(3)
    letters = [chr(0x4E00 + i) for i in range(200)]
    pool, joint, size = (letters, "", 3) if chinese else (WORDS, " ", 2)
    texts = [joint.join(rng.choices(pool, k=rng.randint(1, 40))) for _ in range(120)]
    texts = mutated(texts, rng, chinese)
    wanted = {
        pair: similar
        for pair, similar in brute_force(texts, size, chinese).items()
        if similar >= threshold
    }
    found = near.near_duplicates(texts, threshold)
    shown = dict(zip(map(tuple, found.pairs.tolist()), found.jaccard.tolist(), strict=True))
    assert len(wanted) > 40
    assert set(shown) == set(wanted)
    assert all(shown[pair] == pytest.approx(wanted[pair]) for pair in shown)
    assert found.unit == ("3 characters" if chinese else "2 words")


def test_parts_that_are_worked_on_one_by_one_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    texts = mutated([" ".join(rng.choices(WORDS, k=15)) for _ in range(80)], rng, False)
    whole = near.near_duplicates(texts, 0.6)
    monkeypatch.setattr(near, "_AT_ONCE", 40)
    parts = near.near_duplicates(texts, 0.6)
    assert len(whole.pairs) > 20
    assert np.array_equal(whole.pairs, parts.pairs)
    assert np.array_equal(whole.jaccard, parts.jaccard)


def test_texts_with_too_many_partners_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST_PARTNERS", 5)
    texts = ["Same words and another mark" + "!" * i for i in range(12)]
    found = near.near_duplicates(texts)
    assert found.capped == 6
    assert len(found.pairs) < 12 * 11 / 2
    assert set(found.jaccard.tolist()) == {1.0}
    monkeypatch.setattr(near, "MOST_PARTNERS", 200)
    assert near.near_duplicates(texts).capped == 0
    assert len(near.near_duplicates(texts).pairs) == 12 * 11 // 2


def test_texts_without_words_are_no_near_duplicates() -> None:
    assert not len(near.near_duplicates(["!!!", "???", "", "…"]).pairs)
    assert not len(near.near_duplicates([]).pairs)


def test_exact_copies_in_their_normal_form() -> None:
    train = table("caf\u00e9  au lait", "b c", "b c", "", "D e")
    validation = table(" cafe\u0301 au\u3000lait\n", "d e", " ", "b c", "b\tc")
    test = table("d e", "z")
    found = found_in(train=train, validation=validation, test=test)
    within = {w.split: (w.texts, w.empty, w.exact) for w in found.within}
    assert within == {"train": (4, 1, 1), "validation": (4, 1, 1), "test": (2, 0, 0)}
    across = {(a.split, a.other): (a.exact, a.near) for a in found.across}
    # "d e" is "D e" to shingles, and no copy of it.
    assert across == {
        ("validation", "train"): (3, 1),
        ("test", "train"): (0, 1),
        ("test", "validation"): (1, 0),
    }
    exact = [(p.first.id, p.second.split, p.second.id) for p in found.pairs if p.exact]
    assert exact == [
        ("x:1", "train", "x:1"),
        ("x:4", "train", "x:2"),
        ("x:5", "train", "x:2"),
        ("x:1", "validation", "x:2"),
    ]


def test_near_rows_are_counted_with_their_copies() -> None:
    text = " ".join(WORDS[:20])
    train = table(text, f"{text} more", f"{text} more", "else")
    test = table(text.replace("w0", "v0"), text.replace("w0", "v0"), text)
    found = found_in(train=train, test=test)
    assert {w.split: (w.exact, w.near) for w in found.within} == {"train": (1, 3), "test": (1, 3)}
    assert [(a.exact, a.near) for a in found.across] == [(1, 2)]
    across = [p for p in found.pairs if p.first.split != p.second.split and not p.exact]
    assert [(p.first.id, p.second.id, p.jaccard) for p in across] == [
        ("x:1", "x:1", pytest.approx(18 / 20)),
        ("x:2", "x:1", pytest.approx(18 / 20)),
    ]


def test_too_much_text_for_near_duplicates_is_reported_by_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near, "MOST_CHARACTERS", 3)
    found = found_in(train=table("a b c", "a b c d"))
    assert found.unit is None
    assert found.within[0].near is None


def test_parts_of_dialogues_and_pairs_stay_apart() -> None:
    assert key_of(("a b", "c")) != key_of(("a", "b c"))
    assert key_of((" ", "\t")) == ""
    printed = [[{"role": "user", "content": "Hi "}, {"role": "assistant", "content": "yes"}]]
    other = [[{"role": "user", "content": "Hi yes"}]]
    train = pa.table({"id": ["a"], "messages": printed, "line": [1]})
    assert copies_of_train({"train": train, "test": train}, DIALOGUES) == {"test": [True]}
    other_table = pa.table({"id": ["a"], "messages": other, "line": [1]})
    assert copies_of_train({"train": train, "test": other_table}, DIALOGUES) == {"test": [False]}


# The line that training prints


def test_the_line_replaces_what_the_source_said() -> None:
    splits = {"train": table("a", "b"), "validation": table(" b", "b", "c", " ")}
    printed = [
        "validation: 1 of 4 texts also occur in train",
        "part: validation: 1 of 2 texts also occur in train",  # a mixture's
        "test: 3 messages are empty",
    ]
    assert notes_of(splits, DOCUMENTS, printed) == [
        "2 of 4 validation texts also in train",
        "test: 3 messages are empty",
    ]
    assert notes_of({"train": splits["train"], "test": table("c")}, DOCUMENTS, []) == []


def test_too_much_text_leaves_the_notes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lushan.audit.shared.LARGEST", 3)
    splits = {"train": table("aa", "b"), "validation": table("b")}
    printed = ["validation: 1 of 1 texts also occur in train"]
    assert notes_of(splits, DOCUMENTS, printed) == printed
    assert copies_of_train(splits, DOCUMENTS) is None
