"""A trainer on a machine that has not what was asked for."""

import pytest
from tests.helpers.command import SMALL

from lushan.engine import devices
from lushan.engine.devices import require_devices
from lushan.engine.trainer import Trainer
from lushan.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """Let a machine have so many CUDA devices."""

    def having(count):
        monkeypatch.setattr(devices, "count_of", {"cuda": count, "mps": 0}.__getitem__)

    return having


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_no_device_of_the_kind(machine, accelerator):
    machine(0)
    with pytest.raises(UserError) as caught:
        Trainer(accelerator=accelerator, devices=1)
    assert (caught.value.key, caught.value.value) == ("trainer.accelerator", accelerator)
    assert caught.value.hint.startswith("Write trainer=default")
    assert "ddp_sim" not in caught.value.hint


def test_no_device_for_several_processes(machine):
    machine(0)
    with pytest.raises(UserError) as caught:
        Trainer(accelerator="gpu", devices="auto", strategy="ddp")
    assert "trainer=ddp_sim" in caught.value.hint


@pytest.mark.parametrize("wanted", [3, "3", [0, 2], [2]])
def test_fewer_devices_than_wanted(machine, wanted):
    machine(2)
    with pytest.raises(UserError) as caught:
        require_devices("gpu", wanted)
    assert (caught.value.key, caught.value.value) == ("trainer.devices", wanted)
    assert "trainer.devices=2" in caught.value.hint


@pytest.mark.parametrize("wanted", [1, 2, "2", [1], "auto", -1, "-1"])
def test_what_is_there_is_taken(machine, wanted):
    machine(2)
    require_devices("gpu", wanted)
    require_devices("cpu", 64)
    require_devices("auto", wanted)


def test_the_command_says_what_to_write(cli_inside, machine):
    machine(0)
    done = cli_inside("train", "experiment=sample/ner", *SMALL, "trainer=gpu")
    assert done.code == 2
    assert "trainer.accelerator: this machine has no cuda or mps device" in done.err
    assert "Write trainer=default" in done.err
