"""Which cases of a long list the fast suite tries; the whole suite tries them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def only(kept: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Parameters of `cases`; those not in `kept` are slow, and a tuple is several arguments."""
    kept, cases = list(kept), list(cases)
    assert all(case in cases for case in kept), "a case that there is not"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in kept else pytest.mark.slow,
        )
        for case in cases
    ]
