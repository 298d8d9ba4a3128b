"""Every kind of data trains with the same command, and its class names go into the card."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.model.recognizer import Recognizer
from inkdigit.training import run as training_run

from ..data.conftest import kaggle_rows, write_idx_part, write_rows
from ..training.conftest import write_small_report
from .conftest import assert_one_error, draw

N = 36


def write_idx_set(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    write_idx_part(folder, "train-", images, labels)
    write_idx_part(folder, "t10k-", images[:6], labels[:6])


def write_usps(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True)
    small = [np.asarray(Image.fromarray(image).resize((16, 16)), float).ravel() / 127.5 - 1 for image in images]
    rows = [
        f"{label + 1} " + " ".join(f"{i}:{value:.4f}" for i, value in enumerate(pixels, 1))
        for pixels, label in zip(small, labels, strict=True)
    ]
    (folder / "usps.bz2").write_bytes(bz2.compress("\n".join(rows).encode()))


def write_emnist(name: str, first: int) -> Callable[[Path, np.ndarray, np.ndarray], None]:
    def write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
        turned = images.transpose(0, 2, 1)
        write_idx_part(folder.parent / "emnist", f"{name}-train-", turned, labels + first)
        write_idx_part(folder.parent / "emnist", f"{name}-test-", turned[:6], labels[:6] + first)

    return write


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / ("apple", "Bär", "crème brûlée")[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image).save(path)


SOURCES = {
    "fashion-mnist": (write_idx_set, "plain", ("T-shirt/top", "Trouser", "Pullover"), 10),
    "kmnist": (write_idx_set, "plain", ("o", "ki", "su"), 10),
    "usps": (write_usps, "ink", ("0", "1", "2"), 10),
    "emnist-digits": (write_emnist("emnist-digits", 0), "ink", ("0", "1", "2"), 10),
    "emnist-letters": (write_emnist("emnist-letters", 1), "ink", ("A", "B", "C"), 26),
    "./mine": (write_folder, "ink", ("Bär", "apple", "crème brûlée"), 3),
}


@pytest.mark.parametrize("source", SOURCES)
def test_any_source_trains_with_the_same_command(inkdigit, recipe, tmp_path, monkeypatch, source):
    monkeypatch.setattr(training_run, "write_report", write_small_report)  # this test looks at the card
    write, kind, names, k = SOURCES[source]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path))
    write(tmp_path / source, *draw(N))
    output = inkdigit("train", recipe, "--data", source, "--set", "epochs=1", "--out", "run")
    assert output.code == 0, output.err
    card = Recognizer.load("run").card
    assert card.prepare == kind
    assert (card.classes[:3], len(card.classes)) == (names, k)


def one_folder(folder: Path, images: np.ndarray) -> str:
    write_folder(folder / "one", images, np.zeros(len(images), int))
    return "one"


def one_name(folder: Path, images: np.ndarray) -> str:
    np.savez(folder / "one.npz", X=images, y=np.full(len(images), "only"))
    return "one.npz"


def one_digit(folder: Path, images: np.ndarray) -> str:
    write_rows(folder / "train.csv", kaggle_rows(images, np.full(len(images), 3)))
    return "train.csv"


def many_names(folder: Path, images: np.ndarray) -> str:
    np.savez(folder / "many.npz", X=np.resize(images, (300, 28, 28)), y=np.arange(300))
    return "many.npz"


def many_rows(folder: Path, images: np.ndarray) -> str:
    (folder / "listed").mkdir()
    Image.fromarray(images[0]).save(folder / "listed" / "a.png")
    rows = "".join(f"a.png,class {i}\n" for i in range(300))
    (folder / "listed" / "labels.csv").write_text(f"file,label\n{rows}", encoding="utf-8")
    return "listed"


@pytest.mark.parametrize("write", [one_folder, one_name, one_digit, many_names, many_rows])
def test_one_class_or_three_hundred_are_one_error_before_the_training(inkdigit, recipe, tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path, draw(12)[0])
    assert_one_error(inkdigit("train", recipe, "--data", f"./{source}", "--out", "run"), 2, "classes")
    assert not Path("run").exists()
