"""scikit-learn's support vector machine with a Gaussian kernel, on pixels.

C = 5 and gamma = 0.05 on pixels within 0–1 are as published (https://github.com/ksopyla/svm_mnist_digit_classification,
98.5 %); nothing was chosen here. It trains on all 60,000 training images, on one thread: libsvm has no more. The
seed changes nothing. In: a folder with the four IDX files of MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence

import form
import numpy as np
from numpy.typing import NDArray

C, GAMMA = 5.0, 0.05
CACHE_MB = 1000  # of kernel values: it makes the same machine sooner


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 (N, 28, 28) → float64 (N, 784) within 0–1."""
    return images.reshape(len(images), -1) / 255


def main(argv: Sequence[str] | None = None) -> None:
    """Learn, measure on the test split, print one line of JSON."""
    options = form.options(__doc__, argv)
    clock = form.Clock()
    from sklearn.svm import SVC

    clock.stop("import")
    images, labels = form.read_split(options.mnist, "train", pictures=options.pictures)
    pixels, machine = as_input(images), SVC(C=C, gamma=GAMMA, cache_size=CACHE_MB)
    clock.stop("load")
    machine.fit(pixels, labels)
    clock.stop("train")
    form.conclude(
        clock,
        lambda some: machine.predict(as_input(some)),
        form.read_split(options.mnist, "t10k"),
        entrant="sklearn_svm",
        seed=options.seed,
        parameters=None,
        note=f"{len(machine.support_):,} support vectors",
        threads=1,
        device="cpu",
        libraries=("scikit-learn", "numpy"),
    )


if __name__ == "__main__":
    main()
