"""Kaggle's Digit Recognizer, built from MNIST: 42,000 labelled rows to train on, 28,000 others to be scored on.

In: MNIST where `inkdigit` finds it. Out: `train.csv`, `test.csv` and `solution.csv` in a folder, in Kaggle's format.
The 70,000 images are shuffled with a fixed random seed and split, as Kaggle's are. The written files are checked, by
number and by pixels: no row is shared. (Which rows Kaggle itself drew is not published with MNIST.)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from inkdigit.data.sources import open_data
from inkdigit.files import write_atomic

ROWS, SEED = 42_000, 0
PIXELS = [f"pixel{i}" for i in range(784)]


def build(folder: Path) -> dict[str, int]:
    """Write the three files and return what the check of them counted."""
    dataset = open_data("mnist")
    assert dataset.test is not None
    images = np.concatenate([dataset.train.images, dataset.test.images]).reshape(-1, 784)  # (70000, 784)
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    order = np.random.default_rng(SEED).permutation(len(images))
    train, test = order[:ROWS], order[ROWS:]
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(images[train], PIXELS)
    frame.insert_column(0, pl.Series("label", labels[train])).write_csv(folder / "train.csv")
    pl.DataFrame(images[test], PIXELS).write_csv(folder / "test.csv")
    answers = "".join(f"{i},{label}\n" for i, label in enumerate(labels[test], 1))
    write_atomic(folder / "solution.csv", "ImageId,Label\n" + answers)
    return check(folder, shared_numbers=len(set(train.tolist()) & set(test.tolist())))


def check(folder: Path, *, shared_numbers: int) -> dict[str, int]:
    """Read the files again: how many rows each has, and how many images are in both, pixel for pixel."""
    train = pl.read_csv(folder / "train.csv").drop("label").to_numpy().astype(np.uint8)
    test = pl.read_csv(folder / "test.csv").to_numpy().astype(np.uint8)
    known = {row.tobytes() for row in train}
    shared = sum(row.tobytes() in known for row in test)
    counted = {"train": len(train), "test": len(test), "shared_numbers": shared_numbers, "shared_pixels": shared}
    if counted != {"train": ROWS, "test": 70_000 - ROWS, "shared_numbers": 0, "shared_pixels": 0}:
        raise SystemExit(f"The split is not clean: {counted}")
    return counted


def score(submission: Path, solution: Path) -> tuple[float, list[int]]:
    """The share of right labels, as Kaggle counts it, and the ids of the wrong ones."""
    given, true = (np.loadtxt(path, int, delimiter=",", skiprows=1) for path in (submission, solution))
    if not np.array_equal(given[:, 0], true[:, 0]):
        raise SystemExit(f"{submission} does not have the rows of {solution}")
    wrong = given[:, 1] != true[:, 1]
    return 1 - wrong.mean(), true[wrong, 0].tolist()


def main(argv: Sequence[str] | None = None) -> None:
    """Build the files and print what was checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where train.csv, test.csv and solution.csv are written")
    parser.add_argument("--score", type=Path, metavar="SUBMISSION", help="score a submission; build nothing")
    options = parser.parse_args(argv)
    if options.score:
        accuracy, wrong = score(options.score, options.folder / "solution.csv")
        print(f"{accuracy * 100:.3f} % ({len(wrong)} wrong)")
        return
    counted = build(options.folder)
    print(f"{counted['train']:,} and {counted['test']:,} rows in {options.folder}; 0 shared, by number and by pixels")


if __name__ == "__main__":
    main()
