"""Settings that try a run out, and whose numbers are not those of the whole data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lushan.run.values import show

SHARES = ("limit_val_batches", "limit_test_batches")
"""Keys of the trainer: a share of the batches (1.0 is all of them) or their number."""
SWITCHES = ("fast_dev_run", "overfit_batches")
"""Keys of the trainer that are 0 or false where nothing is left out."""


def shortened_by(
    config: Mapping[str, Any], choices: Mapping[str, str | None] | None = None
) -> list[str]:
    """Return the settings by which a run has left out part of validation or test.

    Args:
        config: Of the run.
        choices: Its group choices: any preset of `debug` is for trying out.

    Returns:
        `trainer.fast_dev_run=true` and the like; nothing where the numbers are of whole splits.
    """
    trainer = config.get("trainer") or {}
    found = [name for name in SWITCHES if trainer.get(name)]
    found += [name for name in SHARES if _is_part(trainer.get(name))]
    debug = (choices or {}).get("debug")
    preset = [] if debug is None else [f"debug={debug}"]
    return preset + [f"trainer.{name}={show(trainer[name])}" for name in found]


def _is_part(value: object) -> bool:
    """Return whether it is neither nothing nor everything."""
    return bool(value) and not (isinstance(value, float) and value == 1.0)
