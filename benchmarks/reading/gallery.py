"""Draw what the reader gets wrong, and what it reads in the sample pictures: the figures of `docs/reading.md`.

In: the bundled reader, fixed random seeds, the pictures in `examples/`. Out: `docs/reading/failures.png` and
`docs/reading/examples.png`, and `results/reading-gallery.json`, how many lines were composed and how many were wrong.
The lines are composed as for training, but with digits of invented writers in place of a data set's, and with a seed
that no training uses: there is no picture of a data set in the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.common import machine, results
from benchmarks.reading.measure import LIBRARIES, sha256_for_lines
from inkdigit.files import write_atomic
from inkdigit.measure.stats import wilson
from inkdigit.picture.decode import decode_page
from inkdigit.picture.prepare import prepare
from inkdigit.reading.reader import Reader
from inkdigit.report import readings
from inkdigit.synth import lines, writers
from inkdigit.synth.scenes import pens
from inkdigit.types import Gray, Part, Reading

FOLDER = machine.ROOT / "docs" / "reading"
EXAMPLES = machine.ROOT / "examples" / "numbers"
RESULT = "reading-gallery.json"
FAILURES, SAMPLES = "failures.png", "examples.png"
COMMAND = "python -m benchmarks.reading.gallery"
SHOWN_EXAMPLES = ("amount.png", "date.png", "comb.png", "form.jpg")
SEED = 1_900_000_191  # no training uses it
LINES, QUICK_LINES = 2000, 60
HANDS, OF_EACH = 60, 2  # invented writers, and how often each writes a digit
BANK_SIZE = 200
SHOWN, ACROSS = 24, 3  # failures
CELL_PX, PICTURE_PX, GAP_PX = 292, 76, 12  # of the figure: the width of a failure, the height of its picture
TEXT_PX = 14
SAMPLES_PX = 660  # the width of the figure of the samples
COLOURS = 64
PAPER, TRUE, SEEN = "#ffffff", "#374151", "#b45309"


@dataclass(frozen=True, slots=True)
class Failure:
    """A line that is not read as it was written."""

    gray: Gray
    text: str  # nothing where there is no number
    reading: Reading

    @property
    def words(self) -> str:
        """What was read, and how sure the reader was; or why nothing was read."""
        if self.reading.reason is None:
            return f"{self.reading.text}  {100 * self.reading.confidence:.1f} %"
        guesses = " ".join(number.text for number in self.reading.numbers if number.text)
        return f"{self.reading.reason} ({guesses})" if guesses else self.reading.reason


def invented(rng: np.random.Generator) -> Part:
    """Digits of invented writers in the form of a data set."""
    images, labels, ids = [], [], []
    for number in range(HANDS):
        hand = writers.writer(rng)
        for label in range(10):
            for _ in range(OF_EACH):
                images.append(prepare(writers.write(hand, label, rng=rng)))
                labels.append(label)
                ids.append(number)
    return Part(np.stack(images), np.array(labels, np.int64), writers=np.array(ids, np.int32))


def compose(count: int) -> list[lines.Line]:
    """Lines of numbers and words that are not from any data set."""
    digits = invented(np.random.default_rng([SEED, 0]))
    hands, bank = lines.Hands(digits), pens.bank(digits.images, rng=np.random.default_rng([SEED, 1]), size=BANK_SIZE)
    return [lines.compose(hands, bank, np.random.default_rng([SEED, 2, i])) for i in range(count)]


def failures(reader: Reader, composed: Sequence[lines.Line]) -> list[Failure]:
    """The lines that are read wrong, the surest first, then those that are refused; a refused word is right."""
    found = []
    for line in composed:
        reading = reader.read_gray(line.gray)
        if reading.text.replace(" ", "") != line.text.replace(" ", ""):
            found.append(Failure(line.gray, line.text, reading))
    return sorted(found, key=lambda one: (one.reading.reason is not None, -one.reading.confidence))


def shown(found: Sequence[Failure]) -> list[Failure]:
    """Those of the figure: mostly wrong ones, evenly over how sure the reader was, and some that are refused."""
    wrong = [one for one in found if one.reading.reason is None]
    refused = [one for one in found if one.reading.reason is not None]
    few = min(len(refused), max(SHOWN // 4, SHOWN - len(wrong)))
    return _evenly(wrong, SHOWN - few) + _evenly(refused, few)


def _evenly(some: Sequence[Failure], count: int) -> list[Failure]:
    if len(some) <= count:
        return list(some)
    return [some[round(i)] for i in np.linspace(0, len(some) - 1, count)]


def sheet(found: Sequence[Failure]) -> bytes:
    """The figure: each picture, what is written there, and what was read; as PNG."""
    rows = -(-len(found) // ACROSS) or 1
    tall = PICTURE_PX + 2 * (TEXT_PX + 5) + GAP_PX
    image = Image.new("RGB", (ACROSS * (CELL_PX + GAP_PX) + GAP_PX, rows * tall + GAP_PX), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(TEXT_PX)
    for i, one in enumerate(found):
        row, column = divmod(i, ACROSS)
        left, top = GAP_PX + column * (CELL_PX + GAP_PX), GAP_PX + row * tall
        picture = Image.fromarray(one.gray)
        scale = min(CELL_PX / picture.width, PICTURE_PX / picture.height)
        image.paste(
            picture.resize((max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))), (left, top)
        )
        below = top + PICTURE_PX + 3
        pen.text((left, below), plain(one.text) or "no number", TRUE, font)
        pen.text((left, below + TEXT_PX + 4), plain(one.words)[:40], SEEN, font)
    return packed(image)


def plain(text: str) -> str:
    """A text in characters that the font has."""
    return text.replace("×", "x").replace("÷", "/")


def packed(image: Image.Image) -> bytes:
    """A small PNG."""
    small = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
    buffer = BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def samples(reader: Reader) -> bytes:
    """The sample pictures with the boxes of their numbers; as PNG."""
    entries = []
    for name in SHOWN_EXAMPLES:
        gray, _ = decode_page(EXAMPLES / name)
        entries.append((Path(name), gray, reader.read_gray(gray)))
    image = Image.open(BytesIO(readings.sheet([readings.picture(*entry) for entry in entries])))
    return packed(image.resize((SAMPLES_PX, round(image.height * SAMPLES_PX / image.width)), Image.Resampling.LANCZOS))


def main(argv: Sequence[str] | None = None) -> int:
    """Compose, read, draw both figures, and write how many lines were wrong."""
    parser = results.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_LINES} lines: try it out, write no result")
    parser.add_argument("--figures", type=Path, default=FOLDER, help="the folder of the figures")
    options = parser.parse_args(argv)
    stamp = results.stamp(LIBRARIES, smoke=options.quick, command=COMMAND)
    reader = Reader.load()
    composed = compose(QUICK_LINES if options.quick else LINES)
    found = failures(reader, composed)
    options.figures.mkdir(parents=True, exist_ok=True)
    for name, data in ((FAILURES, sheet(shown(found))), (SAMPLES, samples(reader))):
        write_atomic(options.figures / name, data)
        print(f"Written: {options.figures / name} ({len(data) / 1000:.0f} kB)")
    wrong = sum(one.reading.reason is None for one in found)
    record = {
        **stamp,
        "model": {"name": reader.card.name, "sha256": sha256_for_lines(reader.path)},
        "lines": len(composed),
        "wrong": wrong,
        "refused": len(found) - wrong,
        "right_ci95": list(wilson(len(composed) - len(found), len(composed))),
        "shown": len(shown(found)),
    }
    print({key: record[key] for key in ("lines", "wrong", "refused", "shown")})
    if not options.quick:
        results.write(options.results / RESULT, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
