"""Chat fine-tuning as it is done with `Trainer`: dialogues padded to the longest of a batch.

The tokenizer and its chat template are those of a run of lushan; the assistant's turns alone are
labels. Prints one line of JSON: what was trained on, padding left out.
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
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    set_seed,
)


def dialogues(file: Path) -> list[list[dict[str, str]]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["turns"] for line in lines]
    roles = {"SYSTEM": "assistant", "USER": "user"}
    return [
        [{"role": roles[turn["speaker"]], "content": turn["utterance"]} for turn in row]
        for row in rows
    ]


def encoded(messages, tokenizer, length: int) -> dict[str, list[int]]:
    found = tokenizer.apply_chat_template(
        messages,
        return_dict=True,
        return_assistant_tokens_mask=True,
        truncation=True,
        max_length=length,
    )
    said = zip(found["input_ids"], found["assistant_masks"], strict=True)
    return {
        "input_ids": found["input_ids"],
        "attention_mask": found["attention_mask"],
        "labels": [token if learned else -100 for token, learned in said],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path, help="whose shape and tokenizer it has")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=-1, help="instead of an epoch")
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    set_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(args.run / "processor")
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(args.run / "encoder"))
    rows = [encoded(d, tokenizer, args.length) for d in dialogues(args.train)]
    collator = Counting(DataCollatorForSeq2Seq(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                bf16=args.bf16,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",  # in its favour: only the training is timed
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,
            data_collator=collator,
        )
        trainer.train()
    print(collator.report())


if __name__ == "__main__":
    main()
