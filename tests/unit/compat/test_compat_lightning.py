"""Private names of Lightning."""

import datetime
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from torch.utils.data import DataLoader

from lushan.compat import lightning


class Module(pl.LightningModule):
    """One weight, whose loss on validation is what a test says."""

    def __init__(self, losses=()) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.losses = list(losses)

    def training_step(self, batch, _):
        return (self.weight * batch).sum()

    def validation_step(self, batch, _):
        self.log("val/loss", self.losses.pop(0))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(torch.ones(1, 1))

    val_dataloader = train_dataloader


def trainer(*callbacks, epochs: int = 3) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


class Early(lightning.EarlyStopping):
    checked = 0

    def before_check(self, trainer) -> None:
        self.checked += 1
        self.seen = float(trainer.callback_metrics["val/loss"])

    def decide(self, current):
        assert float(current) == self.seen
        return super().decide(current)


def test_early_stopping_asks_its_methods() -> None:
    early = Early("val/loss", patience=1)
    module = Module([1.0, 2.0, 3.0])
    runner = trainer(early)
    runner.fit(module)
    assert early.checked == 2
    assert runner.current_epoch == 2  # ended by the second value
    assert lightning.is_attached(module)


def test_metrics_are_put_back() -> None:
    runner = trainer()
    lightning.restore_metrics(runner, {"val/loss": torch.tensor(3.0)})
    assert float(runner.callback_metrics["val/loss"]) == 3.0
    assert not lightning.is_attached(Module())


def test_loops_are_those_of_a_trainer() -> None:
    runner = trainer()
    assert type(runner.fit_loop) is lightning.FitLoop
    assert type(runner.fit_loop.epoch_loop) is lightning.TrainingEpochLoop


def test_a_launcher_starts_once() -> None:
    launcher = lightning.SubprocessLauncher(LightningEnvironment(), 2, 1)
    lightning.require_first(launcher)
    launcher.procs.append(None)
    with pytest.raises(RuntimeError, match="once"):
        lightning.require_first(launcher)


def test_threads_are_shared(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    monkeypatch.setattr(
        "lightning_fabric.utilities.distributed._suggested_max_num_threads", lambda n: 7
    )
    try:
        lightning.limit_threads(2)
        assert torch.get_num_threads() == 7
    finally:
        torch.set_num_threads(before)


def test_the_observer_asks_before_it_ends_all() -> None:
    ended = []

    class Observer(lightning.ChildObserver):
        def end_all(self) -> None:
            ended.append([child.returncode for child in self.children])

    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    child.wait()
    observer = Observer(1, [child], sleep_period=0)
    observer.start()
    observer.join(30)
    assert ended == [[3]]


class Made(lightning.WithLauncher):
    def make_launcher(self):
        return lightning.SubprocessLauncher(LightningEnvironment(), 2, 1)


@pytest.mark.parametrize("base", [DDPStrategy, ModelParallelStrategy])
def test_a_strategy_has_the_launcher_that_is_made(base) -> None:
    kind = type("Strategy", (Made, base), {})
    strategy = kind(timeout=datetime.timedelta(minutes=2))
    runner = pl.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, logger=False, enable_checkpointing=False
    )
    assert isinstance(runner.strategy.launcher, lightning.SubprocessLauncher)
    assert lightning.timeout_of(strategy) == datetime.timedelta(minutes=2)
    assert lightning.backend_of(strategy) == "gloo"


def test_the_grid_of_processes() -> None:
    strategy = ModelParallelStrategy()
    assert not lightning.has_mesh(strategy)
    with pytest.raises(RuntimeError):
        strategy.device_mesh  # noqa: B018
    assert vars(strategy)["_data_parallel_size"] == "auto"
    lightning.set_data_parallel_size(strategy, 3)
    assert vars(strategy)["_data_parallel_size"] == 3


def test_states_of_optimizers_are_moved() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    lightning.optimizers_to_device([optimizer], torch.device("cpu"))
    assert optimizer.state[weight]["exp_avg"].device.type == "cpu"
