"""The other way to read a number: it is cut into pieces, and a model for single digits scores what pieces may be.

    python -m benchmarks.reading.lattice [--quick]

In: the labelled numbers of `benchmarks/reading/sets.py`. Out: `benchmarks/results/reading-lattice.json`:
how many numbers it reads, how many the line reader reads, and how right they are where both say the same.

A number is made upright, cut between and in its strokes, and the cheapest way through all cuts is taken (Viterbi), as
in the readers of cheques before networks read whole lines (LeCun, Bottou, Bengio, Haffner 1998).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import results
from benchmarks.reading.measure import sha256, sha256_for_lines
from benchmarks.reading.sets import read_sets
from inkdigit.measure.reading import digits_of
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode_page
from inkdigit.reading.finder import find
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import view
from inkdigit.types import Gray

SLANTS = np.tan(np.radians(np.arange(-40, 41, 5)))
THIN_PX = 5.0  # of ink in a column: strokes may be cut there
WIDEST = 1.5  # times the height of the digits: no piece is wider
SMALL = 0.45  # of that height: a lower piece is a sign
REFUSED, CUT, SIGN = 3.0, 0.7, 1.5  # costs, as minus logarithms: of what the model refuses, of each piece, of a sign
RESULT, COMMAND = "reading-lattice.json", "python -m benchmarks.reading.lattice"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime")


def upright(ink: Gray) -> Gray:
    """The ink (h, w) with the slant that makes its columns most different."""
    h = len(ink)
    room = round(float(SLANTS.max()) * h / 2)
    image = Image.fromarray(np.pad(ink, ((0, 0), (room, room))))
    moved = [
        np.asarray(
            image.transform(image.size, Image.Transform.AFFINE, (1, s, -s * h / 2, 0, 1, 0), Image.Resampling.BILINEAR)
        )
        for s in SLANTS.tolist()
    ]
    return max(moved, key=lambda seen: float(np.square(seen.sum(0, dtype=np.float64)).sum()))


def read(gray: Gray, model: Recognizer) -> str:
    """The digits of a number (H, W)."""
    ink = upright(view(gray)[1])
    rows = np.flatnonzero(ink.max(1) > 127)
    if not rows.size:
        return ""
    tall = rows[-1] + 1 - rows[0]
    places = _cuts(ink)
    pieces = [
        (i, j)
        for i in range(len(places) - 1)
        for j in range(i + 1, len(places))
        if places[j] - places[i] <= WIDEST * tall and ink[:, places[i] : places[j]].max() > 127
    ]
    crops = [ink[:, places[i] : places[j]] for i, j in pieces]
    best: dict[int, tuple[float, str]] = {0: (0.0, "")}
    cost = _costs(crops, float(tall), model)
    of_piece = dict(zip(pieces, cost, strict=True))
    for j in range(1, len(places)):
        options = []
        for i in range(j):
            if i not in best:
                continue
            before, text = best[i]
            if (i, j) in of_piece:
                more, label = of_piece[i, j]
                options.append((before + more, text + label))
            elif j == i + 1 and ink[:, places[i] : places[j]].max() <= 127:
                options.append((before, text))
        if options:
            best[j] = min(options)
    return best.get(len(places) - 1, (0.0, ""))[1]


def _cuts(ink: Gray) -> list[int]:
    """Columns between which the pieces are: the ends of empty columns, and where little ink is."""
    mass = ink.sum(0, dtype=np.float64) / 255
    empty = mass < 0.5
    edges = np.flatnonzero(np.diff(empty.astype(np.int8))) + 1
    inside = np.flatnonzero(
        (mass[1:-1] <= mass[:-2]) & (mass[1:-1] < mass[2:]) & (mass[1:-1] <= THIN_PX) & ~empty[1:-1]
    )
    return sorted({0, len(mass), *edges.tolist(), *(inside + 1).tolist()})


def _costs(crops: list[Gray], tall: float, model: Recognizer) -> list[tuple[float, str]]:
    """What each piece costs, and the digit that it is; signs say nothing."""
    answers = model.predict(crops) if crops else []
    found = []
    for crop, answer in zip(crops, answers, strict=True):
        rows = np.flatnonzero(crop.max(1) > 127)
        height = rows[-1] + 1 - rows[0] if rows.size else 0
        if height < SMALL * tall or answer.probs is None:
            found.append((SIGN, ""))
            continue
        sure = float(np.log(max(1e-9, float(answer.probs.max()))))
        found.append(
            (CUT - sure + (REFUSED if answer.label is None else 0.0), model.classes[int(answer.probs.argmax())])
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure on all sets."""
    parser = results.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="100 of each set: try it out, write no result")
    options = parser.parse_args(argv)
    stamp = results.stamp(LIBRARIES, smoke=options.quick, command=COMMAND)
    model, reader, figures = Recognizer.load(), Reader.load(), {}
    for name, numbers in read_sets(Path(os.environ["INKDIGIT_DATA"]), most=100 if options.quick else None).items():
        both, line, cut = (np.zeros(len(numbers), bool) for _ in range(3))
        for i, number in enumerate(numbers):
            gray, _ = decode_page(number.picture)
            boxes = [found.box for found in find(gray)]
            pieces = "".join(read(gray[top:bottom, left:right], model) for top, left, bottom, right in boxes)
            whole = digits_of(reader.read_gray(gray).text)
            cut[i], line[i], both[i] = pieces == number.label, whole == number.label, pieces == whole
        figures[name] = {
            "n": len(numbers),
            "lattice": int(cut.sum()),
            "reader": int(line.sum()),
            "agree": int(both.sum()),
            "right_of_agreeing": int((both & line).sum()),
        }
        print(name, figures[name], flush=True)
    if not options.quick:
        files = {"line": sha256_for_lines(reader.path), "digits": sha256(model.path)}
        results.write(options.results / RESULT, {**stamp, "models": files, "sets": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
