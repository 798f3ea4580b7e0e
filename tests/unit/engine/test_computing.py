"""A run evaluated without a trainer: numbers, device and precision are those of Lightning."""

import pytest
import torch

from lushan.engine import devices
from lushan.engine.batch_plan import Batching
from lushan.engine.computing import Computing
from lushan.engine.evaluating import evaluate_split
from lushan.errors import UserError
from lushan.inference.load import load
from lushan.inference.reevaluate import evaluate

TOKENS = 16  # a batch: the split has several
CPU = {"accelerator": "cpu", "devices": 1}


def by_lightning(run, encoded, table, **trainer):
    from lushan.engine.limits import TrainLimits
    from lushan.engine.lit_module import LitModule
    from lushan.engine.trainer import make_trainer

    loaded = load(run)
    node = {**loaded.cfg["trainer"], **CPU, **trainer}
    module = LitModule(
        model=loaded.model,
        task=loaded.task,
        batching=Batching(seed=1, batch_examples=4, batch_tokens=None, eval_tokens=TOKENS),
        encoded={"test": encoded},
        tables={"test": table},
    )
    options = {"callbacks": [], "logger": False, "plugins": []}
    made = make_trainer(node, TrainLimits.of(node), **options)
    return module.test_on(made, "test"), str(made.precision)


@pytest.fixture(scope="module")
def split(ner_run, tmp_path_factory):
    from lushan.config.build import source_of
    from lushan.engine.components import encode_all

    loaded = load(ner_run)
    source = source_of(loaded.cfg)
    corpus = source.read(loaded.task.fields, only="test")
    args = (corpus, source, loaded.task, loaded.processor, loaded.limits)
    return encode_all(*args, tmp_path_factory.mktemp("cache"))["test"], corpus.splits["test"]


@pytest.mark.parametrize(
    "precision",
    ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true", "16-true", 64, "bf16"],
)
def test_the_numbers_are_those_of_lightnings_loop(ner_run, split, precision):
    encoded, table = split
    expected, name = by_lightning(ner_run, encoded, table, precision=precision)
    loaded = load(ner_run)
    computing = Computing({**CPU, "precision": precision})
    assert computing.precision == name
    model = (loaded.task, loaded.model)
    found = evaluate_split(*model, encoded, table, eval_tokens=TOKENS, computing=computing)
    assert found.metrics == expected.metrics
    assert found.records == expected.records
    assert torch.get_default_dtype() == torch.float32


def test_a_limit_counts_batches_or_a_share_of_them(ner_run, split):
    encoded, table = split
    for limit in (2, 0.5):
        expected, _ = by_lightning(ner_run, encoded, table, limit_test_batches=limit)
        loaded = load(ner_run)
        found = evaluate_split(
            *(loaded.task, loaded.model, encoded, table),
            **{"eval_tokens": TOKENS, "computing": Computing(CPU), "limit": limit},
        )
        assert found.metrics["loss"] == expected.metrics["loss"]


@pytest.mark.parametrize("limit", [0, 0.0001])
def test_a_limit_that_leaves_nothing_is_refused(ner_run, limit):
    with pytest.raises(UserError) as caught:
        evaluate(ner_run, overrides=[f"trainer.limit_test_batches={limit}"])
    assert (caught.value.key, caught.value.value) == ("trainer.limit_test_batches", limit)


@pytest.mark.parametrize("key", ["max_epochs=3", "profiler=simple", "strategy=ddp"])
def test_what_belongs_to_a_training_alone_is_refused(ner_run, key):
    with pytest.raises(UserError, match="cannot be changed after training") as caught:
        evaluate(ner_run, overrides=[f"trainer.{key}"])
    assert caught.value.key == f"trainer.{key.partition('=')[0]}"


def test_deterministic_algorithms_are_used_within_the_block_alone():
    with Computing({**CPU, "deterministic": True}):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("precision", ["transformer-engine", "8-true"])
def test_a_precision_that_is_none_of_torch_is_refused(precision):
    with pytest.raises(UserError, match=r"trainer\.precision") as caught:
        Computing({**CPU, "precision": precision})
    assert caught.value.value == precision


@pytest.mark.parametrize(
    ("accelerator", "wanted", "expected"),
    [
        ("auto", "auto", "cuda:0"),
        ("gpu", 2, "cuda:0"),
        ("cuda", [1, 0], "cuda:1"),
        ("cpu", 8, "cpu"),
        ("cpu", [1], "cpu"),
    ],
)
def test_the_first_device_is_taken(monkeypatch, accelerator, wanted, expected):
    monkeypatch.setattr(devices, "count_of", {"cuda": 2, "mps": 0}.__getitem__)
    assert devices.device_of(accelerator, wanted) == torch.device(expected)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "count_of", {"cuda": 0, "mps": 0}.__getitem__)
    assert devices.device_of("auto", "auto") == torch.device("cpu")
    for accelerator in ("gpu", "tpu"):
        with pytest.raises(UserError) as caught:
            devices.device_of(accelerator, "auto")
        assert (caught.value.key, caught.value.value) == ("trainer.accelerator", accelerator)


def test_whole_numbers_of_a_batch_stay_what_they_are():
    batch = {"input_ids": torch.ones(2, 3, dtype=torch.long), "pixels": torch.ones(2)}
    moved = Computing({**CPU, "precision": "bf16-true"}).moved(batch)
    assert {name: value.dtype for name, value in moved.items()} == {
        "input_ids": torch.long,
        "pixels": torch.bfloat16,
    }
