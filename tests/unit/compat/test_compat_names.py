"""Private places of libraries as text."""

import importlib

import pytest

from lushan.compat import names

PLACES = [value for key, value in vars(names).items() if key.isupper()]


@pytest.mark.parametrize("place", PLACES)
def test_classes_are_defined_there(place: str) -> None:
    module, _, name = place.rpartition(".")
    pytest.importorskip(module.partition(".")[0])
    found = getattr(importlib.import_module(module), name)
    assert f"{found.__module__}.{found.__qualname__}" == place


def test_there_are_some() -> None:
    assert len(PLACES) == 4
