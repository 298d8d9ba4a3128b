"""How well and how fast whole numbers are read: labelled sets, sudokus, and the cost of it.

In: the bundled line reader and model, the data in INKDIGIT_DATA, MNIST. Out: `results/reading.json`, one entry a part,
with the machine and the file that it was measured with; `--only` measures these parts and leaves the others as they
are. With `--quick` a part has a few pictures or runs: it tries the script out, measures nothing, and replaces no
measurement. The sets are those of `sets.py`, the sudokus those of the robustness page; the line and the page whose
times are taken are drawn here. The two commands that are compared run in turns, so that a slow minute affects both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import machine, results
from benchmarks.reading import sets
from benchmarks.robustness.cells import LYING, ROWS, truth_of
from inkdigit.errors import PictureError
from inkdigit.measure.reading import digits_of, metrics, read_labels
from inkdigit.measure.stats import wilson
from inkdigit.model.recognizer import Recognizer, find
from inkdigit.picture.prepare import tight
from inkdigit.reading import witness
from inkdigit.reading.cell_network import CELL
from inkdigit.reading.cells import read_grid
from inkdigit.reading.reader import Reader
from inkdigit.reading.second import SECOND
from inkdigit.synth import writers
from inkdigit.types import Gray, Reading

RESULT = "reading.json"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime")
COMMAND = "python -m benchmarks.reading.measure"
SETS = {  # part → set
    "orand-even": sets.EVEN,
    "orand-odd": sets.ODD,
    "photos": sets.PHOTOS,
    "cases": sets.CASES,
    "spaced": sets.SPACED,
    "overlapping": sets.OVERLAPPING,
}
WITH_SIGNS = (sets.PHOTOS, sets.CASES)  # their labels have every character that is written; ORAND's have digits only
WAYS = ("as_written", "ruled")  # without the rules of a sudoku, and with them
FOLDERS = {"sudoku-printed": "images", "sudoku-mixed": "mixed"}  # part → folder of sudokus
QUICK_PICTURES, QUICK_PUZZLES = 8, 2
RUNS, QUICK_RUNS, WARM_UPS = 30, 3, 2
COLD_RUNS, QUICK_COLD_RUNS = 20, 2
EXAMPLE = "examples/numbers/amount.png"
LIBRARIES_ONLY = "import numpy, PIL.Image, onnxruntime"
FRESH = """
import sys
from pathlib import Path
import inkdigit
inkdigit.read(sys.argv[1])
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1000)
"""  # a new process: the most memory that it ever had, in MB

SEED = 1_900_000_171  # no training uses it
LINE_PX, LINE_DIGIT_PX = (1000, 120), 80  # width and height of the picture of a line
PAGE_PX = (4000, 3000)
PAGE_ROWS, PAGE_COLUMNS = 5, 2
PAGE_DIGIT_PX = (42, 96)  # the height of the digits of a number
PAGE_LENGTH = (4, 9)  # digits
JPEG_QUALITY = 90

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that is drawn here, as a file of bytes, and the numbers in it."""

    data: bytes
    texts: tuple[str, ...]


@cache
def reader() -> Reader:
    """The bundled line reader."""
    return Reader.load()


@cache
def recognizer() -> Recognizer:
    """The default model for single digits: it reads the cells of grids."""
    return Recognizer.load()


