"""Labels, entities, accidents and lengths of an audit, against what is counted by hand."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from lushan.audit.accidents import accidents_of, kinds_of
from lushan.audit.apart import scores_apart
from lushan.audit.duplicates import duplicates_of, forms_of
from lushan.audit.entities import unseen_of
from lushan.audit.labels import contradictions_of, drift_of, labels_of
from lushan.audit.lengths import lengths_of, unknown_characters
from lushan.data.field_tables import usual
from lushan.data.fields import WORDS, Fields
from lushan.data.formats import Conll

DATA = Path(os.environ.get("LUSHAN_DATA") or Path(__file__).parents[4] / "shared" / "data")


def table(texts: list[str], **columns: list) -> pa.Table:
    rows = list(range(1, len(texts) + 1))
    return pa.table({"id": [f"x:{i}" for i in rows], "text": texts, "line": rows} | columns)


def fields_of(splits: dict[str, pa.Table]) -> Fields:
    return usual(next(iter(splits.values())))


def _labels_of(splits: dict[str, pa.Table]) -> Any:
    return labels_of(splits, fields_of(splits))


def _forms_of(splits: dict[str, pa.Table]) -> Any:
    return forms_of(splits, fields_of(splits))


def _unseen_of(splits: dict[str, pa.Table]) -> Any:
    return unseen_of(splits, fields_of(splits))


def tagged(*sentences: tuple[str, str]) -> pa.Table:
    rows = list(range(1, len(sentences) + 1))
    return pa.table(
        {
            "id": [f"x:{i}" for i in rows],
            "tokens": [words.split() for words, _ in sentences],
            "tags": [tags.split() for _, tags in sentences],
            "line": rows,
        }
    )


# Labels


def test_distribution_and_drift_of_classes() -> None:
    train = table(["x"] * 30, label=["a"] * 20 + ["b"] * 10)
    test = table(["x"] * 20, label=["a"] * 5 + ["b"] * 14 + ["c"])
    found = _labels_of({"train": train, "test": test})
    assert found.counts == {"train": {"a": 20, "b": 10, "c": 0}, "test": {"a": 5, "b": 14, "c": 1}}
    (drift,) = found.drift
    wanted = stats.chi2_contingency([[20, 10, 0], [5, 14, 1]], correction=False)
    assert drift.total_variation == pytest.approx(20 / 30 - 5 / 20)
    assert drift.statistic == pytest.approx(wanted.statistic)
    assert drift.p == pytest.approx(wanted.pvalue)
    association = stats.contingency.association(np.array([[20, 10, 0], [5, 14, 1]]), "cramer")
    assert drift.cramers_v == pytest.approx(association)
    assert (drift.small, drift.unlearned) == (2, ["c"])


def test_alike_splits_do_not_drift_and_single_classes_are_not_tested() -> None:
    same = drift_of("test", {"a": 20, "b": 10}, {"a": 4, "b": 2})
    assert (same.total_variation, same.cramers_v) == pytest.approx((0, 0))
    assert same.p == pytest.approx(1)
    one = drift_of("test", {"a": 3}, {"a": 2})
    assert (one.total_variation, one.p, one.cramers_v) == (0, None, None)
    assert math.isnan(drift_of("test", {"a": 3}, {}).total_variation)


def test_several_classes_are_counted_and_not_tested() -> None:
    train = table(["x", "y"], label=[["a", "b"], ["a"]])
    found = _labels_of({"train": train, "test": table(["z"], label=[["b"]])})
    assert found.counts == {"train": {"a": 2, "b": 1}, "test": {"a": 0, "b": 1}}
    assert found.drift[0].p is None
    assert found.drift[0].total_variation == pytest.approx(2 / 3)


def test_numbers_are_compared_by_their_distribution() -> None:
    train, test = [0.0, 1.0, 2.0, 3.0], [2.5, 3.5]
    found = _labels_of(
        {"train": table(["x"] * 4, label=train), "test": table(["x"] * 2, label=test)}
    )
    assert found.numbers["train"]["mean"] == 1.5
    assert found.drift[0].p == pytest.approx(stats.ks_2samp(train, test).pvalue)
    assert found.drift[0].total_variation == 0.75


def test_entities_are_the_labels_of_words() -> None:
    train = tagged(("Anna sees New York", "B-PER O B-LOC I-LOC"), ("Bo sleeps", "B-PER O"))
    assert _labels_of({"train": train}).counts == {"train": {"PER": 2, "LOC": 1}}
    assert labels_of({"train": table(["x"])}, {}) is None


def test_one_text_with_two_labels() -> None:
    train = table(["good", "bad", " good", "fine", ""], label=["pos", "neg", "pos", "pos", "neg"])
    test = table(["good ", "bad", ""], label=["neg", "neg", "pos"])
    splits = {"train": train, "test": test}
    (found,) = contradictions_of(splits, _forms_of(splits))
    assert (found.text, found.rows) == ("good", 3)
    places = {label: (place.split, place.id) for label, place in found.labels.items()}
    assert places == {"pos": ("train", "x:1"), "neg": ("test", "x:1")}
    empty = {"train": table(["", " "], label=["a", "b"])}
    assert contradictions_of(empty, _forms_of(empty)) == []


def test_one_sentence_with_two_taggings() -> None:
    splits = {
        "train": tagged(("Paris is here", "B-LOC O O"), ("so it is", "O O O")),
        "test": tagged(("Paris is here", "B-PER O O"), ("so it is", "O O O")),
    }
    (found,) = contradictions_of(splits, _forms_of(splits))
    assert list(found.labels) == ["Paris LOC@0", "Paris PER@0"]


# Entities


def test_entities_that_train_never_has() -> None:
    splits = {
        "train": tagged(("Anna in New York", "B-PER O B-LOC I-LOC"), ("Jordan", "B-LOC")),
        "validation": tagged(
            ("Jordan and Anna in York", "B-PER O B-PER O B-LOC"),
            ("Jordan in New York", "B-PER O B-LOC I-LOC"),
        ),
    }
    (found,) = _unseen_of(splits)
    assert (found.mentions, found.unseen, found.other_type) == (5, 3, 2)
    assert (found.distinct, found.distinct_unseen) == (4, 2)
    assert found.by_type == {"LOC": (2, 1), "PER": (3, 2)}
    assert found.examples == [("Jordan", "PER", 2), ("York", "LOC", 1)]
    assert _unseen_of({"validation": splits["validation"]}) == []
    assert _unseen_of({"train": table(["x"])}) == []


def test_seen_and_unseen_entities_are_scored_apart(refused) -> None:
    train = tagged(("Anna in Rome", "B-PER O B-LOC"))
    test = tagged(("Anna in Oslo", "B-PER O B-LOC"), ("Rome and Bo", "B-LOC O B-PER"))
    records = [
        {"id": "x:1", "predicted": ["B-PER", "O", "B-PER"]},  # Oslo as another type: unseen, wrong
        {"id": "x:2", "predicted": ["O", "O", "B-PER"]},
    ]
    found = scores_apart("test", test, WORDS, records, "predicted", train).scores
    counts = {name: (s.correct, s.predicted, s.support) for name, s in found.items()}
    assert counts == {"seen": (1, 1, 2), "unseen": (1, 2, 2), "all": (2, 3, 4)}
    assert found["seen"].recall == 0.5
    assert found["unseen"].precision == 0.5
    error = refused(scores_apart, "test", test, WORDS, records[::-1], "predicted", train)
    assert error.key == "--run"


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("name", "shared", "unseen"),
    [("wnut17", [(0, 1009)], [(836, 836)]), ("weibo_ner", [(42, 270), (40, 270), (8, 270)], None)],
)
def test_real_sets(name: str, shared: list, unseen: list | None) -> None:
    """As counted by a script of its own, which shares no code with this."""
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} in {DATA}; set LUSHAN_DATA to its folder")
    files = {"train": "train.conll", "validation": "dev.conll"}
    files |= {"test": "test.conll"} if unseen is None else {}
    options = {} if unseen else {"strip_digit": True}
    splits = Conll(dir=str(DATA / name), **files, **options).read().splits
    found = duplicates_of(splits, _forms_of(splits))
    assert [(across.exact, across.texts) for across in found.across] == shared
    wanted = unseen or [(193, 389), (239, 418)]
    assert [(entity.unseen, entity.mentions) for entity in _unseen_of(splits)] == wanted


# Accidents


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("plain\ttext\nwith 中文, naïve “quotes” and 👩‍👩‍👧", []),
        ("lost \ufffd\ufffd", ["replacement", "replacement"]),
        ("\ufeffbegins", ["bom"]),
        ("bell \x07 and \x85", ["control", "control"]),
        ("zero\u200bwidth", ["invisible"]),
        ("\ue000", ["private"]),
        ("cafÃ© â€œquoteâ€\x9d", ["mojibake", "mojibake", "mojibake"]),
        ("a &amp; b &#39; &unknown; &", ["html", "html"]),
        ("cafe\u0301", ["decomposed"]),
    ],
)
def test_accidents_of_a_text(text: str, kinds: list[str]) -> None:
    assert kinds_of(text) == kinds


def test_accidents_are_counted_by_split() -> None:
    splits = {"train": table(["a\ufffd\ufffd", "b", "\ufffd"]), "test": table(["clean"])}
    (found,) = accidents_of(splits, fields_of(splits), shown=1)
    assert (found.split, found.kind, found.texts, found.times) == ("train", "replacement", 2, 3)
    assert [place.id for place in found.examples] == ["x:1"]


# Lengths


def encoder(limit: int, stride: int | None = None):
    """Words as tokens with one more in front; what is too long is cut, or read in pieces."""

    def encode(rows: dict, first: int) -> dict:
        features: dict[str, list] = {n: [] for n in ("input_ids", "length", "example", "cut")}
        for number, text in enumerate(rows["text"], start=first):
            ids = [0] + [1 if word == "?" else 2 for word in text.split()]
            starts = range(0, len(ids), limit) if stride is not None else [0]
            for start in starts:
                piece = ids[start : start + limit]
                features["input_ids"].append(piece)
                features["length"].append(len(piece))
                features["example"].append(number)
                features["cut"].append(
                    len(ids) - limit if stride is None and len(ids) > limit else 0
                )
        return features

    return encode


def test_lengths_against_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lushan.audit.lengths._ROWS", 2)
    texts = table(["a b", "a b c d e f", "?", "a b c d ?"])
    options = {"whole": encoder(1000), "limit": 4, "unknown": 1}
    found = lengths_of("test", texts, within=encoder(4), **options)
    assert (found.longest, found.tokens, found.mean) == (7, 18, 4.5)
    assert found.quantiles == {"0.5": 6, "0.9": 7, "0.99": 7}
    assert (found.over, found.cut, found.lost, found.unknown) == (2, 2, 5, 2)
    assert found.targets == 0
    windows = lengths_of("test", texts, within=encoder(4, stride=0), **options)
    assert (windows.over, windows.cut, windows.lost) == (2, 0, 0)


def test_references_of_a_source_are_one_text() -> None:
    def encode(limit: int):
        def encoded(rows: dict, first: int) -> dict:
            found: dict[str, list] = {
                n: [] for n in ("input_ids", "length", "example", "cut", "reference")
            }
            for number, targets in enumerate(rows["targets"], start=first):
                for reference, target in enumerate(targets):
                    found["input_ids"].append([5, 6, 7][:limit])
                    found["length"].append(min(3, limit) + len(target))
                    found["example"].append(number)
                    found["cut"].append(int(target == "long") + int(limit < 3 and not reference))
                    found["reference"].append(reference)
            return found

        return encoded

    pairs = pa.table({"source": ["x", "y"], "targets": [["a", "long"], ["b"]]})
    found = lengths_of("test", pairs, whole=encode(9), within=encode(2), limit=2, unknown=None)
    assert (found.tokens, found.longest, found.over, found.cut) == (6, 3, 2, 2)
    assert (found.lost, found.targets) == (2, 1)


def test_unknown_characters() -> None:
    splits = {"train": table(["ab", "a b"]), "test": table(["xa x", "y", "b"])}
    found = unknown_characters(
        splits, fields_of(splits), lambda characters: [c in "ab" for c in characters]
    )
    assert [(u.split, u.characters, u.times, u.texts) for u in found] == [
        ("train", 0, 0, 0),
        ("test", 2, 3, 2),
    ]
    assert found[1].examples == [("x", 2), ("y", 1)]
