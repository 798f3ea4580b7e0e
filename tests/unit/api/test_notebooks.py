"""The notebooks, carried out as they stand; what installs a package is left out."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.mark.slow(30)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    notebook.cells = [c for c in notebook.cells if "install" not in c.metadata.get("tags", ())]
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": tmp_path}}).execute()


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 3
