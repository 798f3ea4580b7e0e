"""A fresh encoder-decoder as transformers' example trains it: `Seq2SeqTrainer`, padded batches.

Shape and tokenizer are those of a run of lushan. Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path

import torch
from counting import Counting
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)


def encoded(file: Path, tokenizer, length: int, target: int) -> list[dict[str, list[int]]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]

    def joined(value) -> str:
        return " ".join(value) if isinstance(value, list) else value

    sources = tokenizer([joined(r["source"]) for r in rows], truncation=True, max_length=length)
    targets = tokenizer([joined(r["target"]) for r in rows], truncation=True, max_length=target)
    pairs = zip(sources["input_ids"], targets["input_ids"], strict=True)
    return [{"input_ids": source, "labels": labels} for source, labels in pairs]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path, help="whose shape and tokenizer it has")
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--target", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()

    set_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(args.run / "processor")
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(args.run / "encoder"))
    collator = Counting(DataCollatorForSeq2Seq(tokenizer, model=model))
    with tempfile.TemporaryDirectory() as folder:
        Seq2SeqTrainer(
            model=model,
            args=Seq2SeqTrainingArguments(
                output_dir=folder,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=encoded(args.train, tokenizer, args.length, args.target),
            data_collator=collator,
        ).train()
    print(collator.report())


if __name__ == "__main__":
    main()
