"""Pieces and windows: every token but the first is predicted, and once."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lushan.tasks.batches import IGNORED, Limits
from lushan.tasks.causal_lm import CausalLM, shifted
from lushan.text import tokenizers
from lushan.text.document_tokens import cut


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 300), st.integers(1, 40), st.integers(0, 60))
def test_each_token_is_predicted_once(tokens, longest, stride):
    seen = []
    for piece in cut(tokens, longest, stride):
        assert 0 < piece.end - piece.start <= longest
        seen += range(piece.start + piece.skip + 1, piece.end + 1)
    assert seen == list(range(1, tokens))


def test_a_window_has_as_much_context_as_the_stride_says():
    pieces = list(cut(100, 20, 8))
    assert all(piece.skip == 8 for piece in pieces[1:])


class Words:
    """A tokenizer of known words, of which `encode` asks this much."""

    bos_token_id, eos_token_id, cls_token_id, sep_token_id = 1, 2, None, None
    unk_token_id = 0
    get_vocab = staticmethod(lambda: {"a": 5, "b": 6})

    class backend_tokenizer:  # noqa: N801
        no_truncation = no_padding = staticmethod(lambda: None)

        @staticmethod
        def encode_batch_fast(texts, add_special_tokens):
            assert not add_special_tokens
            ids = [[{"a": 5, "b": 6}.get(word, 0) for word in text.split()] for text in texts]
            return [type("Encoding", (), {"ids": row}) for row in ids]


def test_a_document_begins_and_ends_and_every_token_is_a_target():
    features = CausalLM().encode({"text": ["a b a", ""]}, 3, Words, Limits(8))
    assert [row.tolist() for row in features["tokens"]] == [[1, 5, 6, 5, 2], [1, 2]]
    assert features["targets"] == features["length"] == [4, 1]
    assert features["example"] == [3, 4]


def test_unknown_tokens_are_counted_once():
    features = CausalLM().encode({"text": ["a x b y a x"]}, 0, Words, Limits(3, 1))
    assert len(features["length"]) > 1
    assert sum(features["unknown_tokens"]) == 3


def test_labels_stand_where_they_are_predicted():
    row = shifted({"tokens": np.array([1, 5, 6, 2]), "skip": np.int32(1), "length": 3})
    assert row["input_ids"].tolist() == [1, 5, 6]
    assert row["labels"].tolist() == [IGNORED, 6, 2]


@pytest.mark.parametrize(("stride", "expected"), [(None, 32), (4, 4), (0, 0)])
def test_evaluation_reads_in_windows_and_training_side_by_side(stride, expected):
    task, limits = CausalLM(), Limits(64, stride)
    assert task.limits(limits, "validation").stride == expected
    assert task.limits(limits, "train").stride is None


def test_bytes_are_stored_for_each_example():
    table = CausalLM.demo().splits["test"]
    records = [{"example": i, "loss": 1.0, "tokens": 2, "hits": 1} for i in range(table.num_rows)]
    found = CausalLM().evaluate(table, records, full=True).records
    texts = table.column("text").to_pylist()
    assert [row["bytes"] for row in found] == [len(text.encode()) for text in texts]


def test_what_the_tokenizer_loses_stands_beside_bits_per_byte(lm_run):
    """The samples' tokenizer is byte-level; one that lower-cases says how much is lost."""
    result = json.loads((lm_run / "result.json").read_text(encoding="utf-8"))
    assert result["not_comparable"] == {}
    task = CausalLM()
    corpus = CausalLM.demo()
    texts = ["One TWO", "three"]
    task.use(
        tokenizers.train(
            "chars", lowercase=True, min_frequency=1, texts=lambda: texts, cache_dir=lm_run.parent
        )
    )
    table = corpus.splits["test"].slice(0, 2).set_column(1, "text", [texts])
    records = [{"example": i, "loss": 1.0, "tokens": 3, "hits": 1} for i in range(2)]
    found = task.evaluate(table, records, full=True)
    assert list(found.not_comparable) == ["bits_per_byte"]
    assert "1 of 2 texts change when" in found.notes[-1]
