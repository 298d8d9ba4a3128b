"""Prediction, stage by stage: the time of each stage per image, and of the paths that users call.

In: the test images of MNIST, as arrays, as PNG files in one folder a class, as Kaggle's CSV; a model. Out:
`results/stages.json`. Everything is called in this process, in rounds in which each stage takes its turn, except the
command, which is a process of its own with its start. Files are in the disk cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import machine, results
from inkdigit.data.readers.folders import read_image_folder
from inkdigit.data.readers.kaggle_csv import PIXELS, read_kaggle_test
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import CHUNK, Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare, prepare_all
from inkdigit.types import Gray, Part

LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "polars")
COMMAND = "python -m benchmarks.speed.stages"
WARM_UPS = 1  # rounds
MANY = 512  # images given to the network at once, beside CHUNK
SINGLY = 1_000  # images a round of what takes them one by one


@dataclass(frozen=True)
class Case:
    """What is called in each round, and how many images it takes."""

    call: Callable[[], object]
    pictures: int


def write_files(folder: Path, part: Part) -> list[Path]:
    """Each image as a PNG in the folder of its class."""
    files = [folder / str(label) / f"{i:05}.png" for i, label in enumerate(part.labels)]
    for file, image in zip(files, part.images, strict=True):
        file.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(image).save(file)
    return files


def write_csv(path: Path, images: Gray) -> None:
    """The images as Kaggle's test.csv."""
    header = ",".join(PIXELS)
    np.savetxt(path, images.reshape(len(images), -1), fmt="%d", delimiter=",", header=header, comments="")


def cases(recognizer: Recognizer, images: Gray, files: Sequence[Path], csv: Path) -> dict[str, Case]:
    """Every stage and every path by its key."""
    n, few = len(images), images[:SINGLY]
    answers = recognizer._run(images)
    answering = copy(recognizer)
    answering._run = lambda _: answers  # type: ignore[method-assign]
    folder = files[0].parent.parent
    classes = [str(path) for path in sorted(folder.iterdir())]
    command = [str(machine.INKDIGIT), "predict", *classes, "--model", str(recognizer.path)]

    def graph(size: int, pictures: Gray) -> Case:
        chunks = [pictures[i : i + size] for i in range(0, len(pictures), size)]
        return Case(lambda: [recognizer._run_chunk(chunk) for chunk in chunks], len(pictures))

    def in_threads() -> None:
        chunks = [files[i : i + CHUNK] for i in range(0, n, CHUNK)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda chunk: [decode(file) for file in chunk], chunks))

    return {
        "read": Case(lambda: [file.read_bytes() for file in files], n),
        "decode": Case(lambda: [decode(file) for file in files], n),
        "files": Case(lambda: recognizer.predict(list(files)), n),
        "command": Case(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), n),
        "data": Case(lambda: read_image_folder(folder), n),
        "decode_threads": Case(in_threads, n),
        "csv": Case(lambda: read_kaggle_test(csv), n),
        "rows": Case(lambda: recognizer.predict(read_kaggle_test(csv)), n),
        "prepare_one": Case(lambda: [prepare(image) for image in few], len(few)),
        "prepare": Case(lambda: prepare_all(images), n),
        "graph_one": graph(1, few),
        "graph_chunk": graph(CHUNK, images),
        "graph_many": graph(MANY, images),
        "graph": Case(lambda: recognizer._run(images), n),
        "answers": Case(lambda: answering._predict(images), n),
        "arrays": Case(lambda: recognizer.predict(images), n),
        "list": Case(lambda: recognizer.predict(list(images)), n),
    }


def measure(todo: dict[str, Case], *, rounds: int) -> dict[str, list[float]]:
    """Microseconds per image of every case in every round; the cases take turns."""
    taken: dict[str, list[float]] = {key: [] for key in todo}
    for number in range(-WARM_UPS, rounds):
        print(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up", file=sys.stderr, flush=True)
        for key, case in todo.items():
            began = time.perf_counter()
            case.call()
            if number >= 0:
                taken[key].append((time.perf_counter() - began) / case.pictures * 1e6)
    return taken


def over(taken: dict[str, list[float]], key: str, limit: str) -> dict[str, float]:
    """How many times as long `key` took as `limit`, round by round."""
    return results.summary([ours / theirs for ours, theirs in zip(taken[key], taken[limit], strict=True)], 3)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files, take the times, write the results."""
    parser = results.parser(__doc__, smoke="one round, few images")
    parser.add_argument("--model", default="fast", help="a bundled model, a run directory or an .onnx file")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    rounds = 1 if options.smoke else options.rounds
    about = results.stamp(LIBRARIES, smoke=options.smoke, command=COMMAND)
    recognizer = Recognizer.load(options.model)
    test = open_data("mnist").part("test")
    if options.smoke:
        test = test.take(np.arange(200))
    with tempfile.TemporaryDirectory() as folder:
        files, csv = write_files(Path(folder) / "png", test), Path(folder) / "test.csv"
        write_csv(csv, test.images)
        taken = measure(cases(recognizer, test.images, files, csv), rounds=rounds)
    shape = {"model": recognizer.name, "pictures": len(test), "chunk": CHUNK, "many": MANY, "rounds": rounds}
    times = {key: over(taken, key, "decode") for key in ("files", "command", "data", "decode_threads")}
    us = {key: results.summary(values, 2) for key, values in taken.items()}
    results.write(options.results / "stages.json", {**about, **shape, "us": us, "times_decoding": times})


if __name__ == "__main__":
    main()
