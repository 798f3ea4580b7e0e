"""Causal pretraining as transformers' example does it: `Trainer`, texts joined and cut in blocks.

Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import chain
from pathlib import Path

import torch
from counting import Counting
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)


def blocks(text: str, tokenizer, length: int) -> list[dict[str, list[int]]]:
    """`run_clm.py`'s grouping: everything end to end, in pieces of equal length."""
    lines = tokenizer(text.splitlines(), add_special_tokens=False)["input_ids"]
    ids = list(chain.from_iterable(lines))
    whole = len(ids) // length * length
    return [
        {"input_ids": i, "labels": i}
        for i in (ids[s : s + length] for s in range(0, whole, length))
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path, help="whose shape and tokenizer it has")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    set_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(args.run / "processor")
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(args.run / "encoder"))
    collator = Counting(default_data_collator)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                bf16=args.bf16,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",  # in its favour: only the training is timed
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=blocks(args.train.read_text(encoding="utf-8"), tokenizer, args.length),
            data_collator=collator,
        ).train()
    print(collator.report())


if __name__ == "__main__":
    main()
