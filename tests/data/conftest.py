"""Small data sets in every format, made by the tests."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.types import Dataset, Part

HEADER = ["label", *(f"pixel{i}" for i in range(784))]


def draw(n: int, *, side: int = 28, seed: int = 0) -> np.ndarray:
    """Different clean images uint8 (N, side, side): a random block of ink on zero."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, side, side), np.uint8)
    edge = side // 4
    images[:, edge:-edge, edge:-edge] = rng.integers(1, 256, (n, side - 2 * edge, side - 2 * edge))
    return images


def write_idx(path: Path, array: np.ndarray) -> Path:
    """`array` as an IDX file; gzipped where the name says so."""
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_idx_part(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray, *, suffix: str = ".gz") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / f"{prefix}images-idx3-ubyte{suffix}", images)
    write_idx(folder / f"{prefix}labels-idx1-ubyte{suffix}", labels)


def write_rows(path: Path, rows: list[list[object]], header: list[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def kaggle_rows(images: np.ndarray, labels: np.ndarray) -> list[list[object]]:
    return [[int(k), *image.ravel().tolist()] for image, k in zip(images, labels, strict=True)]


def write_picture(path: Path, gray: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray).save(path)
    return path


def make_part(labels: list[int], *, seed: int = 0, writers: list[int] | None = None, **more: object) -> Part:
    """A part with a different image for each label."""
    who = None if writers is None else np.array(writers, np.int32)
    return Part(draw(len(labels), seed=seed), np.array(labels, np.int64), writers=who, **more)


def make_dataset(train: Part, test: Part | None = None) -> Dataset:
    return Dataset("drawn", tuple("0123456789"), train, test)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder and a cache with no data in reach."""
    here = tmp_path / "beside" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv("INKDIGIT_DATA", raising=False)
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    return here
