"""Tokenizers to write dialogues with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lushan.text import tokenizers

CONTROL = ["<|im_start|>", "<|im_end|>"]
CONTROL += ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TEXTS = [
    "Hello there , how are you ? I am fine .",
    "User: hello Assistant: hi System: be kind [ ] SEP",
    "你好，世界。今天天气很好",
    "system user assistant tool",
] * 5


@pytest.fixture(scope="session")
def dialogue_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A tokenizer of some kind that is trained on a few words, with the tokens of all templates."""
    folder = tmp_path_factory.mktemp("tokenizers")

    def made(kind: str = "bpe", control: list[str] = CONTROL) -> Any:
        size = 400 if kind == "bpe" else 120
        tokenizer = tokenizers.train(
            kind,  # type: ignore[arg-type]
            vocab_size=size,
            min_frequency=1,
            texts=lambda: iter(TEXTS),
            cache_dir=folder,
        )
        tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
        tokenizer.add_tokens(control, special_tokens=True)
        return tokenizer

    return made
