"""Causal pretraining by hand, in plain PyTorch: the rows, kernels and optimizer of lushan.

Data is read, encoded and packed by lushan beforehand; batches and loop are written out here.
Prints one line of JSON: what was trained on.
"""

from __future__ import annotations

import argparse
import contextlib

import numpy as np
import torch
from counting import Marks
from torch import nn

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.batch.batching import plan_epoch
from lushan.data.batch.packing import best_fit
from lushan.engine.components import build_components
from lushan.engine.trainer import best_precision


def collate(features, pad_id, length):
    """Documents side by side, with positions that begin anew."""
    ids = np.full((len(features), length), pad_id)
    labels = np.full((len(features), length), -100)
    places = np.zeros((len(features), length), dtype=np.int64)
    for row, members in enumerate(features):
        at = 0
        for tokens in members:
            n = len(tokens) - 1
            ids[row, at : at + n], labels[row, at : at + n] = tokens[:-1], tokens[1:]
            places[row, at : at + n] = np.arange(n)
            at += n
    return torch.from_numpy(ids), torch.from_numpy(labels), torch.from_numpy(places)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="those of `lushan train`")
    cfg = check(compose(parser.parse_args().overrides))
    ready = build_components(cfg, source_of(cfg))
    torch.manual_seed(cfg["seed"])
    model, train, pad_id = (
        ready.model.encoder.model,
        ready.encoded["train"],
        ready.tokenizer.pad_token_id,
    )
    rows = best_fit(train.lengths, ready.row_tokens)
    sizes = rows.sums(train.lengths)
    plan = plan_epoch(sizes, seed=1, epoch=0, batch_tokens=ready.source.batch_tokens)
    plan = plan[: cfg["trainer"]["max_steps"]]
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=cfg["optimizer"]["lr"], fused=True)
    model.train()
    if cfg["trainer"].get("compile"):
        model.compile(dynamic=True)
    in_bf16 = best_precision("cpu") == "bf16-mixed"
    precision = torch.autocast("cpu", torch.bfloat16) if in_bf16 else contextlib.nullcontext()

    marks = Marks()
    for batch in plan:
        marks.add(sum(len(rows[int(r)]) for r in batch), int(sizes[batch].sum()))
        members = [[train.columns["tokens"][int(i)] for i in rows[int(r)]] for r in batch]
        ids, labels, places = collate(members, pad_id, int(sizes[batch].max()))
        with precision:
            logits = model(input_ids=ids, position_ids=places, use_cache=False).logits
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), cfg["trainer"]["gradient_clip_val"])
        optimizer.step()
        optimizer.zero_grad()
    print(marks.report())


if __name__ == "__main__":
    main()
