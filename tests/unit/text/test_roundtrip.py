"""Whether texts come back from their tokens."""

from pathlib import Path
from typing import Any

import pytest

from lushan.text import tokenizers
from lushan.text.roundtrip import lost

TEXTS = ["The end of it.", "two  spaces,\tand é", "明月几时有"] * 700


def made(kind: Any, folder: Path, **options: Any) -> Any:
    texts = options.pop("texts", TEXTS)
    options = {"vocab_size": 400, "min_frequency": 1} | options
    return tokenizers.train(kind, **options, texts=lambda: texts, cache_dir=folder)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("bpe", {}), ("chars", {"byte_fallback": True}), ("bpe", {"texts": ["nothing of it"]})],
)
def test_tokenizers_that_lose_nothing(kind, options, tmp_path):
    tokenizer = made(kind, tmp_path, **options)
    tokenizer(TEXTS[:2], truncation=True, max_length=3)  # what an earlier call cut is no loss
    assert lost(tokenizer, TEXTS) is None


@pytest.mark.parametrize(
    ("kind", "options", "count", "example"),
    [
        ("bpe", {"lowercase": True}, 700, "'The end of it.' as 'the end of it.'"),
        ("chars", {}, 700, "'two  spaces"),
        ("chars", {"lowercase": True}, 1400, "'The end of it.' as 'the end of it.'"),
        ("chars", {"texts": ["The end of it."]}, 1400, "[UNK]"),
        ("wordpiece", {"lowercase": True}, 2100, "'The end of it.' as 'the end of it.'"),
        ("unigram", {}, 700, "'two  spaces"),
    ],
)
def test_what_is_lost_is_counted_with_an_example(kind, options, count, example, tmp_path):
    printed = lost(made(kind, tmp_path, **options), TEXTS)
    assert printed.startswith(f"{count:,} of 2,100 texts change when")
    assert example in printed
