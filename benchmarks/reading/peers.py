"""Line readers side by side: Inkdigit's and other programs on the same pictures of whole numbers.

In: the data in INKDIGIT_DATA, MNIST, the peers' interpreter (`--python`; see `peers/readers.py`). Out: a table, and
`results/reading-peers.json`: how many numbers each reader has right in each set, and the time a picture. A number is
right if its digits are, in their order; every other character is left out on both sides. All read the same PNG files,
one at a time, on one core; none is told how many digits there are, or where. Inkdigit reads with its finder of lines,
and what it refuses counts as not right; as the peers refuse nothing, it is also counted with what it is unsure of.

`--answers FOLDER` keeps what the peers answered, picture by picture: what is there is not asked again as long as the
pixels are the same, and a run that was interrupted goes on. Answers keep the machine and the day they are from.
Who is not asked now (`--only`) keeps the figures of the last time. PP-OCR's detector is slow: it gets the first 100
of each set. Times are from the day on which a reader was asked, so ask all on the same quiet machine if times are to be
compared; `cpu_ms` hardly depends on what else runs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from benchmarks.common import results
from benchmarks.reading.measure import sha256_for_lines
from benchmarks.reading.sets import Labelled, read_sets
from inkdigit.measure.reading import digits_of
from inkdigit.measure.stats import wilson
from inkdigit.reading.reader import Reader
from inkdigit.types import UNSURE

RESULT = "reading-peers.json"
SCRIPT = Path(__file__).parents[1] / "peers" / "readers.py"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime")
INKDIGIT = "inkdigit"
OURS = {INKDIGIT: "Inkdigit", "inkdigit-unsure": "Inkdigit, also what it refuses because it is unsure"}
PEERS = {  # as `peers/readers.py` calls them
    "ppocr6": "PP-OCRv6-small, recogniser, digits only",
    "ppocr6-found": "PP-OCRv6-small, detector and recogniser, digits only",
    "ddddocr": "ddddocr, digits only",
    "tesseract": "tesseract, one line, digits only",
}
READERS = (INKDIGIT, *PEERS)  # whom `--only` names
QUICK = 100  # pictures of each set
SLOW = ("ppocr6-found",)  # gets no more, ever


@dataclass(frozen=True, slots=True)
class Asked:
    """A picture as a file that every reader gets."""

    file: str  # in the folder of all pictures
    pixels: str  # a hash of them
    label: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader read in a picture, in milliseconds of the clock and of the processor."""

    text: str
    ms: float
    cpu_ms: float


Sets = dict[str, list[Asked]]
Answers = dict[str, Answer]  # by the file of the picture


def write_pictures(sets: Mapping[str, Sequence[Labelled]], folder: Path) -> Sets:
    """Write all pictures as PNG files without transparency, turned as their EXIF tags demand."""
    return {name: [_write(one, folder) for one in labelled] for name, labelled in sets.items()}


def _write(one: Labelled, folder: Path) -> Asked:
    if isinstance(one.picture, Path):
        with Image.open(one.picture) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    else:
        picture = Image.fromarray(one.picture)
    pixels = np.asarray(picture)
    path = folder / f"{one.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise ValueError(f"Two pictures are called {one.name}")
    picture.save(path)
    digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return Asked(f"{one.name}.png", digest[:16], one.label)


class Kept:
    """The answers of one peer in a file of JSON lines: what reads, from when and where, before the answers."""

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        self.path = path
        self.about: dict[str, Any] = {}  # of the last time that it was asked
        self._known: dict[tuple[str, str], Answer] = {}
        for line in results.read_lines(path):
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "reader" in line:
            self.about = line
        else:
            key = line["file"], line["pixels"]
            self._known[key] = Answer(line["text"], line["ms"], line["cpu_ms"])

    def add(self, line: dict[str, Any]) -> None:
        """Keep one more line."""
        results.append(self.path, line)
        self._take(line)

    def answers(self, asked: Iterable[Asked]) -> Answers:
        """The answers to these pictures, as far as they are known."""
        keys = {one.file: (one.file, one.pixels) for one in asked}
        return {file: self._known[key] for file, key in keys.items() if key in self._known}


def ask(peer: str, python: Path, asked: Sequence[Asked], folder: Path, kept: Kept, *, stamp: Mapping[str, Any]) -> None:
    """Let a peer read pictures, and keep its answers as they come, with date and machine of `stamp`.

    A missing one is a printed line.

    Raises:
        SystemExit: it failed.
    """
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "label"), *((one.file, one.label) for one in asked)])
    pixels = {one.file: one.pixels for one in asked}
    command = [str(python), str(SCRIPT), peer, str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment) as process:
        for line in _lines(process.stdout or ()):
            if "missing" in line:
                print(f"{peer} is left out: {line['missing']}")
            elif "reader" in line:
                kept.add({**line, "date": stamp["date"], "machine": stamp["machine"]})
            else:
                kept.add({**line, "pixels": pixels[line["file"]]})
    if process.returncode:
        sys.exit(f"{peer} failed (exit code {process.returncode})")


def _lines(stream: Iterable[str]) -> Iterator[dict[str, Any]]:
    for text in stream:
        line: dict[str, Any] = json.loads(text)
        yield line


