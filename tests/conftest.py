"""What all tests share: where real data lies, how many threads, and no account of a person's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("LUSHAN_DATA") or Path(__file__).parents[2] / "shared" / "data")

# Set before torch is imported, and inherited by the processes that tests start: the golden numbers
# do not depend on how many cores a machine has. Two workers share two cores.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

# Nothing a test does may reach somebody's account, whatever the shell around it is logged in to.
for variable in ("WANDB_API_KEY", "HF_TOKEN"):
    os.environ.pop(variable, None)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets, which may not be there."""
    if not DATA.is_dir():
        pytest.skip(f"no data in {DATA}; set LUSHAN_DATA to its folder")
    return DATA
