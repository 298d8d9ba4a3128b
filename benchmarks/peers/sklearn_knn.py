"""scikit-learn's nearest neighbours: k = 3, Euclidean distance between pixels, by brute force.

As described in its user guide (https://scikit-learn.org/stable/modules/neighbors.html#classification); k = 3 is that of
LeCun, Bottou, Bengio, Haffner 1998. It stores all 60,000 training images; training is nothing more. The seed
changes nothing. In: a folder with the four IDX files of MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence

import form
import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 3


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (N, 28, 28) → float32 (N, 784) within 0–1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def main(argv: Sequence[str] | None = None) -> None:
    """Learn, measure on the test split, print one line of JSON."""
    options = form.options(__doc__, argv)
    clock = form.Clock()
    from sklearn.neighbors import KNeighborsClassifier

    clock.stop("import")
    images, labels = form.read_split(options.mnist, "train", pictures=options.pictures)
    pixels, neighbours = as_input(images), KNeighborsClassifier(NEIGHBOURS, algorithm="brute", n_jobs=-1)
    clock.stop("load")
    neighbours.fit(pixels, labels)
    clock.stop("train")
    form.conclude(
        clock,
        lambda some: neighbours.predict(as_input(some)),
        form.read_split(options.mnist, "t10k"),
        entrant="sklearn_knn",
        seed=options.seed,
        parameters=None,
        note=f"{len(pixels):,} stored pictures",
        threads=form.processors(),
        device="cpu",
        libraries=("scikit-learn", "numpy"),
    )


if __name__ == "__main__":
    main()
