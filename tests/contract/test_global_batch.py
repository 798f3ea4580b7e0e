"""One optimizer step is the same step, however its batch is shared out."""

import functools
import json

import numpy as np
import pytest
import torch

from lushan.data.batch.loader import TrainingLoader
from lushan.engine import joint
from tests.contract.test_tasks import COMBINATIONS, allowed, parts
from tests.helpers import command, corpora, quick
from tests.helpers.runs import losses

WHOLE = {"world_size": 1, "micro_tokens": None}
SHARES = [(1, 40), (1, 12), (2, None), (4, None), (4, 12), (17, None)]
ALIKE = [(1, 40), (2, None)]
"""Shares that differ from others in their size alone."""


def collated(made, rows):
    """A micro-batch as the module makes it."""
    counted = {"targets": sum(int(row["targets"]) for row in rows)} if made.counts_targets else {}
    return made.collate(rows) | counted


def losses_of(made, model, shares):
    """The loss of each micro-batch of each rank, as the module computes it."""
    if not made.joint:
        return [[made.loss] * len(share["micro"]) for share in shares]

    def through(call, batch):
        return call(model, batch)

    counts = [len(share["micro"]) for share in shares]
    vectors = [[joint.vectors_of(made, through, m, 0) for m in s["micro"]] for s in shares]
    real = [v for share, v in zip(shares, vectors, strict=True) if share["weight"]]
    parts = iter(joint.parts_of(made, [part for several in real for part in several]))
    return [
        [joint.term(made, next(parts) if share["weight"] else None, 0) for _ in range(count)]
        for share, count in zip(shares, counts, strict=True)
    ]


def gradient(task, head, *, world_size, micro_tokens):
    """The gradient of one global batch: what the ranks have, added up (float64, no dropout)."""
    made, _, _, encoded, model = parts(task, head)
    model.double().eval()
    model.zero_grad()
    batch = np.arange(len(encoded))
    shares = [
        next(
            iter(
                TrainingLoader(
                    encoded,
                    [batch],
                    functools.partial(collated, made),
                    draw=functools.partial(made.transform, seed=1),
                    rank=rank,
                    world_size=world_size,
                    micro_tokens=micro_tokens,
                )
            )
        )
        for rank in range(world_size)
    ]
    # Where drawing decides how many there are, each rank has counted its own.
    counts = [share["targets"] for share in shares]
    targets = sum(counts) if shares[0]["counted"] else counts[0]
    for share, own in zip(shares, losses_of(made, model, shares), strict=True):
        for micro, loss in zip(share["micro"], own, strict=True):
            (loss(model, micro) * share["weight"] / targets).backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.float()
    return found


@functools.cache
def of_the_whole(task, head):
    """The gradient of a batch that is not shared out."""
    return gradient(task, head, **WHOLE)


def distance(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize(("task", "head"), [c for c in COMBINATIONS if allowed(*c)])
@pytest.mark.parametrize(("world_size", "micro_tokens"), quick.only([(4, 12)], SHARES, long=ALIKE))
def test_a_batch_shared_out_has_the_gradient_of_the_whole(task, head, world_size, micro_tokens):
    whole = of_the_whole(task, head)
    split = gradient(task, head, world_size=world_size, micro_tokens=micro_tokens)
    assert max(float(g.abs().max()) for g in whole.values()) > 1e-3
    assert distance(whole, split) < 1e-9


def test_the_shares_are_no_copies():
    """One example alone has another gradient: the test above can fail."""
    made, _, _, encoded, model = parts("ner", "linear")
    model.double().eval()
    found = []
    for rows in (range(len(encoded)), range(1)):
        model.zero_grad()
        batch = made.collate(encoded.rows(list(rows)))
        (made.loss(model, batch) / int(encoded.targets[list(rows)].sum())).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters()})
    model.zero_grad()
    model.float()
    assert distance(*found) > 1e-4


EXACT = (
    "trainer.precision=64-true",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "optimizer.lr=1e-3",
    "data.eval_tokens=24",
)


def corpus(folder, task):
    """Overrides that name files: 53 examples to train on, 13 each to evaluate."""
    sizes = {"train": 53, "validation": 13, "test": 13}
    if task == "ner":
        write, examples, given = corpora.write_conll, corpora.SENTENCES, ["data=conll"]
    else:
        write, examples, given = write_tsv, corpora.REVIEWS, ["data=table"]
        given += ["data.text=sentence", "data.label=label"]
    for split, size in sizes.items():
        rows = [examples[i % len(examples)] for i in range(size)]
        given.append(f"data.{split}={write(folder / f'{split}.tsv', rows)}")
    return [f"task={task}", *given]


def write_tsv(path, rows):
    lines = ["sentence\tlabel", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trained(cwd, *overrides, ranks=0):
    done = command.cli("train", *command.SMALL, *overrides, cwd=cwd, ranks=ranks)
    assert done.code == 0, done.err
    return done


def ids(done, split):
    lines = (done.folder / "predictions" / f"{split}.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(  # what a batch's shares are is tried above, for every task
    "task", ["ner", pytest.param("classification", marks=pytest.mark.long)]
)
def test_two_processes_train_as_one(task, tmp_path):
    same = [*corpus(tmp_path, task), *EXACT]
    one = trained(tmp_path, *same, "name=one")
    two = trained(tmp_path, *same, "name=two", "trainer=ddp_sim", ranks=1)
    assert losses(two.folder) == pytest.approx(losses(one.folder), abs=1e-9)
    assert len(losses(one.folder)) > 12
    for split in ("validation", "test"):
        assert sorted(ids(one, split)) == sorted(ids(two, split))
        assert len(set(ids(two, split))) == len(ids(two, split)) == 13
    for name, value in one.result["metrics"].items():
        assert two.result["metrics"][name] == pytest.approx(value, abs=1e-9), name
    weights = [load(done.folder / "checkpoints" / "best") for done in (one, two)]
    assert distance(*weights) < 1e-9


def load(folder):
    from lushan.checkpoint.weights import load_weights

    return {name: tensor.double() for name, tensor in load_weights(folder).items()}


def test_parameters_come_back_to_single_precision():
    *_, model = parts("ner", "linear")
    assert all(p.dtype == torch.float32 for p in model.parameters())
