"""What the tests of faults share."""

import pytest

from tests.faults import jobs


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """What runs left alone come to, by their overrides."""
    known = {}

    def get(*overrides):
        if overrides not in known:
            folder = tmp_path_factory.mktemp("alone")
            assert jobs.carry_out(jobs.config(folder, *overrides)) == 0
            known[overrides] = folder
        return known[overrides]

    return get
