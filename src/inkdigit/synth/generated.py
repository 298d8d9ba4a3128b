"""Training images that are generated in addition to those of a data set: stressed copies, drawn digits, outliers.

In: a training split and the number of images of each kind. Out: a split with both, all images prepared. The random seed
and the number of an image decide it, so that the number of processes that draw has no influence.
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
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import DataError, UsageError
from inkdigit.machine import cores
from inkdigit.picture.prepare import ink_box, prepare, tight
from inkdigit.synth import printed, writers
from inkdigit.synth.outliers import INK_PX, not_a_digit, several_digits
from inkdigit.synth.raster import resize
from inkdigit.synth.scenes import pens
from inkdigit.synth.stress import coarse, dirty, photograph, without_digit
from inkdigit.types import DIGITS, OUTLIERS, SIDE, Dataset, Gray, Log, Part, silent

Block = tuple[str, int, int]  # kind, first number, count
Made = tuple[Gray, NDArray[np.int64]]  # images (n, 28, 28) and labels (n,)

KINDS = ("stressed", "drawn", "outliers")
GIVEN, PLAN = "given.npz", "plan.json"  # the files that the processes read
LOG_STEPS = 4  # lines of progress, a quarter of the work each
BLOCK = 500  # images with one random generator: some seconds of work, and so the unit of a process
NOT_A_DIGIT, SEVERAL = (len(DIGITS) + OUTLIERS.index(kind) for kind in ("not a digit", "more than one digit"))  # labels
BANK_SIZE = 200  # inks that are beside others in the images of a block
LEAST_LIKENESS, TRIES = 0.5, 3  # of a stressed digit and its true ink: less, and it shows something else
SCALES = (1.0, 0.8, 0.62)  # at which they are compared: dirt beside a digit makes it smaller when it is prepared
ROOM = (2 * SIDE, 2 * SIDE)  # in which one is moved over the other without coming in again from the other side
MARGIN_PX = 4  # around ink that is prepared without stress
MAX_LOG_CHANGE = 0.35  # of the proportions of a row in perspective; more, and digits of it may have been lost
MIN_PAIR = 1.05  # width by height: a single digit is not as wide
FEW = 2 * BLOCK  # up to so many images are drawn without further processes, which take a second to start
SEVERAL_SHARE = 0.35  # of the outliers are several digits
PRINTED_SHARE = 0.45  # of the drawn digits are printed in fonts: most real images are handwritten
BENT_SHARE = 0.3  # of thinned digits are bent towards other hands
COARSE_SHARE, DIRTY_SHARE = 0.16, 0.15  # of digits have few pixels; have dirt around them
OF_WRITER = 20  # digits in a row by one writer: two of each
WORD_SHARE = 0.03  # of the outliers are printed words
EMPTY_SHARE = 0.08  # of the outliers are photos of things and of empty paper
MIN_RATIO = 0.45  # of the width to the height of what such a photo shows: a single stroke is a 1
ON_PAPER_SHARE = 0.5  # of other drawn digits, and of outliers, are stressed; the rest is clean, like MNIST


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many images of each kind are made."""

    stressed: int = 0
    drawn: int = 0
    outliers: int = 0

    @property
    def blocks(self) -> list[Block]:
        """The blocks of images, each with a random generator of its own."""
        of_kind = [(kind, getattr(self, kind)) for kind in KINDS]
        return [(kind, i, min(BLOCK, n - i)) for kind, n in of_kind for i in range(0, n, BLOCK)]


def check_digits(dataset: Dataset) -> None:
    """Check that a data set holds digits, so that images can be generated for it.

    Raises:
        UsageError: its classes are not the digits, or it is not prepared as ink.
    """
    if dataset.classes != DIGITS or dataset.prepare != "ink":
        raise UsageError(
            f"Images like those of {dataset.name!r} cannot be drawn",
            expected="digits 0 to 9, prepared as ink",
            received=f"{len(dataset.classes)} classes, prepared as {dataset.prepare}",
            hint="Set stressed, drawn and outliers to 0.",
        )


