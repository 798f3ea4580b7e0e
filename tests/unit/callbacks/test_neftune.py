"""Noise on embeddings: its size, where it is, and that it belongs to examples."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.conftest import trained
from tests.helpers.narrow import narrowed
from tests.helpers.runs import LOSSES, losses

from lushan.callbacks.neftune import NEFTune, noise
from lushan.data.batch.packing import Pieces
from lushan.errors import UserError
from lushan.models.dropout import Masks


def noise_of(numbers, lengths, counts, width, seed=1, alpha=5.0):
    pieces = Pieces(*(np.array(value) for value in (numbers, lengths, counts)))
    states = torch.zeros(len(counts), width, 64)
    return noise(Masks(seed, pieces, torch.device("cpu")), states, alpha)


def test_its_size_is_that_of_the_paper():
    found = noise_of([3, 8], [100, 25], [1, 1], 100)
    for row, length in ((0, 100), (1, 25)):
        largest = 5.0 / (length * 64) ** 0.5  # alpha / sqrt(L d)
        own = found[row, :length]
        assert 0.99 * largest < own.abs().max() < largest
        assert own.mean() == pytest.approx(0, abs=0.1 * largest)
        assert own.std() == pytest.approx(largest / 3**0.5, rel=0.05)  # of a uniform number


def test_it_belongs_to_example_and_place():
    both = noise_of([3, 8], [10, 6], [1, 1], 10)
    assert torch.equal(noise_of([8], [6], [1], 6)[0], both[1, :6])  # alone, without padding
    packed = noise_of([3, 8], [10, 6], [2], 16)  # in one row
    assert torch.equal(packed[0, :10], both[0])
    assert torch.equal(packed[0, 10:], both[1, :6])
    assert not torch.equal(both, noise_of([3, 8], [10, 6], [1, 1], 10, seed=2))  # another step


@pytest.mark.slow
def test_a_run_with_noise_is_the_same_in_micro_batches(tmp_path):
    given = narrowed(["model=bert_tiny", "trainer.precision=64-true", "data.limit=16"])
    given += ["trainer.log_every_n_steps=1", "trainer.max_epochs=3", "test=false"]
    noisy = ["callbacks=neftune", "callbacks.neftune.alpha=50"]
    # Each validation after the first lowers the rate: none is better by so much.
    lowered = ["scheduler=plateau", "scheduler.patience=0", "scheduler.min_delta=100"]
    plain = trained(tmp_path, *given, *lowered)
    whole = trained(tmp_path, *given, *lowered, *noisy)
    parts = trained(tmp_path, *given, *lowered, *noisy, "data.micro_tokens=24", "name=parts")
    assert whole.name == parts.name
    assert losses(parts, *LOSSES) == pytest.approx(losses(whole, *LOSSES), abs=1e-9)
    assert losses(plain, *LOSSES) != pytest.approx(losses(whole, *LOSSES), abs=1e-3)
    with (whole / "metrics.csv").open(newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert rates[-1] == pytest.approx(0.5 * max(rates))


@pytest.mark.parametrize("table", [None, torch.nn.Conv2d(3, 4, 2)])
def test_a_model_without_embeddings_of_tokens_is_refused(table):
    inner = SimpleNamespace(get_input_embeddings=lambda: table)
    module = SimpleNamespace(model=SimpleNamespace(encoder=SimpleNamespace(model=inner)))
    with pytest.raises(UserError, match="token embeddings"):
        NEFTune().setup(None, module, "fit")
