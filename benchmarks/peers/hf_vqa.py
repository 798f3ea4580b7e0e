"""Questions on images as `Trainer` learns them: a Llava, its processor in the collator, no cache.

Shape and processor are those of a run of lushan; answers alone are labels, and an image is read
once for each question. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from counting import Marks
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    set_seed,
)

import lushan.models.image_tower  # noqa: F401  for transformers, which reads its config


class Collator:
    """Makes a batch of rows, padded to the longest, and counts them."""

    def __init__(self, processor: Any, images: Path) -> None:
        self.processor, self.images = processor, images
        self.marks = Marks()

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self.marks.add(len(rows), 0)  # how many tokens an image has is known later
        texts, asked, pictures = [], [], []
        for row in rows:
            content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
            said = [{"role": "user", "content": content}]
            apply = self.processor.apply_chat_template
            asked.append(apply(said, add_generation_prompt=True))
            texts.append(apply([*said, {"role": "assistant", "content": row["answer"]}]))
            with Image.open(self.images / row["image"]) as picture:
                pictures.append(picture.convert("RGB"))
        options = {"return_tensors": "pt", "padding": True, "add_special_tokens": False}
        batch = self.processor(text=texts, images=pictures, **options)
        # The mark of an image is one token in the text, and as many as it has in the batch.
        prompts = self.processor.tokenizer(asked, add_special_tokens=False)["input_ids"]
        shown = (batch["input_ids"] == self.processor.image_token_id).sum(1)
        before = torch.tensor([len(prompt) for prompt in prompts]) + shown - 1
        places = torch.arange(batch["input_ids"].shape[1])[None]
        learned = (places >= before[:, None]) & (batch["attention_mask"] == 1)
        batch["labels"] = batch["input_ids"].masked_fill(~learned, -100)
        batch.pop("token_type_ids", None)
        return dict(batch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path, help="whose shape and processor it has")
    parser.add_argument("--steps", type=int, default=-1, help="instead of an epoch")
    parser.add_argument("--frozen", action="store_true", help="the vision tower")
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    args = parser.parse_args()

    set_seed(1)
    processor = AutoProcessor.from_pretrained(args.run / "processor")
    model = AutoModelForImageTextToText.from_config(
        AutoConfig.from_pretrained(args.run / "encoder")
    )
    for name, weight in model.named_parameters():
        weight.requires_grad = not (args.frozen and "vision_tower" in name)
    rows = [json.loads(line) for line in args.train.open()]
    collator = Collator(processor, args.images)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",  # in its favour: only the training is timed
                remove_unused_columns=False,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,
            data_collator=collator,
        )
        trainer.train()
    print(collator.marks.report())


if __name__ == "__main__":
    main()
