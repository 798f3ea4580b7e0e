"""Which cases of a long list the fast suite tries; the whole suite tries them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


def only(
    kept: Iterable[Any], cases: Iterable[Any], faults: Mapping[Any, Sequence[int]] | None = None
) -> list[Any]:
    """Parameters of `cases`; those not in `kept` are slow, and a tuple is several arguments.

    `faults` says to which rows of the fault matrix a case belongs.
    """
    kept, cases, faults = list(kept), list(cases), faults or {}
    assert set(faults) <= set(cases), "a case that there is not"
    assert all(case in cases for case in kept), "a case that there is not"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[
                *(() if case in kept else (pytest.mark.slow,)),
                *((pytest.mark.fault(*faults[case]),) if case in faults else ()),
            ],
        )
        for case in cases
    ]
