"""One run of the study that `table_speed.py` times, as one script over Hugging Face's `Trainer`.

Trains a tokenizer where there is none yet, a small fresh BERT on it, validates after each epoch,
tests the best checkpoint on validation again, and writes its numbers to a JSON file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from conll import encode, read
from seqeval.metrics import f1_score
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertConfig,
    BertForTokenClassification,
    BertTokenizerFast,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


def tokenizer_for(sentences, folder: Path) -> BertTokenizerFast:
    """Trained by the first run, read by the others."""
    if not folder.exists():
        trained = BertWordPieceTokenizer(lowercase=True)
        texts = [" ".join(tokens) for tokens, _ in sentences]
        trained.train_from_iterator(texts, vocab_size=30000, min_frequency=2, show_progress=False)
        BertTokenizerFast(tokenizer_object=trained._tokenizer).save_pretrained(folder)
    return BertTokenizerFast.from_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True)
    parser.add_argument("--validation", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--tokenizer", required=True, type=Path)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--scheduler", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--heads", type=int, required=True)
    parser.add_argument("--inner", type=int, required=True)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()

    set_seed(args.seed)
    train, validation = read(args.train, args.limit), read(args.validation, args.limit)
    tags = sorted({tag for _, sentence in train + validation for tag in sentence})
    tag_ids = {tag: i for i, tag in enumerate(tags)}
    tokenizer = tokenizer_for(train, args.tokenizer)
    model = BertForTokenClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=args.width,
            num_hidden_layers=args.layers,
            num_attention_heads=args.heads,
            intermediate_size=args.inner,
            num_labels=len(tags),
        )
    )

    def entity_f1(outputs):
        best = np.argmax(outputs.predictions, -1)
        pairs = [
            [(tags[p], tags[g]) for p, g in zip(row, gold, strict=True) if g != -100]
            for row, gold in zip(best, outputs.label_ids, strict=True)
        ]
        predicted = [[p for p, _ in row] for row in pairs]
        return {"f1": f1_score([[g for _, g in row] for row in pairs], predicted)}

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(args.output),
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch,
            per_device_eval_batch_size=64,
            learning_rate=args.lr,
            lr_scheduler_type=args.scheduler,
            warmup_steps=0.1,
            weight_decay=0.01,
            seed=args.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="f1",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=encode(train, tokenizer, tag_ids),
        eval_dataset=encode(validation, tokenizer, tag_ids),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        compute_metrics=entity_f1,
    )
    trainer.train()
    row = {"lr": args.lr, "scheduler": args.scheduler, "seed": args.seed, **trainer.evaluate()}
    (args.output / "result.json").write_text(json.dumps(row), encoding="utf-8")


if __name__ == "__main__":
    main()
