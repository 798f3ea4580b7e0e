"""The peer of `generation_speed.py`: `generate` of transformers as its documentation has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


class Peer:
    """A model and its tokenizer, read as anybody would."""

    def __init__(
        self, folder: str, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.clock = clock
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")

    def write(
        self, prompts: Sequence[str], new_tokens: int, options: Mapping[str, Any]
    ) -> tuple[list[list[int]], float]:
        """The new tokens of each prompt, and the seconds that it took, text to text."""
        begun = self.clock()
        inputs = self.tokenizer(list(prompts), return_tensors="pt", padding=True)
        inputs = inputs.to(self.model.device)
        found = self.model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=new_tokens,
            **options,
        )
        new = found[:, inputs["input_ids"].shape[1] :]
        self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return new.tolist(), self.clock() - begun
