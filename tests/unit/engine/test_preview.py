"""`debug=batch`: a picture of what the model would get, and of what it would learn."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from rich.text import Text

from lushan.engine import preview
from lushan.run.identity import run_id
from lushan.tasks.batches import IGNORED

PLACES = {"causal_lm": "next", "masked_lm": "same", "seq2seq_lm": "apart"}
TINY = ("debug=batch", "processor.vocab_size=400", "data.batch_tokens=128")


class Words:
    """A tokenizer whose ids are places in a list of words."""

    pad_token_id = 0
    words = ("[PAD]", "[CLS]", "[SEP]", "one", "two", "three", "four")

    def decode(self, ids: list[int]) -> str:
        return " ".join(self.convert_ids_to_tokens(ids))

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.words[i] for i in ids]


class Learner:
    def __init__(self, purpose: str, lessons: Any = ()) -> None:
        self.labels_of_tokens, self.taught = PLACES.get(purpose), lessons

    def lessons(self, batch: Any) -> Any:
        return self.taught


def row(purpose: str, lessons: Any = (), **batch: list[int]) -> preview.Row:
    tensors = {name: torch.tensor([values]) for name, values in batch.items()}
    (found,) = preview.rows_of(
        Learner(purpose, lessons), tensors | {"example": torch.tensor([7])}, Words()
    )
    return found


def text(found: preview.Row, plain: bool = True) -> Text:
    return preview._line(found, Words(), plain=plain)


def test_the_next_tokens_are_drawn_where_they_stand() -> None:
    found = row(
        "causal_lm",
        input_ids=[1, 3, 4, 5, 0, 0],
        labels=[IGNORED, IGNORED, 5, 2, IGNORED, IGNORED],
    )
    assert (found.tokens, found.padding, found.targets) == ([1, 3, 4, 5, 2], 2, 2)
    assert text(found).plain == "[CLS] one two[[three [SEP]]]"
    coloured = text(found, plain=False)
    assert "[[" not in coloured.plain
    assert [str(span.style) for span in coloured.spans] == [preview.LEARNED]


def test_documents_in_one_row_are_set_apart() -> None:
    found = row(
        "causal_lm",
        input_ids=[1, 3, 1, 4, 5, 0],
        labels=[3, 2, 4, 5, IGNORED, IGNORED],
        position_ids=[0, 1, 0, 1, 2, 0],
    )
    assert found.starts == [0, 3]
    assert text(found).plain == "[CLS][[one [SEP]]] ‖ [CLS][[two three]]"
    assert preview._heading(1, found, "a") == (
        "row 1 (a): 6 tokens, 4 learned, 1 padding, 2 documents, at 0, 3"
    )


def test_a_label_that_is_not_the_next_token_is_seen() -> None:
    found = row("causal_lm", input_ids=[1, 3, 4], labels=[4, 4, 2])
    assert text(found).plain == "[CLS][[one→two]][[two [SEP]]]"


def test_an_end_that_is_also_the_padding_is_drawn() -> None:
    found = row("causal_lm", input_ids=[1, 3, 0, 0], labels=[3, 0, IGNORED, IGNORED])
    assert (found.tokens, found.padding) == ([1, 3, 0], 2)


def test_hidden_tokens() -> None:
    found = row(
        "masked_lm",
        input_ids=[1, 3, 6, 2, 0],
        labels=[IGNORED, 3, 4, IGNORED, IGNORED],
        attention_mask=[1, 1, 1, 1, 0],
    )
    assert text(found).plain == "[CLS][[one]][[four→two]][SEP]"
    assert found.targets == 2


def test_a_target_text() -> None:
    found = row(
        "seq2seq_lm",
        input_ids=[1, 3, 2],
        labels=[4, 5, 2, IGNORED],
        attention_mask=[1, 1, 1],
    )
    assert text(found).plain == "[CLS] one [SEP]\n→ [[two three [SEP]]]"
    assert found.targets == 3


def test_tags_and_labels() -> None:
    tagged = row("encoder", [{1: "B-PER"}], input_ids=[1, 3, 4], attention_mask=[1, 1, 1])
    assert text(tagged).plain == "[CLS][[one→B-PER]]two"
    sorted_ = row("encoder", ["good"], input_ids=[1, 3, 4], attention_mask=[1, 1, 1])
    assert text(sorted_).plain == "[CLS] one two\n→ [[good]]"
    assert (tagged.targets, sorted_.targets) == (1, 1)


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("task", "seen"),
    [
        ("chat", r"\[SEP\]( ?)Assistant:\[\[.+\[SEP\]\]\]"),
        ("causal_lm", r"\[CLS\]\[\[[^‖]+\[SEP\]\]\] ‖ \[CLS\]"),
        ("masked_lm", r"\[\[\[MASK\]→.+\]\]"),
        ("seq2seq", r"\n→ \[\[.+\]\]"),
        ("ner", r"\[\[\w+→B-(PER|LOC|ORG)\]\]"),
        ("classification", r"\n→ \[\[(positive|negative|neutral)\]\]"),
    ],
)
def test_every_task_is_drawn_and_nothing_is_trained(task: str, seen: str, cli_inside: Any) -> None:
    done = cli_inside("train", f"task={task}", *TINY)
    assert done.code == 0, done.err
    assert re.search(r"^batch 1 of [\d,]+: \d+ rows, [\d,]+ tokens, [\d,]+ learned", done.out, re.M)
    assert re.search(seen, done.out), done.out
    assert not list(done.cwd.glob("outputs/[!.]*"))
    assert "run:" not in done.out


def test_it_is_no_part_of_a_run() -> None:
    assert run_id({"seed": 1, "show": "batch"}) == run_id({"seed": 1, "show": None})


def test_only_a_batch_can_be_shown(cli_inside: Any) -> None:
    done = cli_inside("train", "show=btach")
    assert done.code == 2
    assert "Did you mean 'batch'?" in done.err