def sha256(*paths: Path) -> str:
    """The hash of a model file, or of several together."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def sha256_for_lines(reader: Path) -> str:
    """The hash of all files that decide what the reader at this path reads."""
    return sha256(reader, SECOND, *map(find, witness.MODELS))


def sha256_for_cells() -> str:
    """The hash of all files that read the cells of grids."""
    return sha256(recognizer().path, reader().path, CELL)


def of_set(name: str, *, quick: bool) -> Figures:
    """The figures of the reader on a set."""
    data = Path(os.environ["INKDIGIT_DATA"])
    labelled = sets.read_sets(data, most=QUICK_PICTURES if quick else None)[name]
    readings: list[Reading] = []
    for one, answer in zip(labelled, reader().read_each(one.picture for one in labelled), strict=True):
        if isinstance(answer, PictureError):
            raise PictureError(f"{one.name}: {answer}")
        readings.append(answer)
    if name in WITH_SIGNS:
        known = dict(read_labels(data / sets.FOLDERS[name] / "labels.csv"))
        labels = [known[Path(str(one.picture))] for one in labelled]
    else:
        labels = [one.label for one in labelled]
    figures = metrics(readings, labels, model=reader().card.name).to_json()
    if name in (sets.EVEN, sets.ODD):
        figures["text_right"] = None  # nobody wrote down the signs
    reasons = Counter(one.reason for one in readings if one.reason is not None)
    return {"set": name, **figures, "reasons": dict(sorted(reasons.items()))}


def of_sudokus(folder: str, *, quick: bool) -> Figures:
    """Whole puzzles and single cells of photographed sudokus; the cells of a grid that is not found are not read."""
    files = sorted((Path(os.environ["INKDIGIT_DATA"]) / "sudoku" / folder).glob("*.jpg"))
    upright = [file for file in files if not (folder == "images" and file.stem in LYING)]
    if quick:
        upright = upright[:QUICK_PUZZLES]
    counts = {way: Counter[str]() for way in WAYS}
    missed, ruled = [], 0
    for file in upright:
        truth = [str(label) if label else "" for label in truth_of(file).ravel().tolist()]
        try:
            table = read_grid(file, ROWS, ROWS, model=recognizer())
        except PictureError:
            missed.append(file.stem)
            continue
        ruled += table.sudoku
        for way, rows in zip(WAYS, (table.as_written, table.rows), strict=True):
            seen = [cell for row in rows for cell in row]
            right = sum(cell == true for cell, true in zip(seen, truth, strict=True))
            refused = seen.count(None)
            counts[way].update(puzzles=int(right == len(truth)), right=right, refused=refused)
            counts[way].update(wrong=len(truth) - right - refused)
    n = len(upright)
    return {
        "folder": folder,
        "n": n,
        "lying": len(files) - n if not quick else 0,
        "found": n - len(missed),
        "not_found": missed,
        "taken_for_sudokus": ruled,
        "cells": n * ROWS * ROWS,
        **{way: _of_cells(count, n) for way, count in counts.items()},
    }


def _of_cells(count: Counter[str], n: int) -> Figures:
    """What was read of the cells of `n` puzzles."""
    return {
        "puzzles_right": count["puzzles"],
        "puzzles_right_ci95": list(wilson(count["puzzles"], n)),
        "cells_right": count["right"],
        "cells_right_ci95": list(wilson(count["right"], n * ROWS * ROWS)),
        "cells_wrong": count["wrong"],
        "cells_refused": count["refused"],
    }


def number(text: str, hand: writers.Writer, height: int, rng: np.random.Generator) -> Gray:
    """Digits of one invented hand beside each other: ink 255 on 0, so many pixels high and a little more."""
    inks = []
    for label in map(int, text):
        ink = Image.fromarray(tight(writers.write(hand, label, rng=rng, size_px=2 * height)))
        tall = round(height * rng.uniform(1, 1.06))
        inks.append(np.asarray(ink.resize((max(4, round(ink.width * tall / ink.height)), tall))))
    gaps = [round(height * rng.uniform(0.12, 0.25)) for _ in inks]
    line = np.zeros(
        (max(map(len, inks)), sum(ink.shape[1] + gap for ink, gap in zip(inks, gaps, strict=True))), np.uint8
    )
    left = 0
    for cover, gap in zip(inks, gaps, strict=True):
        line[: len(cover), left : left + cover.shape[1]] = cover
        left += cover.shape[1] + gap
    return line[:, : left - gaps[-1]]


def draw_line() -> Drawn:
    """A number on white paper, as a PNG of 1,000 pixels."""
    rng = np.random.default_rng([SEED, 0])
    text = "48306179253046"
    ink = number(text, _hand(rng), LINE_DIGIT_PX, rng)
    width, height = LINE_PX
    paper = np.full((height, width), 240, np.uint8)
    top, left = (height - len(ink)) // 2, max(0, (width - ink.shape[1]) // 2)
    part = paper[top : top + len(ink), left : left + ink.shape[1]]
    part -= (ink[:, : part.shape[1]] * 0.8).astype(np.uint8)
    return Drawn(_file(paper, "PNG"), (text,))


def draw_page() -> Drawn:
    """Ten numbers in ten hands on a sheet in uneven light, as a JPEG of twelve megapixels, by rows."""
    rng = np.random.default_rng([SEED, 1])
    width, height = PAGE_PX
    light = (
        np.linspace(232, 196, width, dtype=np.float32)[None, :] + np.linspace(8, -8, height, dtype=np.float32)[:, None]
    )
    texts = []
    for row in range(PAGE_ROWS):
        for column in range(PAGE_COLUMNS):
            text = "".join(map(str, rng.integers(0, 10, int(rng.integers(*PAGE_LENGTH)))))
            ink = number(text, _hand(rng), int(rng.integers(*PAGE_DIGIT_PX)), rng)
            top = round((row + rng.uniform(0.3, 0.6)) * height / PAGE_ROWS)
            left = round((column + rng.uniform(0.1, 0.4)) * width / PAGE_COLUMNS)
            light[top : top + len(ink), left : left + ink.shape[1]] -= 150 * (ink / 255)
            texts.append(text)
    seen = light + rng.normal(0, 3, light.shape).astype(np.float32)
    page = np.rint(np.clip(seen, 0, 255)).astype(np.uint8)
    return Drawn(_file(np.repeat(page[..., None], 3, axis=2), "JPEG"), tuple(texts))


def _hand(rng: np.random.Generator) -> writers.Writer:
    """A hand that is neither very steep nor very broad."""
    while True:
        hand = writers.writer(rng)
        if abs(hand.slant_deg) < 20 and 0.05 < hand.thickness < 0.12 and 0.7 < hand.aspect < 1.2:
            return hand


def _file(pixels: Gray, kind: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=JPEG_QUALITY)
    return buffer.getvalue()


def of_picture(make: Callable[[], Drawn], *, quick: bool) -> Figures:
    """The time of a warm reader for a file, decoding included, and the peak memory of a fresh process that reads it."""
    drawn, times = make(), []
    runs = QUICK_RUNS if quick else RUNS
    for i in range(-WARM_UPS, runs):
        began = time.perf_counter()
        (reading,) = reader().read(drawn.data)
        if i >= 0:
            times.append(1000 * (time.perf_counter() - began))
    seen = Counter(digits_of(one.text) for one in reading.numbers if one.reason is None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        file.write_bytes(drawn.data)
        command = [sys.executable, "-c", FRESH, str(file)]
        peaks = [
            float(subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout)
            for _ in range(3)
        ]
    with Image.open(BytesIO(drawn.data)) as image:
        size = image.size
    return {
        "width": size[0],
        "height": size[1],
        "numbers": len(drawn.texts),
        "numbers_right": sum((seen & Counter(drawn.texts)).values()),
        "runs": runs,
        "ms": spread(times, 2),
        "peak_mb": spread(peaks, 1),
    }


def of_start(*, quick: bool) -> Figures:
    """`inkdigit read` from start to exit, against Python with the libraries that it needs alone."""
    ours = [str(machine.INKDIGIT), "read", str(machine.ROOT / EXAMPLE)]
    bare = [sys.executable, "-c", LIBRARIES_ONLY]
    pairs, runs = [], QUICK_COLD_RUNS if quick else COLD_RUNS
    for i in range(-WARM_UPS, runs):
        pair = [_seconds(command) for command in (ours, bare)]
        if i >= 0:
            pairs.append(pair)
    read_s, libraries_s = zip(*pairs, strict=True)
    return {
        "command": f"inkdigit read {EXAMPLE}",
        "against": f'python -c "{LIBRARIES_ONLY}"',
        "runs": runs,
        "read_s": spread(read_s, 4),
        "libraries_s": spread(libraries_s, 4),
        "ratio": spread([ours / bare for ours, bare in pairs], 3),
    }


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, minimum, maximum, mean and standard deviation."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return {
        **results.summary(values, digits),
        "mean": round(fmean(values), digits),
        "sd": round(deviation, digits),
    }


PARTS: dict[str, Callable[..., Figures]] = {
    **{part: partial(of_set, name) for part, name in SETS.items()},
    **{part: partial(of_sudokus, folder) for part, folder in FOLDERS.items()},
    "line": partial(of_picture, draw_line),
    "page": partial(of_picture, draw_page),
    "start": of_start,
}


def model_of(part: str) -> dict[str, str]:
    """The name of the model that a part is measured with, and the hash of its files."""
    if part in FOLDERS:
        return {"name": recognizer().name, "sha256": sha256_for_cells()}
    return {"name": reader().card.name, "sha256": sha256_for_lines(reader().path)}


def merged(path: Path, part: str, record: Figures) -> dict[str, Any]:
    """The parts in the file and a new one; what was tried out does not replace what was measured."""
    known = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.exists() else {}
    if record["smoke"] and part in known and not known[part]["smoke"]:
        print(f"{part}: the measurement is kept", file=sys.stderr)
    else:
        known[part] = record
    return {"smoke": False, "parts": {name: known[name] for name in PARTS if name in known}}


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = results.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a few pictures and runs of each part: measure nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the parts one after another; each is written as soon as it is done."""
    options = _options(argv)
    path = options.results / RESULT
    for part in options.only:
        stamp = results.stamp(LIBRARIES, smoke=options.quick, command=COMMAND)
        figures = PARTS[part](quick=options.quick)
        record = {**stamp, "model": model_of(part), "figures": figures}
        print(part, json.dumps(figures, ensure_ascii=False))
        results.write(path, merged(path, part, record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
