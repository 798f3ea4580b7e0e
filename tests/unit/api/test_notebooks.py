"""The notebooks, carried out as they stand; what installs a package is left out."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
from tests.helpers import forked

from lushan.cli import app

EXAMPLES = Path(__file__).parents[3] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def carried_out(env, cells, folder):
    """Carry out cells as a kernel does, in a process of its own: what they show is formatted."""
    from IPython.core.interactiveshell import InteractiveShell

    os.environ.update(env)  # the server has those of whoever asked first
    os.chdir(folder)
    sys.path.insert(0, "")
    shell = InteractiveShell.instance()
    shell.system = typed
    for cell in cells:
        shell.run_cell(cell).raise_error()


def typed(line):
    """Carry out a line of a shell, `!lushan ...`, in a process that has its imports."""
    if not (pid := os.fork()):
        code = 1
        try:
            sys.argv = shlex.split(line)
            code = app.main()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, line


@pytest.mark.slow(8)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [c for c in json.loads(path.read_bytes())["cells"] if c["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in cells), "stored without outputs"
    kept = [c for c in cells if "install" not in c["metadata"].get("tags", ())]
    sources = ["".join(cell["source"]) for cell in kept]
    process = forked.process(carried_out, (dict(os.environ), sources, str(tmp_path)))
    process.join()
    assert process.exitcode == 0


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 3
