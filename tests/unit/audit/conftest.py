"""Fixtures of tests of data that tests of audit take, too."""

from tests.unit.data.conftest import refused

__all__ = ["refused"]
