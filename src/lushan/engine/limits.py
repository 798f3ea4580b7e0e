"""Limits of a run: length of training, and batches of each split."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any

from lushan.errors import UserError

KEYS = (
    "max_epochs",
    "max_steps",
    "max_time",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "fast_dev_run",
)
"""Keys of a trainer's config that make up its limits."""

EPOCHS = 3
"""Default where a config sets neither epochs nor steps."""

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


@dataclasses.dataclass(frozen=True)
class TrainLimits:
    """The limits of a run, parsed from its trainer's config.

    Attributes:
        max_epochs: Epochs to train; None where `max_steps` alone ends the training.
        max_steps: Optimizer steps to train; None where `max_epochs` alone ends it.
        max_time: Time after which the training ends, whatever is left of it.
        train_batches: Global batches of an epoch, or a share of them; None is all.
        val_batches: Batches of validation, likewise.
        test_batches: Batches of a test, likewise.
        predict_batches: Batches of a prediction, likewise.
        fast_dev_run: Batches of each split in a trial of the code; 0 where it is none.
    """

    max_epochs: int | None = None
    max_steps: int | None = None
    max_time: datetime.timedelta | None = None
    train_batches: int | float | None = None
    val_batches: int | float | None = None
    test_batches: int | float | None = None
    predict_batches: int | float | None = None
    fast_dev_run: int = 0

    @classmethod
    def of(cls, trainer: Mapping[str, Any]) -> TrainLimits:
        """Parse the limits of a checked trainer's config.

        Raises:
            UserError: `max_time` is no duration.
        """
        steps = trainer.get("max_steps")
        max_steps = steps if steps is not None and steps > 0 else None
        max_epochs = trainer.get("max_epochs")
        if max_epochs is None and max_steps is None:
            max_epochs = EPOCHS
        fast = int(trainer.get("fast_dev_run") or 0)
        if fast:
            max_epochs, max_steps = 1, fast
        return cls(
            max_epochs,
            max_steps,
            duration(trainer.get("max_time")),
            trainer.get("limit_train_batches"),
            trainer.get("limit_val_batches"),
            trainer.get("limit_test_batches"),
            trainer.get("limit_predict_batches"),
            fast,
        )

    def of_lightning(self) -> dict[str, Any]:
        """Return the arguments of Lightning's trainer; batches of training are the plan's."""
        return {
            "max_time": self.max_time,
            "limit_val_batches": self.val_batches,
            "limit_test_batches": self.test_batches,
            "limit_predict_batches": self.predict_batches,
            "fast_dev_run": self.fast_dev_run,
        }


def duration(value: object) -> datetime.timedelta | None:
    """Read a duration: `DD:HH:MM:SS`, or a mapping such as `{hours: 2}`; None is none.

    Raises:
        UserError: It is something else.
    """
    try:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return datetime.timedelta(**value)
        if found := _DURATION.fullmatch(str(value).strip()):
            days, hours, minutes, seconds = map(int, found.groups())
            return datetime.timedelta(days, hours=hours, minutes=minutes, seconds=seconds)
    except (TypeError, OverflowError):
        pass
    raise UserError(
        "not a duration",
        key="trainer.max_time",
        value=value,
        hint="Write trainer.max_time=00:12:00:00 for twelve hours (DD:HH:MM:SS), or "
        "'trainer.max_time={hours: 12}'.",
    )
