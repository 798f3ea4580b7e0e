"""Modules in the working folder that have the names of others: nobody imports them."""

import os
import subprocess
import sys

import pytest

from tests.helpers import command, narrow

TINY = (
    *("data=sample_ner", "data.limit=12", *narrow.narrowed(command.SMALL)),
    *("trainer.max_steps=1", "test=false", "name=safe"),
)
STARTS = {
    "fork, ranks": ["train", "-m", *TINY, "seed=1", "trainer=ddp_sim"],
    "joblib": ["train", "-m", *TINY, "seed=1,2", "hydra/launcher=joblib"],
    "submitit": ["train", "-m", *TINY, "seed=1", "hydra/launcher=submitit_local"],
    "ray": ["train", "-m", *TINY, "seed=1,2", "hydra/launcher=ray"],
}
MODULES = ("psutil", "random", "yaml", "numpy", "_strptime")


@pytest.fixture
def folder(tmp_path):
    """A working folder with modules that leave a mark when they are imported."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'marker')!r}, 'a').write('{name} ')\nraise SystemExit(3)\n"
        )
    return tmp_path


@pytest.mark.slow(8)
@pytest.mark.fault(60)
@pytest.mark.parametrize(
    "start",
    [pytest.param(s, marks=pytest.mark.long) if s in ("joblib", "ray") else s for s in STARTS],
)
def test_no_process_imports_from_the_working_folder(folder, start):
    if start != "fork, ranks":
        pytest.importorskip(f"hydra_plugins.hydra_{start}_launcher")
    # A fork has the path of its parent, which is that of the commands that start launchers; a rank
    # of it is an interpreter.
    begun = command.cli if start == "fork, ranks" else command.executed
    done = begun(*STARTS[start], cwd=folder)
    assert not (folder / "marker").exists(), (folder / "marker").read_text()
    assert done.code == 0, done.out + done.err


@pytest.mark.fault(60)
def test_nor_does_python_m(folder):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    words = [sys.executable, "-m", "lushan", "runs", "--help"]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "marker").exists()
