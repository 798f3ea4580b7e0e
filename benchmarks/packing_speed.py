"""Rows of several documents on a processor: attended to one by one, against a mask over the row.

Loss and gradients of one batch of 2,048 tokens, documents of random lengths, the two kinds taking
turns in one process. The mask is transformers' own for such rows.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import transformers
from common import Clock, machine

from lushan.data.batch.packing import joined
from lushan.models import encoders
from lushan.tasks.causal_lm import CausalLM

TOKENS, VOCABULARY = 2048, 4000
LLAMA = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8}
LLAMA |= {"num_key_value_heads": 4, "intermediate_size": 704, "tie_word_embeddings": True}
GPT2 = {"n_embd": 256, "n_layer": 4, "n_head": 8, "n_positions": 1024}
MODELS: dict[str, Callable[..., Any]] = {
    "Llama 4 x 256": functools.partial(transformers.LlamaConfig, **LLAMA),
    "GPT-2 4 x 256, dropout 0.1": functools.partial(transformers.GPT2Config, **GPT2),
}


def rows(length: int, document: int) -> list[dict[str, Any]]:
    """Rows of a length, full of documents of some mean length."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(TOKENS // length):
        parts, left = [], length
        while left:
            size = min(left, max(2, int(rng.gamma(2, document / 2))))
            left -= size
            ids = rng.integers(5, VOCABULARY, size=size)
            parts.append({"input_ids": ids, "labels": ids, "length": size, "example": 0})
        made.append(joined(parts))
    return made


def seconds(name: str, length: int, document: int, rounds: int) -> tuple[float, float]:
    """Medians of a mask over the row, and of documents one by one."""
    task = CausalLM()
    model: Any = encoders.fresh(
        MODELS[name],
        vocab_size=VOCABULARY,
        pad_token_id=0,
        auto_class=task.auto_class,
        wrap=task.wrap,
    )
    whole, batch = task.build(model).train(), task.collate(rows(length, document))
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds + 1):
        for divides, found in times.items():
            model._by_document = divides
            with Clock() as clock:
                whole.zero_grad()
                task.loss(whole, batch).backward()
            if number:  # the first is for what is made once
                found.append(clock.wall)
    return statistics.median(times[False]), statistics.median(times[True])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    print(machine())
    print(f"{TOKENS:,} tokens; medians of {args.rounds} rounds\n")
    print("| model | a row | documents, mean | a mask, ms | one by one, ms | |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name in MODELS:
        for length, document in ((256, 90), (512, 90), (1024, 90), (1024, 300)):
            mask, apart = seconds(name, length, document, args.rounds)
            print(
                f"| {name} | {length} | {document} | {1000 * mask:.0f} | {1000 * apart:.0f} "
                f"| {mask / apart:.2f} × |",
                flush=True,
            )


if __name__ == "__main__":
    main()
