"""How a model predicts digits that are cut tightly: margins from +25 % to −5 % of the ink's height on all four sides.

In: a model and the data in INKDIGIT_DATA. Out: a table, and with `--as` a line of `results/ink.jsonl`. The ink box is
known: sheets are drawn here with a random seed that no training uses, strokes and MNIST's training digits on lit paper;
for the amounts of ORAND, people drew the boxes. A cut with a piece of the next digit is another question than a tight
one, so ORAND's boxes are counted in three kinds: apart (no other box within the widest cut), beside another one, and
overlapping one. Digits of MNIST's training split are known to the networks, but not as photos: what is measured is the
cut.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.robustness.outcomes import Asked, ask, count, keep, parser, show, store
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import ink_box, tight
from inkdigit.synth import drawn
from inkdigit.types import Gray

MARGINS = (0.25, 0.10, 0.0, -0.01, -0.02, -0.03, -0.05)  # of the ink's height
QUICK_MARGINS = (0.25, 0.0, -0.02, -0.05)
SEED = 1_900_000_019  # no training uses it
SHEETS, QUICK_SHEETS = 170, 40  # of six digits each
ROWS, COLUMNS = 2, 3  # of a sheet
BOXES, QUICK_BOXES = 300, 100  # of ORAND, of each of its three kinds: there are 296 that stand apart
HEIGHT_PX = (32, 160)  # of a drawn digit, roughly
NEAR = 0.25  # of the height: as far as the widest cut reaches
LEAST_WIDTH = 0.5  # of the ink's width stays, whatever is cut off: a 1 would vanish
INKED = 0.5  # the coverage of a pixel from which it belongs to the ink box

Map = NDArray[np.float32]  # (H, W): 0 to 1
Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True, slots=True)
class Boxed:
    """A digit on a sheet, with the box of its ink."""

    sheet: Gray
    box: Box
    label: str
    source: str


def cut(boxed: Boxed, margin: float) -> Gray:
    """The digit with `margin` × its height around its ink box, as far as the sheet reaches; negative cuts inside."""
    left, top, width, height = boxed.box
    down = margin * height
    across = max(down, -width * (1 - LEAST_WIDTH) / 2)
    h, w = boxed.sheet.shape
    x0, x1 = max(0, round(left - across)), min(w, round(left + width + across))
    y0, y1 = max(0, round(top - down)), min(h, round(top + height + down))
    return np.ascontiguousarray(boxed.sheet[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])


def drawn_sheets(sheets: int) -> Iterator[Boxed]:
    """The digits of sheets that are drawn here: strokes on even sheets, MNIST on odd ones."""
    mnist = open_data("mnist").train
    for number in range(sheets):
        rng = np.random.default_rng([SEED, number])
        height = float(np.exp(rng.uniform(*np.log(HEIGHT_PX))))
        thickness = rng.uniform(0.05, 0.14)
        labels, inks = [], []
        for _ in range(ROWS * COLUMNS):
            if number % 2:
                index = int(rng.integers(len(mnist)))
                labels.append(int(mnist.labels[index]))
                inks.append(_enlarged(mnist.images[index], height, rng))
            else:
                labels.append(int(rng.integers(10)))
                size = round(height / 0.76)  # `drawn` leaves a margin
                ink = drawn.digit(labels[-1], rng=rng, size_px=size, thickness=thickness, jitter=0.02)
                inks.append(tight(np.asarray(ink / 255, np.float32)))
        yield from _sheet(labels, inks, height, rng, source="drawn, MNIST" if number % 2 else "drawn, strokes")


def _enlarged(image: Gray, height: float, rng: np.random.Generator) -> Map:
    """An image of MNIST with its ink `height` pixels high, and sharp edges again."""
    scale = height / 20
    side = round(image.shape[0] * scale)
    smooth = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    steep = max(1.0, 0.35 * scale)
    return tight(np.clip((smooth - rng.uniform(0.35, 0.55)) * steep + 0.5, 0, 1))


def _sheet(
    labels: Sequence[int], inks: Sequence[Map], height: float, rng: np.random.Generator, *, source: str
) -> Iterator[Boxed]:
    """Digits in rows on one sheet, photographed; neighbours are so far apart that +25 % does not reach them."""
    cell = round(1.7 * height) + max(max(ink.shape) for ink in inks) - round(height)
    cover = np.zeros((ROWS * cell, COLUMNS * cell), np.float32)
    boxes: list[Box] = []
    for i, ink in enumerate(inks):
        h, w = ink.shape
        row, column = divmod(i, COLUMNS)
        top = row * cell + (cell - h) // 2 + int(rng.normal(0, 0.02) * height)
        left = column * cell + (cell - w) // 2 + int(rng.normal(0, 0.02) * height)
        cover[top : top + h, left : left + w] = ink
        inked = ink_box(ink >= INKED)
        assert inked is not None
        rows, columns = inked
        boxes.append((left + columns.start, top + rows.start, columns.stop - columns.start, rows.stop - rows.start))
    photo = photographed(cover, height, rng)
    for label, box in zip(labels, boxes, strict=True):
        yield Boxed(photo, box, str(label), source)


def photographed(cover: Map, height: float, rng: np.random.Generator) -> Gray:
    """Ink (H, W), 0 to 1, on lit paper: uneven light, perhaps a shadow, rules or pencil, blur, noise, JPEG."""
    h, w = cover.shape
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    paper = (
        np.float32(rng.uniform(0.6, 0.95)) + np.float32(rng.normal(0, 0.05)) * x + np.float32(rng.normal(0, 0.05)) * y
    )
    if rng.random() < 0.3:  # the soft shadow of a hand
        turn = rng.uniform(0, 2 * np.pi)
        across = (x * np.cos(turn) + y * np.sin(turn) - rng.uniform(-0.5, 0.5)) / rng.uniform(0.1, 0.5)
        paper = paper * (1 - rng.uniform(0.1, 0.4) / (1 + np.exp(-across)))
    if rng.random() < 0.1:  # ruled paper, paler than the ink
        step = rng.uniform(0.6, 1.2) * height
        rules = (np.arange(h) + rng.uniform(0, step)) % step < max(1, 0.015 * height)
        paper = paper * (1 - rng.uniform(0.08, 0.2) * rules[:, None])
    if rng.random() < 0.3:  # pencil on the grain of the paper
        grain = rng.random((h // 2 + 1, w // 2 + 1), np.float32).repeat(2, 0).repeat(2, 1)[:h, :w]
        cover = cover * (1 - rng.uniform(0.1, 0.5) * grain)
    image = _blurred(paper * (1 - rng.uniform(0.45, 0.9) * cover), rng.uniform(0.004, 0.02) * height)
    image = image + np.float32(rng.uniform(0.003, 0.02)) * rng.standard_normal((h, w), np.float32)
    gray = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    if rng.random() < 0.5:
        file = io.BytesIO()
        Image.fromarray(gray).save(file, "JPEG", quality=int(rng.integers(50, 95)))
        gray = np.asarray(Image.open(file))
    return 255 - gray if rng.random() < 0.1 else gray  # chalk on a board


def _blurred(image: Map, sigma: float) -> Map:
    """`image` (H, W) blurred by a Gaussian of `sigma` pixels."""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 0.2)) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for axis in (0, 1):
        around = np.pad(image, [(reach, reach) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        parts = (np.take(around, range(i, i + image.shape[axis]), axis) * k for i, k in enumerate(kernel))
        image = np.sum([*parts], axis=0, dtype=np.float32)
    return image


def orand(folder: Path) -> Iterator[Boxed]:
    """The digits of ORAND's amounts with their boxes; amounts without boxes are left out."""
    for name, amount in json.loads((folder / "boxes.json").read_text(encoding="utf-8")).items():
        boxes = amount["boxes_xywh"]
        if not boxes or len(boxes) != len(amount["label"]):
            continue
        sheet = decode(str(folder / name))
        for i, (box, label) in enumerate(zip(boxes, amount["label"], strict=True)):
            others = [other for j, other in enumerate(boxes) if j != i]
            kind = "overlapping" if _reaches(box, others, 0) else "beside" if _reaches(box, others, NEAR) else "apart"
            yield Boxed(sheet, tuple(box), label, f"ORAND, {kind}")


