"""The command line in this process and in one of its own; a trained model, pictures and CSVs to give it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from inkdigit.cli import app
from inkdigit.data.readers.kaggle_csv import LABEL, PIXELS
from inkdigit.synth.drawn import digit

from ..training import conftest as training

TINY = """\
filters = [4, 8]
head = "global_max"
batch = 32
epochs = 2
learning_rate = 0.01
precision = "float32"
"""


class Output(NamedTuple):
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Output]


def assert_one_error(output: Output, code: int, text: str) -> None:
    """One line on stderr, nothing on stdout, no traceback."""
    assert output.code == code, output.err
    assert output.out == ""
    (line,) = output.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert text in line


@pytest.fixture
def inkdigit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""

    def call(*words: object) -> Output:
        monkeypatch.setattr(sys, "argv", ["inkdigit", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            app.main()
        code = caught.value.code
        return Output(code if isinstance(code, int) else 0, *capsys.readouterr())

    return call


def command(*words: object) -> list[str]:
    """The words that start the command line in a process of its own."""
    return [sys.executable, "-m", "inkdigit", *map(str, words)]


def environment() -> dict[str, str]:
    """One thread, UTF-8, and no data in reach but what is named."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def run(*words: object, cwd: Path | None = None) -> Output:
    """Call the command line in a process of its own."""
    done = subprocess.run(
        command(*words), cwd=cwd, env=environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    return Output(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run on the digits 0, 1 and 2."""
    return training.finish(tmp_path_factory).folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


def draw(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`n` drawn digits 0, 1, 2 in turn: uint8 (n, 28, 28) and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return np.stack([digit(int(k), rng=rng, size_px=28) for k in labels]), labels


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Sixty drawn digits as an .npz."""
    images, labels = draw(60)
    np.savez(tmp_path / "digits.npz", X=images, y=labels)
    return tmp_path / "digits.npz"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A folder: two digits, a blank, a broken file, and things that are no pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    images, _ = draw(2)
    for name, image in zip(("b.png", "a.PNG"), images, strict=True):
        Image.fromarray(255 - image).save(folder / name)
    Image.new("L", (40, 40), 255).save(folder / "c.png")
    (folder / "d.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture, and not called one", encoding="utf-8")
    (folder / "sub.png").mkdir()
    Image.fromarray(images[0]).save(folder / "sub.png" / "deep.png")
    return folder


def write_kaggle(path: Path, images: np.ndarray, labels: np.ndarray | None) -> Path:
    """Kaggle's train.csv, or test.csv without labels."""
    header = [*([] if labels is None else [LABEL]), *PIXELS]
    rows = images.reshape(len(images), -1).tolist()
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *(rows if labels is None else map(_row, labels.tolist(), rows))])
    return path


def _row(label: int, pixels: list[int]) -> list[int]:
    return [label, *pixels]
