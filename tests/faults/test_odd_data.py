"""What a model cannot see in full, and classes that nobody has: counted, reported, evaluated."""

import json
import math

import pytest

from tests.conftest import trained
from tests.helpers import corpora

pytestmark = pytest.mark.slow

LONG = [
    ("Bob", "B-PER"),
    *[("and", "O")] * 20,
    ("Paris", "B-LOC"),
    ("New", "B-LOC"),
    ("York", "I-LOC"),
]
STRANGE = [("㍿㍿", "O"), ("㍘", "O")]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A run over such data, and its result."""
    folder = tmp_path_factory.mktemp("odd")
    files = {
        "train": corpora.write_conll(folder / "train.conll", corpora.SENTENCES * 12),
        "validation": corpora.write_conll(folder / "dev.conll", corpora.SENTENCES),
        # Of the first sentence's three entities two lie beyond the bound; nobody is called ORG.
        "test": corpora.write_conll(folder / "test.conll", [LONG, *corpora.SENTENCES[:2], STRANGE]),
    }
    labels = [*corpora.SENTENCES, [("Acme", "B-ORG")]]
    corpora.write_conll(folder / "train.conll", labels * 12)
    run = trained(
        folder,
        "task=ner",
        "data=conll",
        *corpora.overrides(files),
        "data.max_length=16",
        "optimizer.lr=2e-3",
        "trainer.max_epochs=8",
    )
    return run, json.loads((run / "result.json").read_text())


@pytest.mark.fault(40)
def test_words_beyond_the_bound_are_missed_not_dropped(odd):
    run, result = odd
    gold = 3 + 2 + 2  # the long sentence's, and those of the two others
    assert sum(s["support"] for name, s in result["report"].items() if "avg" not in name) == gold
    lines = (run / "predictions" / "test.jsonl").read_text().splitlines()
    long = json.loads(lines[0])
    assert len(long["tokens"]) == len(long["predicted"]) == len(LONG)
    assert long["predicted"][-3:] == ["O"] * 3
    found = result["report"]["micro avg"]
    assert found["support"] == gold
    assert found["recall"] <= (gold - 2) / gold


def test_what_was_cut_off_and_what_is_unknown_is_reported(odd):
    run, result = odd
    shown = " ".join(result["notes"])
    assert "test" in shown
    assert "truncated" in shown
    assert "no known token" in shown
    assert "truncated by max_length" in (run / "log.txt").read_text()


@pytest.mark.fault(38)
def test_a_text_of_unknown_characters_has_a_finite_loss(odd):
    _, result = odd
    assert math.isfinite(result["metrics"]["test/loss"])
    assert all(value is None or math.isfinite(value) for value in result["metrics"].values())


@pytest.mark.fault(39)
def test_a_class_that_only_training_has_is_shown_without_support(odd):
    _, result = odd
    scores = result["report"]["ORG"]
    assert scores["support"] == 0
    assert scores["f1"] in (0.0, None)
