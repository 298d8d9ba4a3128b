"""Training pictures that our own code makes, beside those of a data set: stressed copies, drawn digits, outliers.

In: a training part and how many of each kind. Out: a part with both, every new picture through the door. A picture is
known by the seed and its number alone, so that the number of processes that draw does not matter.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import DataError, UsageError
from inkdigit.machine import cores
from inkdigit.picture.prepare import ink_box, prepare
from inkdigit.synth import drawn, printed
from inkdigit.synth.outliers import no_digit, several_digits
from inkdigit.synth.stress import photograph
from inkdigit.types import DIGITS, OUTLIERS, Dataset, Gray, Log, Part, silent

Block = tuple[str, int, int]  # kind, first number, count
Made = tuple[Gray, NDArray[np.int64]]  # pictures (n, 28, 28) and labels (n,)

KINDS = ("stressed", "drawn", "outliers")
GIVEN, PLAN = "given.npz", "plan.json"  # what the processes read
TELLS = 4  # times that the progress is told
BLOCK = 500  # pictures with one random generator
NO_DIGIT, SEVERAL = (len(DIGITS) + OUTLIERS.index(kind) for kind in ("not a digit", "more than one digit"))  # labels
MARGIN_PX = 4  # around ink that is shown as it is
WHOLE = 0.35  # of the logarithm of its proportions a row may change by, seen at an angle
FEW = 2 * BLOCK  # so many are drawn at once, without further processes
SEVERAL_SHARE = 0.25  # of the outliers are several digits
PRINTED_SHARE = 0.25  # of the drawn digits are printed in fonts


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many pictures of each kind are made."""

    stressed: int = 0
    drawn: int = 0
    outliers: int = 0

    @property
    def blocks(self) -> list[Block]:
        """What is drawn with one generator each."""
        of_kind = [(kind, getattr(self, kind)) for kind in KINDS]
        return [(kind, i, min(BLOCK, n - i)) for kind, n in of_kind for i in range(0, n, BLOCK)]


def check_source(dataset: Dataset) -> None:
    """Whether pictures of this kind can be added.

    Raises:
        UsageError: these are no digits.
    """
    if dataset.classes != DIGITS or dataset.prepare != "ink":
        raise UsageError(
            f"Nothing can be drawn that is like {dataset.name!r}",
            expected="digits 0 to 9, prepared as ink",
            received=f"{len(dataset.classes)} classes, prepared as {dataset.prepare}",
            hint="Set stressed, drawn and outliers to 0.",
        )


def extend(part: Part, amounts: Amounts, *, seed: int, log: Log = silent) -> Part:
    """`part` and what is made for it; an outlier's label is ten and its place in `OUTLIERS`.

    A picture of which the door leaves nothing is left out. There are no files and writers any more.

    Raises:
        DataError: a process that draws has failed.
    """
    blocks = amounts.blocks
    if not blocks:
        return part
    wanted = sum(count for _, _, count in blocks)
    log(f"Drawing {wanted:,} pictures.")
    made = [draw(part, block, seed) for block in blocks] if wanted <= FEW else _in_processes(part, blocks, seed, log)
    images, labels = (np.concatenate(columns) for columns in zip((part.images, part.labels), *made, strict=True))
    return Part(images, labels)


def draw(part: Part, block: Block, seed: int) -> Made:
    """The pictures (n, 28, 28) of one block, less those that come out empty, and their labels (n,)."""
    kind, first, count = block
    rng = np.random.default_rng([seed, KINDS.index(kind), first])
    images, labels = [], []
    for i in range(first, first + count):
        ink, label = _ink(part, kind, i, rng)
        on_paper = bool(ink.any()) and (kind == "stressed" or rng.random() < 0.5)
        image = prepare(photograph(ink, rng=rng) if on_paper else np.pad(ink, MARGIN_PX))
        if image.any() and (label != SEVERAL or _is_whole(image, ink)):
            images.append(image)
            labels.append(label)
    return np.stack(images) if images else part.images[:0], np.array(labels, np.int64)


def _ink(part: Part, kind: str, i: int, rng: np.random.Generator) -> tuple[Gray, int]:
    """The ink of one picture, and its label."""
    if kind == "stressed":
        return part.images[i % len(part)], int(part.labels[i % len(part)])
    if kind == "outliers":
        several = rng.random() < SEVERAL_SHARE
        return (several_digits(part, rng=rng), SEVERAL) if several else (no_digit(part, rng=rng), NO_DIGIT)
    label, size = i % len(DIGITS), int(rng.integers(40, 120))
    if rng.random() < PRINTED_SHARE:
        return printed.digit(label, rng=rng, size_px=size), label
    pen, jitter = drawn.pen(rng), float(rng.uniform(0.01, 0.05))
    return drawn.digit(label, rng=rng, size_px=size, thickness=pen, jitter=jitter, extra=True), label


def _is_whole(image: Gray, ink: Gray) -> bool:
    """Whether a row of digits came through the door as wide as it was, by its proportions: with one left, it is one."""
    (h, w), (before_h, before_w) = (picture[box].shape for picture in (image, ink) if (box := ink_box(picture)))
    return abs(math.log((w / h) / (before_w / before_h))) < WHOLE


def _in_processes(part: Part, blocks: list[Block], seed: int, log: Log) -> list[Made]:
    """The blocks, drawn by as many processes as there are processors.

    They are commands, not `multiprocessing`, which would run the caller's script again in each.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        np.savez(folder / GIVEN, images=part.images, labels=part.labels)
        (folder / PLAN).write_text(json.dumps({"seed": seed, "blocks": blocks}), encoding="utf-8")
        workers = [_begin(folder, first, cores()) for first in range(cores())]
        for worker in workers:
            stack.callback(worker.wait)  # after the kill, for the folder goes next: callbacks run backwards
            stack.callback(worker.kill)
        told = 0
        while any(worker.poll() is None for worker in workers):
            time.sleep(0.2)
            done = len(list(folder.glob("*.made.npz"))) / len(blocks)
            if int(done * TELLS) > told:
                told = int(done * TELLS)
                log(f"Drawn {done:.0%}.")
        if any(worker.returncode for worker in workers):
            raise DataError("A process that draws pictures has failed; what it said is above")
        return [_read(folder / f"{i}.made.npz") for i in range(len(blocks))]


def _begin(folder: Path, first: int, step: int) -> subprocess.Popen[bytes]:
    """Start a process that draws every `step`-th block from the `first` one."""
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the other processors are for the other processes
    argv = [sys.executable, "-m", "inkdigit.synth.generated", str(folder), str(first), str(step), str(os.getpid())]
    return subprocess.Popen(argv, env={**os.environ, **alone}, stdout=subprocess.DEVNULL)


def _read(path: Path) -> Made:
    with np.load(path) as stored:
        return stored["images"], stored["labels"]


def _work(folder: Path, first: int, step: int, parent: int) -> None:
    """What such a process does, as long as the one that began it is there."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    part = Part(*_read(folder / GIVEN))
    for i in range(first, len(plan["blocks"]), step):
        if os.getppid() != parent:
            return  # it was killed: nobody waits for the rest
        kind, begin, count = plan["blocks"][i]
        images, labels = draw(part, (kind, begin, count), plan["seed"])
        with (folder / f"{i}.part").open("wb") as file:
            np.savez(file, images=images, labels=labels)
        (folder / f"{i}.part").rename(folder / f"{i}.made.npz")


if __name__ == "__main__":
    _work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