def _reaches(box: Sequence[float], others: Sequence[Sequence[float]], margin: float) -> bool:
    """Whether a cut with `margin` × its height around a box holds a part of another box."""
    x, y, w, h = box
    around = margin * h
    return any(
        left < x + w + around and x - around < left + width and top < y + h + around and y - around < top + height
        for left, top, width, height in others
    )


def sources(data: Path, *, quick: bool) -> dict[str, list[Boxed]]:
    """The digits of each source; of ORAND some, by a fixed random seed."""
    known: dict[str, list[Boxed]] = {}
    for boxed in drawn_sheets(QUICK_SHEETS if quick else SHEETS):
        known.setdefault(boxed.source, []).append(boxed)
    kinds: dict[str, list[Boxed]] = {}
    for boxed in orand(data / "orand_car_a"):
        kinds.setdefault(boxed.source, []).append(boxed)
    for kind, digits in sorted(kinds.items()):
        chosen = np.random.default_rng(SEED).permutation(len(digits))[: QUICK_BOXES if quick else BOXES]
        known[kind] = [digits[i] for i in sorted(chosen)]
    return known


def measure(model: Recognizer, data: Path, *, quick: bool, failures: Path | None = None) -> dict[str, Any]:
    """Counts of each margin and source, and of all that is drawn together."""
    known = sources(data, quick=quick)
    figures: dict[str, Any] = {}
    for margin in QUICK_MARGINS if quick else MARGINS:
        outcomes = {
            source: ask(model, [Asked(cut(one, margin), one.label, f"{source} {margin:+.0%}") for one in digits])
            for source, digits in known.items()
        }
        together = [one for source, some in outcomes.items() if source.startswith("drawn") for one in some]
        counted = {"drawn": count(together)} | {source: count(some) for source, some in outcomes.items()}
        figures[f"{100 * margin:+.0f}"] = counted
        show(f"Margin {100 * margin:+.0f} %", counted)
        keep([one for some in outcomes.values() for one in some], failures)
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store the results."""
    options = parser(__doc__).parse_args(argv)
    model, began = Recognizer.load(options.model), time.perf_counter()
    figures = measure(model, Path(os.environ["INKDIGIT_DATA"]), quick=options.quick, failures=options.failures)
    store(options, "tight", {"margins": figures}, began=began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