def read_all(reader: Reader, asked: Sequence[Asked], folder: Path, *, alphabet: str | None) -> tuple[Answers, Answers]:
    """What Inkdigit reads, without and with the numbers that it is unsure of.

    As for the peers, the first picture is read once more before the clock runs.
    """
    answers, unsure = {}, {}
    for one in asked[:1]:
        reader.read(folder / one.file, alphabet=alphabet)
    for one in asked:
        began, began_cpu = time.perf_counter(), time.process_time()
        (reading,) = reader.read(folder / one.file, alphabet=alphabet)
        ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - began_cpu)
        answers[one.file] = Answer(reading.text, ms, cpu_ms)
        every = " ".join(number.text for number in reading.numbers if number.reason in (None, UNSURE))
        unsure[one.file] = Answer(every, ms, cpu_ms)
    return answers, unsure


def figures(asked: Sequence[Asked], answers: Answers) -> dict[str, Any]:
    """The figures of a reader on the pictures of a set."""
    pairs = [(one, answers[one.file]) for one in asked]
    n, right = len(pairs), sum(digits_of(answer.text) == one.label for one, answer in pairs)
    return {
        "n": n,
        "right": right,
        "right_ci95": [round(end, 4) for end in wilson(right, n)],
        "nothing_read": sum(not digits_of(answer.text) for _, answer in pairs),
        "ms": round(median(answer.ms for _, answer in pairs), 2),
        "cpu_ms": round(median(answer.cpu_ms for _, answer in pairs), 2),
    }


def of_ours(reader: Reader, sets: Sets, folder: Path, *, alphabet: str | None = None) -> dict[str, dict[str, Any]]:
    """The figures of Inkdigit, as those of two readers."""
    model = {"name": reader.card.name, "sha256": sha256_for_lines(reader.path), "alphabet": alphabet or reader.alphabet}
    readers: dict[str, dict[str, Any]] = {
        name: {"title": title, "model": model, "sets": {}} for name, title in OURS.items()
    }
    for title, asked in sets.items():
        for name, answers in zip(OURS, read_all(reader, asked, folder, alphabet=alphabet), strict=True):
            readers[name]["sets"][title] = figures(asked, answers)
    return readers


def share_of(peer: str, sets: Sets) -> Sets:
    """The pictures that a peer is asked."""
    if peer not in SLOW:
        return sets
    return {name: asked[:QUICK] for name, asked in sets.items()}


def of_peer(
    peer: str, sets: Sets, folder: Path, kept: Kept, *, python: Path | None, stamp: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The figures of a peer, which is asked what it has not answered yet; None if there are none.

    Without an interpreter nothing is asked: a set counts with those of its pictures whose answers are known.
    """
    given = share_of(peer, sets)
    every = [one for asked in given.values() for one in asked]
    known = kept.answers(every)
    if python is not None and len(known) < len(every):
        ask(peer, python, [one for one in every if one.file not in known], folder, kept, stamp=stamp)
        known = kept.answers(every)
    counted = {
        name: figures(answered, known)
        for name, asked in given.items()
        if (answered := [one for one in asked if one.file in known])
    }
    if not counted:
        return None
    about = {key: value for key, value in kept.about.items() if key != "reader"}
    return {"title": PEERS[peer], **about, "sets": counted}


def show(readers: Mapping[str, Mapping[str, Any]], sets: Iterable[str]) -> None:
    """Print a table: a row for each reader and set."""
    print(f"\n{'reader':16} {'set':24} {'n':>5} {'right':>14} {'nothing':>8} {'ms':>8} {'cpu ms':>8}")
    for name, told in readers.items():
        for title in sets:
            one = told["sets"].get(title)
            if one is not None:
                right = f"{one['right']:>5} {100 * one['right'] / one['n']:6.2f} %"
                times = f"{one['ms']:>8.1f} {one['cpu_ms']:>8.1f}"
                print(f"{name:16} {title:24} {one['n']:>5} {right:>14} {one['nothing_read']:>8} {times}")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = results.parser(__doc__)
    parser.add_argument("--python", type=Path, help="the peers' interpreter; without it, kept answers alone count")
    parser.add_argument("--answers", type=Path, help="the folder where the peers' answers are kept")
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS), help="these readers alone")
    parser.add_argument("--model", default="default", help="the line reader of Inkdigit")
    parser.add_argument("--alphabet", help="the only characters that Inkdigit may read; otherwise all that it knows")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures of each set; nothing is written")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures, let all read them, print and write the results."""
    options = _options(argv)
    record = results.stamp(LIBRARIES, command="reading.peers")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before ONNX Runtime counts the cores
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        answers = options.answers or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = Path(os.environ["INKDIGIT_DATA"])
        sets = write_pictures(read_sets(data, most=QUICK if options.quick else None), folder)
        readers = {}
        if INKDIGIT in options.only:
            readers = of_ours(Reader.load(options.model), sets, folder, alphabet=options.alphabet)
        for peer in (name for name in PEERS if name in options.only):
            told = of_peer(peer, sets, folder, Kept(answers / f"{peer}.jsonl"), python=options.python, stamp=record)
            if told is not None:
                readers[peer] = told
    show(readers, sets)
    if not options.quick:
        path = options.results / RESULT
        before = json.loads(path.read_text(encoding="utf-8"))["readers"] if path.exists() else {}
        every = {name: readers.get(name, before.get(name)) for name in (*OURS, *PEERS)}
        results.write(path, {**record, "readers": {name: told for name, told in every.items() if told is not None}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
