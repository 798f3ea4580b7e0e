"""Masked pretraining as transformers' example does it: `Trainer`, texts joined and cut in blocks.

Shape and tokenizer are those of a run of lushan. Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from counting import Counting
from hf_lm import blocks
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path, help="whose shape and tokenizer it has")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()

    set_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(args.run / "processor")
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(args.run / "encoder"))
    rows = blocks(args.train.read_text(encoding="utf-8"), tokenizer, args.length)
    collator = Counting(DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15))
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row["input_ids"]} for row in rows],
            data_collator=collator,
        ).train()
    print(collator.report())


if __name__ == "__main__":
    main()
