"""The `mnist_convnet` network of keras.io, on TensorFlow.

Written afresh from its published description (https://keras.io/examples/vision/mnist_convnet/): 34,826 parameters, 15
epochs of batches of 128, Adam, the last tenth of the training images for validation. Its epochs are timed with their
validation, from the first batch on. Different from the description: the test split is evaluated between epochs, off the
clock. In: a folder with the four IDX files of MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import form
import numpy as np
from numpy.typing import NDArray

PARAMETERS = 34_826  # as the description gives it
EPOCHS = 15
BATCH = 128
VALIDATION = 0.1  # of the training images, the last ones
ANSWER_BATCH = 1000


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (N, 28, 28) → float32 (N, 28, 28, 1) within 0–1."""
    return images[..., None].astype(np.float32) / 255


def build() -> Any:
    """The compiled network.

    Raises:
        SystemExit: it has not the published number of parameters.
    """
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),  # (N, 26, 26, 32)
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),  # (N, 11, 11, 64)
            layers.MaxPooling2D(2),
            layers.Flatten(),  # (N, 1600)
            layers.Dropout(0.5),
            layers.Dense(form.CLASSES, activation="softmax"),
        ]
    )
    form.check_parameters(network.count_params(), published=PARAMETERS)
    network.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return network


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure on the test split, print one line of JSON."""
    options = form.options(__doc__, argv, epochs=EPOCHS)
    clock = form.Clock()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    clock.stop("import")
    keras.utils.set_random_seed(options.seed)
    one_hot = np.eye(form.CLASSES, dtype=np.float32)
    images, labels = form.read_split(options.mnist, "train", pictures=options.pictures)
    images, labels = as_input(images), one_hot[labels]
    test_images, test_labels = form.read_split(options.mnist, "t10k")
    network = build()
    clock.stop("load")

    def mark(epoch: int, _: object) -> None:
        clock.stop("train")
        held = as_input(test_images), one_hot[test_labels]
        clock.mark(epoch + 1, float(network.evaluate(*held, batch_size=ANSWER_BATCH, verbose=0)[1]))

    # Nothing is called between batches: that would slow it down.
    epochs = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: clock.skip(), on_epoch_end=mark)
    network.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=options.epochs,
        validation_split=VALIDATION,
        callbacks=[epochs],
        verbose=0,
    )
    clock.skip()
    form.conclude(
        clock,
        lambda some: network.predict(as_input(some), batch_size=ANSWER_BATCH, verbose=0).argmax(1),
        (test_images, test_labels),
        entrant="keras_convnet",
        seed=options.seed,
        parameters=network.count_params(),
        threads=form.processors(),
        device="cpu",
        libraries=("tensorflow", "keras", "numpy"),
    )


if __name__ == "__main__":
    main()
