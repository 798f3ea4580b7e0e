"""`init_from=PLACE`: what it is short for, and whether it was written."""

from __future__ import annotations

from collections.abc import Sequence

from lushan.errors import UserError

INIT_FROM = "init_from"
"""Short for a model, its shape, its tokenizer and its weights: those of one place."""

_GROUPS, _PLACE = ("model=pretrained", "processor=pretrained"), "model.path"


def starting_from(overrides: Sequence[str]) -> list[str]:
    """Write out what `init_from=PLACE` is short for, where it stands.

    Raises:
        UserError: A model or tokenizer is chosen beside it.
    """
    named = {line.partition("=")[0]: line for line in overrides}
    if INIT_FROM not in named:
        return list(overrides)
    for group in ("model", "processor", "model.path"):
        if group in named:
            raise UserError(
                f"{INIT_FROM} already sets the model and tokenizer",
                key=group,
                value=named[group].partition("=")[2],
                hint=f"Remove {named[group]}, or {INIT_FROM}.",
            )
    place = named[INIT_FROM].partition("=")[2]
    if place in ("", "null"):
        return [line for line in overrides if line != named[INIT_FROM]]
    spelled = [*_GROUPS, f"{_PLACE}={place}"]
    return [
        more for line in overrides for more in (spelled if line == named[INIT_FROM] else [line])
    ]


def written_for(overrides: Sequence[str]) -> dict[str, str]:
    """Return the keys that `init_from` stands for in overrides that it was written out in."""
    lines = [line.lstrip("+") for line in overrides]
    for number, line in enumerate(lines):
        before = tuple(lines[max(0, number - len(_GROUPS)) : number])
        if line.startswith(f"{_PLACE}=") and before == _GROUPS:
            return {_PLACE: INIT_FROM}
    return {}
