"""Settings and facts that must stay the same when a run is resumed, as its numbers must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lushan.errors import UserError
from lushan.run.identity import is_excluded


def require_alike(
    before: Mapping[str, Any], now: Mapping[str, Any], *, elastic: bool = False
) -> list[str]:
    """Compare the values that `auto` and defaults had when a run began with those of now.

    Args:
        before: Config key, or a fact of the machine without a dot, to its value then.
        now: The same, of now.
        elastic: Whether the run may be resumed with other values of config keys.

    Returns:
        A note on each difference that is allowed.

    Raises:
        UserError: The value of a config key differs.
    """
    notes = []
    for field, value in before.items():
        here = now.get(field)
        if here == value:
            continue
        if "." in field and not elastic:
            # A key that is part of the run's id cannot be set: that would be another run.
            way = f"Resume it with {field} {value}"
            if is_excluded(field):
                way = f"Write {field}={value}"
            raise UserError(
                f"the interrupted run had {value!r} here, which a bit-exact resume requires",
                key=field,
                value=here,
                hint=f"{way}, or write trainer.elastic=true to resume with the same batches, with "
                "differences in the last digits.",
            )
        notes.append(f"resumed with {field} {here}, instead of {value}: last digits may differ")
    return notes
