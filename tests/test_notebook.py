"""The notebook runs from its first cell to its last, in an empty folder, on small data in MNIST's form.

What it shows then is compared, but for numbers and pictures, with the outputs that are stored in it. These are of MNIST
itself; after a change write them again, where INKDIGIT_DATA has it:

    WRITE_GOLDEN=1 python -m pytest tests/test_notebook.py
"""

from __future__ import annotations

import ast
import os
import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest

import inkdigit
from inkdigit.data.sources import SKLEARN_DIGITS, open_data

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "digit_recognizer.ipynb"
STEPS = ["Import", "Load", "Prepare", "Split", "Define", "Compile", "Augment", "Anneal", "Train", "Visualise"]
STEPS += ["Predict and submit"]
DOUBTS = ("unsure", "perhaps", "None", "min")  # of a small model; and a training that takes minutes
WRITE = "WRITE_GOLDEN" in os.environ
MAX_BYTES = 450_000  # it is read in a browser, and each version of it is kept


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, executed in a folder beside the examples, and that folder."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    (root / "examples").symlink_to(ROOT / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(root / "ipython"))
        if not WRITE:
            write_small_mnist(root / "data" / "mnist")
            patch.setenv("INKDIGIT_DATA", str(root / "data"))
        client = nbclient.NotebookClient(
            nbformat.read(NOTEBOOK, as_version=4),
            timeout=1200 if WRITE else 200,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(root / "notebooks")}},
        )
        shown = client.execute()
    if WRITE:
        shown.metadata = nbformat.read(NOTEBOOK, as_version=4).metadata
        nbformat.write(shown, NOTEBOOK)
    return shown, root / "notebooks"


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


def words(cell) -> list[tuple[str, ...]]:
    """The kinds and words of what a cell shows: without numbers, markup, pictures, and doubts."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {"text": output.get("text", "")})
        text = re.sub(r"<[^>]*>", " ", data.get("text/html") or data.get("text", ""))
        said = [word for word in re.findall(r"[^\W\d_]{2,}", text) if word not in DOUBTS]
        found.append((output.output_type, *sorted(data), *said))
    return found


def test_it_has_the_eleven_steps_and_more(notebook):
    text = "\n".join(cell.source for cell in notebook.cells)
    assert re.findall(r"^## (\d+) · (.+)$", text, re.MULTILINE) == [(str(i), step) for i, step in enumerate(STEPS, 1)]
    assert "## More than MNIST" in text


def test_it_uses_public_names_alone(notebook):
    code = ast.parse("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    imported = [alias.name for node in ast.walk(code) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
    assert [name for name in imported if name.startswith("inkdigit")] == ["inkdigit"]
    used = {
        node.attr
        for node in ast.walk(code)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "inkdigit"
    }
    assert used <= set(inkdigit.__all__)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs_to_the_submission_and_beyond(executed):
    shown, folder = executed
    rows = (folder / "submission.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "ImageId,Label"
    assert len(rows) > 100
    said = next(cell.outputs[0].text for cell in shown.cells if "what the submission would score" in cell.source)
    assert float(re.match(r"([\d.]+)% right", said)[1]) > 30  # three epochs on 770 images: better than guessing
    pictures = [output for cell in shown.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output.data for output in pictures) == 2
    assert sum("text/html" in output.data for output in pictures) >= 10
    assert not [output for cell in shown.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]


def test_its_stored_outputs_are_those_of_its_cells(executed):
    stored = nbformat.read(NOTEBOOK, as_version=4)
    for cell, now in zip(stored.cells, executed[0].cells, strict=True):
        assert words(cell) == words(now), cell.source


def test_its_stored_outputs_are_small_and_name_no_place_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < MAX_BYTES
    assert not [
        place for place in (str(Path.home()), tempfile.gettempdir(), str(ROOT), "/site-packages/") if place in text
    ]
