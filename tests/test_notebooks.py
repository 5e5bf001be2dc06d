"""The notebooks run, quietly, and show what they promise."""

from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))

# Pictures and tables that each shows.
PICTURES = {
    "01-first-mosaic.ipynb": 5,
    "02-pixfrac-and-kernel.ipynb": 4,
    "03-parity.ipynb": 3,
    "04-from-stcal.ipynb": 0,  # the difference is drawn in 03
    "05-speed.ipynb": 1,
    "06-clean-mosaics.ipynb": 3,
    "07-aperture-errors.ipynb": 2,
}
TABLES = {
    "01-first-mosaic.ipynb": 1,
    "02-pixfrac-and-kernel.ipynb": 3,
    "03-parity.ipynb": 2,
    "06-clean-mosaics.ipynb": 1,
}


def read(name):
    return nbformat.read(FOLDER / name, as_version=4)


def test_the_notebooks_are_those_that_are_tested():
    """Each notebook is expected to show a certain number of pictures."""
    assert sorted(PICTURES) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_kept_without_outputs(name):
    """What is committed holds no results, which would be of one machine and one day."""
    for cell in read(name).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


# The first in each run.
AFTER_THE_FIRST = [pytest.param(name, marks=pytest.mark.long) for name in NOTEBOOKS[1:]]


@pytest.mark.parametrize("name", [NOTEBOOKS[0], *AFTER_THE_FIRST])
def test_notebooks_run_and_show_their_pictures(name, tmp_path, monkeypatch):
    """No cell fails, nothing is written to stderr, and pictures and tables are there, with words before pictures."""
    # The processor, also where there is a GPU: it need not be free. CuPy without one would be remarked upon.
    monkeypatch.setenv("GPURES_BACKEND", "cpu")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = read(name)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert not said
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == PICTURES[name]
    assert sum("text/html" in data for data in shown) == TABLES.get(name, 0)
    for before, cell in pairwise(notebook.cells):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())):
            assert before.cell_type == "markdown", cell.source
