"""NER fine-tuning by hand, in plain PyTorch: the batches, precision and optimizer of lushan.

Data is read and encoded by lushan beforehand; model, collation and loop are written out here.
Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import contextlib

import torch
from counting import Marks
from torch import nn
from transformers import AutoModel

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.batch.batching import plan_epoch
from lushan.engine.components import build_components
from lushan.engine.trainer import best_precision
from lushan.text.hub import find


class Tagger(nn.Module):
    """An encoder and one linear layer over each word's first subword."""

    def __init__(self, path: str, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(path, add_pooling_layer=False)
        self.dropout = nn.Dropout(0.1)
        self.linear = nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(self, ids, mask, positions):
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        rows = torch.arange(len(ids))[:, None]
        return self.linear(self.dropout(hidden[rows, positions]))


def collate(rows, pad_id):
    ids = [torch.from_numpy(row["input_ids"].astype("int64")) for row in rows]
    positions = [torch.from_numpy(row["positions"].astype("int64")) for row in rows]
    labels = [torch.from_numpy(row["labels"].astype("int64")) for row in rows]
    padded = nn.utils.rnn.pad_sequence
    lengths = torch.tensor([len(row) for row in ids])
    ids = padded(ids, batch_first=True, padding_value=pad_id)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    labels = padded(labels, batch_first=True, padding_value=-100)
    return ids, mask, padded(positions, batch_first=True), labels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="those of `lushan train`")
    cfg = check(compose(parser.parse_args().overrides))

    ready = build_components(cfg, source_of(cfg))
    torch.manual_seed(cfg["seed"])
    model = Tagger(str(find(cfg["model"]["path"], key="model.path").path), len(ready.task.tags))
    model.train()
    train, source = ready.encoded["train"], ready.source
    plan = plan_epoch(
        train.lengths,
        seed=cfg["seed"],
        epoch=0,
        batch_examples=source.batch_examples,
        batch_tokens=source.batch_tokens,
        bucket=source.bucket,
    )
    plan = plan[: cfg["trainer"]["max_steps"]]
    total = len(plan)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=cfg["optimizer"]["lr"], fused=True)
    warmup = round(0.1 * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            (step + 1) / (warmup + 1) if step < warmup else (total - step) / (total - warmup)
        ),
    )
    in_bf16 = best_precision("cpu") == "bf16-mixed"
    precision = torch.autocast("cpu", torch.bfloat16) if in_bf16 else contextlib.nullcontext()
    pad_id = ready.tokenizer.pad_token_id

    marks = Marks()
    for batch in plan:
        marks.add(len(batch), int(train.lengths[batch].sum()))
        ids, mask, positions, labels = collate(train.rows(batch.tolist()), pad_id)
        with precision:
            scores = model(ids, mask, positions)
        loss = nn.functional.cross_entropy(scores.float().flatten(0, 1), labels.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), cfg["trainer"]["gradient_clip_val"])
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    print(marks.report())


if __name__ == "__main__":
    main()
