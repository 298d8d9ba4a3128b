"""What all peers share: reading MNIST, the options, the clock, and the one line of JSON that each prints at its end.

In: a folder with the four IDX files of MNIST, and the options of the command line. Out: the common form. NumPy
alone, and nothing of Inkdigit.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
WARM_UP = 1000  # images that are predicted before the clock runs, so that nothing is built or compiled on it
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: what ru_maxrss counts in


def options(
    doc: str | None, argv: Sequence[str] | None, *, epochs: int | None = None, cuda: bool = False
) -> argparse.Namespace:
    """Read the command line: `mnist`, `seed`, `pictures`; `epochs` where there are any, `device` where one may choose.

    `epochs` is how many the description asks for.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path, help="the folder with the four IDX files, .gz or not")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, help="train on the first so many: proves only that it runs")
    if epochs is not None:
        parser.add_argument("--epochs", type=int, default=epochs, help="fewer are for the same end")
    if cuda:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args(argv)


def read_idx(folder: Path, stem: str) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes, packed or not: (N, 28, 28) for images, (N,) for labels."""
    packed = folder / f"{stem}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / stem).read_bytes()
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def read_split(folder: Path, part: str, *, pictures: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 (N, 28, 28) and labels uint8 (N,) of `train` or `t10k`; the first `pictures` of them."""
    return (
        read_idx(folder, f"{part}-images-idx3-ubyte")[:pictures],
        read_idx(folder, f"{part}-labels-idx1-ubyte")[:pictures],
    )


def check_parameters(counted: int, *, published: int) -> None:
    """Stop if a network is not the one that was published.

    Raises:
        SystemExit: it has not the published number of parameters.
    """
    if counted != published:
        sys.exit(f"This is not the published network: {counted:,} parameters instead of {published:,}")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def predict_all(predict: Callable[[NDArray[np.uint8]], Any], images: NDArray[np.uint8]) -> tuple[Any, float]:
    """What `predict` returns for all images at once, and the seconds it takes; a first call warms up, off the clock."""
    predict(images[:WARM_UP])
    began = time.perf_counter()
    predictions = predict(images)
    return predictions, time.perf_counter() - began


def peak_mb() -> float | None:
    """The most memory that this process held so far, in megabytes of 10⁶ bytes; None where nobody counts it."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT / 1e6


@dataclass
class Clock:
    """The stages of one training: each call of `stop` ends one and begins the next; `curve` holds the epochs.

    Evaluation is off the clock: `skip` drops what passed since the last stop.
    """

    at: float = field(default_factory=time.perf_counter)
    now: Callable[[], float] = time.perf_counter  # a reading of the clock, in seconds
    seconds: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    def stop(self, stage: str) -> None:
        """Add what passed since the last stop to `stage`."""
        now = self.now()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.at
        self.at = now

    def skip(self) -> None:
        """Count what passed since the last stop for nothing."""
        self.at = self.now()

    def mark(self, epoch: int, accuracy: float) -> None:
        """Note the test accuracy at the end of an epoch, and skip the time it took to find out."""
        self.curve.append((epoch, round(self.seconds["train"], 4), round(accuracy, 6)))
        self.skip()


def line(clock: Clock, *, libraries: Sequence[str], **about: Any) -> dict[str, Any]:
    """The common form: what `clock` holds, peak memory and versions of `libraries` and what is known `about` it."""
    stages = {f"{stage}_seconds": round(seconds, 4) for stage, seconds in clock.seconds.items()}
    peak = peak_mb()
    return {
        **about,
        **stages,
        "peak_mb": None if peak is None else round(peak, 1),
        "curve": clock.curve,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in libraries}},
    }


def learn(
    clock: Clock,
    epochs: int,
    train: Callable[[], object],
    predict: Callable[[NDArray[np.uint8]], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    """Let a peer `train` for so many epochs on the clock, and predict the test split after each, off the clock."""
    images, labels = test
    for epoch in range(1, epochs + 1):
        clock.skip()
        train()
        clock.stop("train")
        clock.mark(epoch, float((predict(images) == labels).mean()))


def conclude(
    clock: Clock,
    predict: Callable[[NDArray[np.uint8]], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]],
    **about: Any,
) -> None:
    """Let a peer predict the test split (images, labels), and print its line; `about` is the rest of the line."""
    images, labels = test
    predictions, seconds = predict_all(predict, images)
    accuracy = float((predictions == labels).mean())
    if not clock.curve:  # a peer without epochs has one point
        clock.mark(1, accuracy)
    figures = {"answer_seconds": round(seconds, 4), "accuracy": round(accuracy, 6), "n": len(labels)}
    print_line(line(clock, kind="peer", **about, **figures))


def print_line(figures: dict[str, Any]) -> None:
    """Print the line: the last one on stdout."""
    print(json.dumps(figures), flush=True)
