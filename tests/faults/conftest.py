"""What the tests of faults share."""

import hashlib

import pytest

from tests.faults import jobs
from tests.helpers import shared


@pytest.fixture(scope="session")
def left_alone():
    """Results of undisturbed runs, by their overrides; all workers read them and change none."""

    def get(*overrides):
        def make(folder):
            assert jobs.execute(jobs.config(folder / "run", *overrides)) == 0

        digest = hashlib.sha256(repr(overrides).encode()).hexdigest()[:16]
        return shared.once(f"alone-{digest}", make) / "run"

    return get
