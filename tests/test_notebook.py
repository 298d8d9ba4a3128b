"""The notebook runs from its first cell to its last, in an empty folder, on small data in MNIST's form."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from inkdigit.data.sources import SKLEARN_DIGITS, open_data

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "digit_recognizer.ipynb"
STEPS = ["Import", "Load", "Prepare", "Split", "Define", "Compile", "Augment", "Anneal", "Train", "Visualise"]
STEPS += ["Predict and submit"]


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_small_mnist(folder: Path) -> None:
    """scikit-learn's digits, as MNIST's four files."""
    part = open_data(SKLEARN_DIGITS).train
    folder.mkdir(parents=True)
    for name, rows in (("train", slice(0, 900)), ("t10k", slice(900, 1000))):
        write_idx(folder / f"{name}-images-idx3-ubyte", part.images[rows])
        write_idx(folder / f"{name}-labels-idx1-ubyte", part.labels[rows])


def test_it_has_the_eleven_steps(notebook):
    titles = re.findall(r"^## (\d+) · (.+)$", "\n".join(cell.source for cell in notebook.cells), re.MULTILINE)
    assert titles == [(str(i), step) for i, step in enumerate(STEPS, 1)]


def test_it_is_committed_without_outputs(notebook):
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs_to_the_submission(notebook, tmp_path, monkeypatch):
    write_small_mnist(tmp_path / "data" / "mnist")
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    executed = nbclient.NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    rows = (tmp_path / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "ImageId,Label"
    assert len(rows) == 1 + 100
    shown = executed.cells[-1].outputs[0].text
    assert float(re.match(r"([\d.]+)% right", shown)[1]) > 30  # three epochs on 770 images: better than guessing
    pictures = [output for cell in executed.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output.data for output in pictures) >= 6