def extend(part: Part, amounts: Amounts, *, seed: int, processes: int | None = None, log: Log = silent) -> Part:
    """`part` and the generated samples; the label of an outlier is ten plus its index in `OUTLIERS`.

    `processes` is how many processes are started to draw; with 0, this one draws. None: none up to `FEW` images, else
    as many as there are processor cores. An image that is blank when it is prepared is left out. The result has no
    files and writers.

    Raises:
        DataError: a process that draws has failed.
    """
    blocks = amounts.blocks
    if not blocks:
        return part
    total = sum(count for _, _, count in blocks)
    log(f"Drawing {total:,} images.")
    if processes is None:
        processes = cores() if total > FEW else 0
    if processes:
        made = _in_processes(part, blocks, seed, processes, log)
    else:
        made = [draw(part, block, seed) for block in blocks]
    images, labels = (np.concatenate(columns) for columns in zip((part.images, part.labels), *made, strict=True))
    return Part(images, labels)


def draw(part: Part, block: Block, seed: int) -> Made:
    """The images (n, 28, 28) of one block, without blank ones, and their labels (n,)."""
    kind, first, count = block
    rng = np.random.default_rng([seed, KINDS.index(kind), first])
    bank = pens.bank(part.images, rng=rng, size=BANK_SIZE)
    made = [_one(part, kind, i, bank, rng, seed=seed) for i in range(first, first + count)]
    kept = [(image, label) for image, label in made if image.any()]
    images, labels = [image for image, _ in kept], [label for _, label in kept]
    return np.stack(images) if images else part.images[:0], np.array(labels, np.int64)


def _one(part: Part, kind: str, i: int, bank: pens.Bank, rng: np.random.Generator, *, seed: int) -> tuple[Gray, int]:
    """One image, prepared, and its label; blank where it would show something else than its label says."""
    blank = np.zeros((SIDE, SIDE), np.uint8)
    if kind == "outliers" and rng.random() < EMPTY_SHARE:
        image = prepare(without_digit(bank, rng=rng))
        return image if _is_broad(image) else blank, NOT_A_DIGIT
    ink, label = _ink(part, kind, i, rng, seed=seed)
    style = rng.random() if label < NOT_A_DIGIT and ink.any() else 1.0
    if style < COARSE_SHARE + DIRTY_SHARE:
        image = prepare((coarse if style < COARSE_SHARE else dirty)(ink, rng=rng))
    elif ink.any() and (kind == "stressed" or rng.random() < ON_PAPER_SHARE):
        written = _written(ink, label, rng) if kind == "stressed" else pens.Ink(tight(ink))
        image = _photographed(written, bank, rng, is_digit=label < NOT_A_DIGIT)
    else:
        image = prepare(np.pad(ink, MARGIN_PX))
    is_lost = label == SEVERAL and image.any() and not stays_several(image, ink)
    return blank if is_lost else image, label


