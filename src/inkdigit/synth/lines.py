"""Numbers in a line, as people write them and forms hold them: in one hand, on paper, with the text that they say.

In: digits by writer, a bank of inks and a random generator. Out: a `Line`, a gray picture `uint8 (H, W)` cut around a
number, and its text. A number is from one writer of a data set, from an invented writer, or in print; a word has no
text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.prepare import tight
from inkdigit.synth import drawn, printed, writers
from inkdigit.synth.raster import Shape, log_uniform
from inkdigit.synth.scenes import pens, scene
from inkdigit.synth.scenes.pens import Bank, Ink, Pen
from inkdigit.synth.scenes.rules import Box
from inkdigit.types import DIGITS, Gray, Part

ALPHABET = "0123456789.,-/:+%×÷ "
SOURCES = ("set", "invented", "print")  # whose hand a number is in
SOURCE_SHARES = (0.47, 0.35, 0.18)
AS_IS_SHARE = 0.35  # of numbers from a data set keep its strokes; a pen follows the skeletons of the others
BENT_SHARE = 0.35  # of the digits of others are bent towards other hands
HEIGHT_PX = (14.0, 84.0)  # of a digit
MARGIN = (-0.1, 0.3)  # around the number, in shares of a digit's height
# How high a sign is, and where its middle is: 0 at the top of the digits, 1 on the line; in shares of their height.
SIGNS = {
    ".": (0.12, 0.95),
    ",": (0.25, 1.02),
    "-": (0.12, 0.55),
    "/": (1.15, 0.5),
    ":": (0.55, 0.62),
    "+": (0.55, 0.55),
    "%": (0.9, 0.5),
    "×": (0.5, 0.6),
    "÷": (0.5, 0.55),
}
DOUBLE_DASH = "4,36 96,34 | 4,64 96,66"
# Gaps between characters, in shares of a digit's height: overlapping, near, usual, wide.
GAPS = ((-0.22, 0.0), (-0.02, 0.1), (0.08, 0.35), (0.35, 1.6))
GAP_SHARES = (0.2, 0.35, 0.35, 0.1)
MAX_LENGTH = 12  # digits
OTHERS_SHARE = 0.15  # of lines have pieces of the lines above or below
WORD_SHARE = 0.05  # of lines are words or scribbles: no number
KINDS: tuple[str, ...] = ("code", "amount", "date", "time", "share", "sum", "groups")
KIND_SHARES = (0.46, 0.26, 0.1, 0.03, 0.04, 0.06, 0.05)
Drawer = Callable[[str], Ink]


@dataclass(frozen=True, slots=True)
class Line:
    """A number in a picture."""

    gray: Gray  # (H, W)
    truth: Gray  # (H, W): the coverage of each pixel by the number, 255 is full
    text: str  # characters of `ALPHABET`


class Hands:
    """The digits of a data set by writer and label."""

    def __init__(self, part: Part) -> None:
        """Sort the digits of `part`; without writers, all of them are one hand."""
        self.images = part.images
        ids = part.writers if part.writers is not None else np.zeros(len(part), np.int32)
        order = np.lexsort((part.labels, ids))
        keys = ids[order].astype(np.int64) * 10 + part.labels[order]
        known, begin = np.unique(keys, return_index=True)
        self._of = dict(zip(known.tolist(), np.split(order, begin[1:]), strict=True))
        self._all: list[NDArray[np.intp]] = [np.flatnonzero(part.labels == label) for label in range(10)]
        self.ids = np.unique(ids).tolist()

    def digit(self, writer: int, label: int, rng: np.random.Generator) -> Gray:
        """A digit (28, 28) of a writer, or of another one where this one wrote none."""
        some = self._of.get(writer * 10 + label, self._all[label])
        image: Gray = self.images[some[rng.integers(len(some))]]
        return image


def compose(hands: Hands, bank: Bank, rng: np.random.Generator, *, text: str | None = None) -> Line:
    """A random number in a picture; `text` says which."""
    if text is None:
        text = "" if rng.random() < WORD_SHARE else random_text(rng)
    height = log_uniform(*HEIGHT_PX, rng)
    pen = pens.pen(rng)
    placed = _placed(text, _drawer(hands, rng), height, rng) if text else _word(bank, height, rng)
    margins = rng.uniform(*MARGIN) * height + rng.normal(0, 0.05 * height, 4)
    left, top = min(box[1] for _, box in placed) - margins[0], min(box[0] for _, box in placed) - margins[1]
    right, bottom = max(box[3] for _, box in placed) + margins[2], max(box[2] for _, box in placed) + margins[3]
    shape: Shape = max(8, round(bottom - top)), max(8, round(right - left))

    def one() -> tuple[scene.Scene, Gray]:
        sheet = scene.Sheet(shape)
        for ink, (y0, x0, y1, x1) in placed:
            turn_deg = float(np.clip(rng.normal(0, 2), -6, 6))
            box = (y0 - top, x0 - left, y1 - top, x1 - left)
            sheet.put(ink, box, pen, rng, is_number=bool(text), turn_deg=turn_deg)
        written = np.asarray(np.rint(255 * np.maximum(sheet.number, sheet.other)), np.uint8)
        if rng.random() < OTHERS_SHARE:
            _others(sheet, bank, pen, height, rng)
        whole = (max(0.0, margins[1]), max(0.0, margins[0]), shape[0] - margins[3], shape[1] - margins[2])
        return scene.finish(sheet, whole, bank, pen, rng, kind="row"), written

    seen, truth = scene.until_visible(one)
    return Line(seen.gray, truth, text)


def random_text(rng: np.random.Generator) -> str:
    """A random number, code, amount, date, time, share or sum."""
    match str(rng.choice(KINDS, p=KIND_SHARES)):
        case "amount":
            return _amount(rng)
        case "date":
            sign = str(rng.choice(["/", "-", "."]))
            day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1950, 2035))
            of_year = str(year) if rng.random() < 0.6 else f"{year % 100:02d}"
            return sign.join([*(f"{one:02d}" if rng.random() < 0.6 else str(one) for one in (day, month)), of_year])
        case "time":
            return f"{rng.integers(0, 24)}:{rng.integers(0, 60):02d}"
        case "share":
            return f"{_digits(int(rng.integers(1, 4)), rng)}%"
        case "sum":
            a, b = (_digits(int(rng.integers(1, 4)), rng) for _ in range(2))
            return a + str(rng.choice(list("+-×÷/"))) + b
        case "groups":
            return " ".join(_digits(int(rng.integers(2, 5)), rng) for _ in range(int(rng.integers(2, 4))))
    return _digits(min(MAX_LENGTH, int(rng.geometric(0.19))), rng)


def _digits(count: int, rng: np.random.Generator) -> str:
    """Digits, some of them several times the same or with a 1 in front."""
    text = [str(digit) for digit in rng.integers(0, 10, count)]
    if rng.random() < 0.12:
        text[0] = "1"
    if rng.random() < 0.12:
        at = int(rng.integers(count))
        text[at:] = [text[at]] * (count - at) if rng.random() < 0.5 else ["0"] * (count - at)
    return "".join(text)


def _amount(rng: np.random.Generator) -> str:
    """An amount of money as on cheques: with or without separators, some with a dash at the end."""
    whole = _digits(int(rng.integers(1, 8)), rng)
    point, comma = (",", ".") if rng.random() < 0.5 else (".", ",")
    if rng.random() < 0.55:
        head = len(whole) % 3
        parts = [whole[:head]] * bool(head) + [whole[i : i + 3] for i in range(head, len(whole), 3)]
        whole = (comma if rng.random() < 0.85 else " ").join(parts)
    ending = rng.random()
    if ending < 0.25:
        return whole + point + _digits(2, rng)
    if ending < 0.5:
        return whole + str(rng.choice([".-", "-", ".", "--", ",-"], p=[0.3, 0.35, 0.2, 0.1, 0.05]))
    return whole


def _drawer(hands: Hands, rng: np.random.Generator) -> Drawer:
    """What draws the characters of one number: one hand, or one font."""
    match str(rng.choice(SOURCES, p=SOURCE_SHARES)):
        case "print":
            fonts = [font for font in printed.font_files() if printed.has_digits(font)]
            font = fonts[rng.integers(len(fonts))]
            return lambda sign: Ink(tight(printed.printed(sign, font, rng=rng, size_px=pens.BANK_PX)))
        case "invented":
            hand = writers.writer(rng)
            return lambda sign: Ink(tight(writers.write(hand, int(sign), rng=rng, size_px=pens.BANK_PX)))
    writer, as_is = int(rng.choice(hands.ids)), bool(rng.random() < AS_IS_SHARE)

    def of_set(sign: str) -> Ink:
        image = hands.digit(writer, int(sign), rng)
        if as_is:
            return Ink(tight(image))
        lines = pens.skeleton(image)
        if rng.random() < BENT_SHARE:
            lines = writers.bend(lines, int(sign), rng=rng)
        return Ink(lines, is_skeleton=True)

    return of_set


def _placed(text: str, draw: Drawer, height: float, rng: np.random.Generator) -> list[tuple[Ink, Box]]:
    """The inks of a text and their boxes (top, left, bottom, right), in pixels, the first at the left edge."""
    gap = float(rng.uniform(*GAPS[rng.choice(len(GAPS), p=GAP_SHARES)]))
    spread = float(rng.choice([0.02, 0.06, 0.12]))  # how much gaps, sizes and base lines differ
    rise, stretch = tan(radians(float(np.clip(rng.normal(0, 2), -6, 6)))), float(np.exp(rng.normal(0, 0.1)))
    thickness, x, placed = float(rng.uniform(0.06, 0.16)), 0.0, []
    for sign in text:
        if sign == " ":
            x += height * float(rng.uniform(0.45, 1.2))
            continue
        ink = draw(sign) if sign in DIGITS else _sign(sign, thickness, rng)
        tall, middle = (1.0, 0.5) if sign in DIGITS else SIGNS[sign]
        tall *= height * float(np.exp(rng.normal(0, spread)))
        wide = max(1.5, tall * scene.aspect(ink) * stretch)
        if sign == "-":
            wide, tall = height * float(rng.uniform(0.25, 0.9)), height * float(rng.uniform(0.06, 0.14))
            if scene.aspect(ink) < 4:  # two strokes
                tall *= 3
        y = (middle * height - tall / 2) + rise * x + float(rng.normal(0, spread)) * height
        placed.append((ink, (y, x, y + tall, x + wide)))
        x += wide + max(gap + float(rng.normal(0, spread)), -0.45 * wide / height) * height
    return placed


def _word(bank: Bank, height: float, rng: np.random.Generator) -> list[tuple[Ink, Box]]:
    """A printed word, or letters and marks by hand, and their boxes."""
    if rng.random() < 0.6:
        ink = pens.word(rng, round(height))
        return [(ink, (0.0, 0.0, height, height * scene.aspect(ink)))]
    x, placed = 0.0, []
    for _ in range(int(rng.integers(2, 8))):
        ink = bank.others[rng.integers(len(bank.others))]
        tall = height * float(rng.uniform(0.7, 1.1))
        placed.append((ink, (height - tall, x, height, x + tall * scene.aspect(ink))))
        x = placed[-1][1][3] + height * float(rng.uniform(0.05, 0.3))
    return placed


def _sign(sign: str, thickness: float, rng: np.random.Generator) -> Ink:
    """A sign between digits; a dash may be two strokes, as on cheques."""
    if sign == "-" and rng.random() < 0.12:
        return Ink(tight(drawn.glyph(DOUBLE_DASH, rng=rng, size_px=pens.BANK_PX, thickness=thickness)))
    return pens.number_sign("−" if sign == "-" else sign, rng, thickness=thickness)


def _others(sheet: scene.Sheet, bank: Bank, pen: Pen, height: float, rng: np.random.Generator) -> None:
    """Pieces of the lines above and below, which the borders cut."""
    h, w = sheet.shape
    above = bool(rng.random() < 0.5)
    seen, x = float(rng.uniform(0.05, 0.3)) * height, float(rng.uniform(-0.5, 0.3)) * w
    while x < w:
        ink = bank.digits[rng.integers(len(bank.digits))]
        tall = height * float(rng.uniform(0.9, 1.1))
        wide, top = tall * scene.aspect(ink), seen - tall if above else h - seen
        sheet.put(ink, (top, x, top + tall, x + wide), pen, rng, is_number=False)
        x += wide + height * float(rng.uniform(0.05, 0.4))
