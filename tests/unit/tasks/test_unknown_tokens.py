"""A tokenizer that does not know the data's script is said beside the numbers, for every head."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lushan.tasks.batches import Limits
from lushan.tasks.classification import Classification
from lushan.tasks.ner import NER


@pytest.fixture
def tokenizer():
    words = {"[UNK]": 0, "[PAD]": 1, "my": 2, "parcel": 3}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")


def notes(task, rows, tokenizer):
    features = task.encode(rows, 0, tokenizer, Limits(max_length=8))
    return list(task.encoding_notes("train", task.count(features)))


def test_texts_of_a_script_that_the_tokenizer_does_not_know(tokenizer):
    task = Classification(head=None)
    task.restore({"labels": ["x"]})
    assert notes(task, {"text": ["my parcel", "包裹 my parcel"]}, tokenizer) == [
        "train: 1 of 5 tokens (20%) are unknown to the tokenizer; `lushan audit` lists their "
        "characters"
    ]
    assert notes(task, {"text": ["my parcel"] * 10 + ["my 包裹"]}, tokenizer) == []


def test_words_that_the_tokenizer_does_not_know(tokenizer):
    task = NER(head=None)
    task.restore({"labels": ["O"], "scheme": "iob2"})
    found = notes(task, {"tokens": [["my", "parcel", "包裹", "在"]]}, tokenizer)
    assert [note.partition(" are ")[0] for note in found] == ["train: 2 of 4 tokens (50%)"]
