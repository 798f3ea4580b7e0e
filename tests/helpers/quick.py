"""Which cases of a long list the fast suite tries; the whole suite tries them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


def only(
    kept: Iterable[Any],
    cases: Iterable[Any],
    faults: Mapping[Any, Sequence[int]] | None = None,
    long: Iterable[Any] = (),
) -> list[Any]:
    """Parameters of `cases`; those not in `kept` are slow, and a tuple is several arguments.

    Args:
        kept: Those that the fast suite tries.
        cases: All.
        faults: To which rows of the fault matrix a case belongs.
        long: Those that only `make faults` tries, for another one proves the same mechanism.
    """
    kept, cases, faults, long = list(kept), list(cases), faults or {}, list(long)
    assert set(faults) <= set(cases), "a case that there is not"
    assert all(case in cases for case in (*kept, *long)), "a case that there is not"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[
                *(() if case in kept else (pytest.mark.slow,)),
                *((pytest.mark.long,) if case in long else ()),
                *((pytest.mark.fault(*faults[case]),) if case in faults else ()),
            ],
        )
        for case in cases
    ]