def _ink(part: Part, kind: str, i: int, rng: np.random.Generator, *, seed: int) -> tuple[Gray, int]:
    """The ink of one image, and its label."""
    if kind == "stressed":
        return part.images[i % len(part)], int(part.labels[i % len(part)])
    if kind == "outliers":
        if rng.random() < WORD_SHARE:
            return pens.word(rng, int(rng.integers(16, 60))).cover, NOT_A_DIGIT
        several = rng.random() < SEVERAL_SHARE
        return (several_digits(part, rng=rng), SEVERAL) if several else (not_a_digit(part, rng=rng), NOT_A_DIGIT)
    label, size = i % len(DIGITS), int(rng.integers(*INK_PX))
    if rng.random() < PRINTED_SHARE:
        return printed.digit(label, rng=rng, size_px=size), label
    hand = writers.writer(np.random.default_rng([seed, len(KINDS), i // OF_WRITER]))
    return writers.write(hand, label, rng=rng, size_px=size), label


def _written(ink: Gray, label: int, rng: np.random.Generator) -> pens.Ink:
    """A digit of a data set, as it is, thinned, or thinned and bent."""
    written = pens.mnist(ink, rng)
    if written.is_skeleton and rng.random() < BENT_SHARE:
        return pens.Ink(writers.bend(written.cover, label, rng=rng), is_skeleton=True)
    return written


def _is_broad(image: Gray) -> bool:
    """Whether what a prepared image shows is broader than a single stroke."""
    h, w = tight(image).shape
    return bool(image.any()) and w >= MIN_RATIO * h


def _photographed(ink: pens.Ink, bank: pens.Bank, rng: np.random.Generator, *, is_digit: bool) -> Gray:
    """A stressed image of `ink`, prepared: (28, 28).

    Where something else is found in that of a digit, its label is wrong: after so many `TRIES` it is the true ink.
    """
    for _ in range(TRIES):
        gray, truth = photograph(ink, bank, rng=rng)
        image = prepare(gray)
        if not is_digit:
            return image
        goal = prepare(np.pad(truth, MARGIN_PX))
        if _likeness(image, goal) >= LEAST_LIKENESS:
            return image
    return goal


def _likeness(image: Gray, truth: Gray) -> float:
    """How alike a prepared image is to its true ink, wherever that is in it and at any of `SCALES`.

    It is the cosine of the angle between them, 0 to 1; 0 if one is blank.
    """
    seen, whole = image / 255, np.asarray(truth / 255, np.float32)
    spectrum, length = np.fft.rfft2(seen, ROOM), float(np.linalg.norm(seen))
    best = 0.0
    for scale in SCALES:
        ink = resize(whole, (round(SIDE * scale),) * 2)
        product = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(ink, ROOM)))  # at every place
        best = max(best, float(product.max()) / max(1.0, length * float(np.linalg.norm(ink))))
    return best


def stays_several(image: Gray, ink: Gray) -> bool:
    """Whether a prepared row of digits still has several: it has its proportions, or is wider than a single digit.

    Preprocessing shows two of a long row.
    """
    (h, w), (before_h, before_w) = (gray[box].shape for gray in (image, ink) if (box := ink_box(gray)))
    return w >= MIN_PAIR * h or abs(math.log((w / h) / (before_w / before_h))) < MAX_LOG_CHANGE


def _in_processes(part: Part, blocks: list[Block], seed: int, processes: int, log: Log) -> list[Made]:
    """The blocks, drawn by so many processes.

    They are commands: `multiprocessing` would run the caller's script again in each.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        np.savez(folder / GIVEN, images=part.images, labels=part.labels)
        (folder / PLAN).write_text(json.dumps({"seed": seed, "blocks": blocks}), encoding="utf-8")
        workers = []
        for first in range(processes):
            worker = stack.enter_context(_begin(folder, first, processes))
            workers.append(worker)
            stack.callback(worker.wait)  # after the kill, before the folder is removed: callbacks run in reverse order
            stack.callback(worker.kill)
        logged = 0
        while any(worker.poll() is None for worker in workers):
            time.sleep(0.2)
            done = len(list(folder.glob("*.made.npz"))) / len(blocks)
            if int(done * LOG_STEPS) > logged:
                logged = int(done * LOG_STEPS)
                log(f"Drawn {done:.0%}.")
        if any(worker.returncode for worker in workers):
            raise DataError("A process that draws images has failed; its message is above")
        return [_read(folder / f"{i}.made.npz") for i in range(len(blocks))]


def _begin(folder: Path, first: int, step: int) -> subprocess.Popen[bytes]:
    """Start a process that draws every `step`-th block from the `first` one."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the other cores are for the other processes
    argv = [sys.executable, "-m", "inkdigit.synth.generated", str(folder), str(first), str(step)]
    # Its stdin ends when this process does.
    environment = {**os.environ, **one_thread}
    return subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def _read(path: Path) -> Made:
    with np.load(path) as stored:
        return stored["images"], stored["labels"]


def draw_blocks(folder: Path, first: int, step: int) -> None:
    """The work of such a process: every `step`-th block from the `first` one."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    part = Part(*_read(folder / GIVEN))
    for i in range(first, len(plan["blocks"]), step):
        kind, begin, count = plan["blocks"][i]
        images, labels = draw(part, (kind, begin, count), plan["seed"])
        with (folder / f"{i}.part").open("wb") as file:
            np.savez(file, images=images, labels=labels)
        (folder / f"{i}.part").rename(folder / f"{i}.made.npz")


def _end_with_parent() -> None:
    """End this process when its parent does, even if that was killed.

    The number of the parent does not tell: in a virtual environment on Windows another program stands between them.
    """
    os.read(sys.stdin.fileno(), 1)  # `sys.stdin.read` holds a lock that Python wants when it ends: it would abort
    os._exit(1)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    draw_blocks(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
