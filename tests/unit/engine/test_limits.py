"""The limits of a run are parsed before there is a plan or a trainer, which both take them."""

import datetime

import pytest

from lushan.config.build import given
from lushan.engine.limits import KEYS, TrainLimits
from lushan.engine.trainer import make_trainer
from lushan.errors import UserError


@pytest.mark.parametrize(
    ("node", "epochs", "steps"),
    [
        ({}, 3, None),
        ({"max_epochs": 5}, 5, None),
        ({"max_steps": 7}, None, 7),
        ({"max_epochs": 5, "max_steps": 7}, 5, 7),
        ({"max_epochs": 5, "max_steps": -1}, 5, None),
        ({"max_epochs": 5, "fast_dev_run": True}, 1, 1),
        ({"max_epochs": 5, "fast_dev_run": 4}, 1, 4),
    ],
)
def test_epochs_and_steps(node, epochs, steps):
    found = TrainLimits.of(node)
    assert (found.max_epochs, found.max_steps) == (epochs, steps)


@pytest.mark.parametrize("value", ["00:12:30:00", {"hours": 12, "minutes": 30}])
def test_a_duration_is_read(value):
    found = TrainLimits.of({"max_time": value})
    assert found.max_time == datetime.timedelta(hours=12, minutes=30)


@pytest.mark.parametrize("value", ["12 hours", "12:30", {"hour": 1}, {"days": 10**12}])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(UserError) as caught:
        TrainLimits.of({"max_time": value})
    assert caught.value.key == "trainer.max_time"
    assert "DD:HH:MM:SS" in caught.value.hint


def test_the_trainer_has_the_limits(tmp_path):
    node = {
        "_target_": "lushan.engine.trainer.Trainer",
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "max_time": "00:00:00:09",
        "limit_val_batches": 0.5,
        "limit_test_batches": 0,
    }
    limits = TrainLimits.of(node)
    trainer = make_trainer(node, limits, logger=False, default_root_dir=str(tmp_path))
    assert (trainer.limit_val_batches, trainer.limit_test_batches) == (0.5, 0)
    (timer,) = (one for one in trainer.callbacks if type(one).__name__ == "Timer")
    assert timer._duration == 9
    assert set(node) & set(KEYS) == {
        *("max_epochs", "max_time", "limit_val_batches", "limit_test_batches"),
    }
    assert {"limits", "plan"} <= set(given("trainer"))
