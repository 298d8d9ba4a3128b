"""The peer that `fast` is measured against: the `mnist_convnet` network of keras.io, on TensorFlow.

Written afresh from its published description (https://keras.io/examples/vision/mnist_convnet/) and run by its own
interpreter, which needs `requirements-peers.txt` and nothing of Inkdigit. In: a folder with the four IDX files of
MNIST. Out: one line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARAMETERS = 34_826  # as the description gives it
CLASSES = 10
EPOCHS = 15
BATCH = 128
VALIDATION = 0.1  # of the training pictures, the last ones


def read_idx(folder: Path, stem: str) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes, packed or not: (N, 28, 28) for pictures, (N,) for labels."""
    packed = folder / f"{stem}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / stem).read_bytes()
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_part(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures float32 (N, 28, 28, 1) within 0–1 and one-hot labels float32 (N, 10) of `train` or `t10k`."""
    images = read_idx(folder, f"{part}-images-idx3-ubyte")[..., None].astype(np.float32)
    images /= 255
    return images, np.eye(CLASSES, dtype=np.float32)[read_idx(folder, f"{part}-labels-idx1-ubyte")]


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
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    if network.count_params() != PARAMETERS:
        sys.exit(f"This is not the published network: {network.count_params()} parameters instead of {PARAMETERS}")
    network.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return network


def fit(network: Any, images: NDArray[np.float32], labels: NDArray[np.float32], *, epochs: int) -> float:
    """Train, and return the seconds from the first batch to the end of the last validation."""
    import keras

    marks: list[float] = []

    # Nothing is called between batches: that would slow the peer down.
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: marks.append(time.perf_counter()),
        on_train_end=lambda *_: marks.append(time.perf_counter()),
    )
    network.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=epochs,
        validation_split=VALIDATION,
        callbacks=[clock],
        verbose=0,
    )
    return marks[-1] - marks[0]


def main() -> None:
    """Train, measure on the test part, print one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("mnist", type=Path, help="the folder with the four IDX files, .gz or not")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--epochs", type=int, default=EPOCHS, help="fewer prove that it runs, and measure nothing")
    options.add_argument("--pictures", type=int, default=None, help="train on the first so many; for the same end")
    asked = options.parse_args()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(asked.seed)
    images, labels = read_part(asked.mnist, "train")
    network = build()
    seconds = fit(network, images[: asked.pictures], labels[: asked.pictures], epochs=asked.epochs)
    _, accuracy = network.evaluate(*read_part(asked.mnist, "t10k"), verbose=0)
    report = {
        "train_seconds": round(seconds, 3),
        "accuracy": round(float(accuracy), 6),
        "parameters": network.count_params(),
        "epochs": asked.epochs,
        "batch": BATCH,
        "pictures": len(images[: asked.pictures]),
        "seed": asked.seed,
        "device": "gpu" if tf.config.list_physical_devices("GPU") else "cpu",
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
