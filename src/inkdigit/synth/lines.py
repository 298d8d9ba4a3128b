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
from PIL import Image, ImageDraw

from inkdigit.picture.prepare import tight
from inkdigit.synth import drawn, printed, writers
from inkdigit.synth.raster import Shape, log_uniform
from inkdigit.synth.scenes import pens, rules, scanned, scene
from inkdigit.synth.scenes.pens import Bank, Ink, Pen
from inkdigit.synth.scenes.rules import Box
from inkdigit.synth.scenes.sheet import Scene, Sheet
from inkdigit.types import DIGITS, Floats, Gray, Part

SOURCES = ("set", "invented", "print")  # whose hand a number is in
SOURCE_SHARES = (0.42, 0.42, 0.16)
AS_IS_SHARE = 0.45  # of numbers from a data set keep its strokes; a pen follows the skeletons of the others
BENT_SHARE = 0.35  # of the digits of others are bent towards other hands
LEANING_SHARE = 0.5  # of numbers by hand lean, all digits of one alike
STEEPEST_DEG = 40.0
SCANNED_SHARE = 0.5  # of lines are as a scanner gives them: nothing hides the digits
HEIGHT_PX, SCANNED_PX = (16.0, 84.0), (20.0, 84.0)  # of a digit
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
FLOURISHES = (  # dashes at the end of an amount
    "0,70 100,30",  # rises
    "0,90 80,10",  # steep
    "0,80 90,20 | 20,104 110,46",  # two that rise
    "0,60 20,20 50,50 80,80 104,30",  # a wave
    "0,40 70,40 100,70 60,90",  # a hook
)
FLOURISH_SHARE = 0.2  # of dashes at the end of a number by hand
# Gaps between characters, in shares of a digit's height: overlapping, near, usual, wide.
GAPS = ((-0.22, 0.0), (-0.02, 0.1), (0.08, 0.35), (0.35, 1.6))
GAP_SHARES = (0.25, 0.35, 0.3, 0.1)
NESTED_SHARE = 0.5  # of numbers by hand: gaps are between strokes, so that what leans stands below what is before
SMALL_ZEROS_SHARE = 0.3  # of hands make zeros at the end smaller, and nearer to each other
SMALL_ZEROS = (0.45, 0.9)  # as high, in shares of the other digits
JOINED_SHARE = 0.2  # of hands join zeros, and now and then other digits, by a stroke at the top
SHRINK = 0.12  # the standard deviation of how much smaller, or larger, a number becomes from its beginning to its end
BOXED_SHARE = 0.1  # of numbers that are only digits are in printed places, one digit in each
PLACE = ((0.9, 1.5), (0.1, 0.5))  # its width, and its border above and below, in shares of a digit's height
MAX_LENGTH = 12  # digits
ROUNDED_SHARE = (0.12, 0.5)  # of codes, and of amounts, end in zeros
OTHERS_SHARE = 0.15  # of lines have pieces of the lines above or below
BESIDE_SHARE = 0.12  # of lines have a sign of money, a star or something else before or behind the number
BESIDE = ("$", "€", "*", "#", "[", "{")
WORD_SHARE = 0.08  # of lines are words or scribbles: no number
KINDS: tuple[str, ...] = ("code", "amount", "date", "time", "share", "sum", "groups")
KIND_SHARES = (0.46, 0.26, 0.1, 0.03, 0.04, 0.06, 0.05)


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
    is_scanned = bool(rng.random() < SCANNED_SHARE)
    height = log_uniform(*(SCANNED_PX if is_scanned else HEIGHT_PX), rng)
    pen = scanned.pen(rng) if is_scanned else pens.pen(rng)
    placed = _number(text, hands, height, rng) if text else _word(bank, height, rng)
    frame: Box | None = None
    if text.isdigit() and len(placed) == len(text) and rng.random() < BOXED_SHARE:
        placed, frame = _in_places(placed, height, rng)
    bounds = [box for _, box in placed] if frame is None else [frame]
    margins = rng.uniform(*MARGIN) * height + rng.normal(0, 0.05 * height, 4)
    left, top = min(box[1] for box in bounds) - margins[0], min(box[0] for box in bounds) - margins[1]
    right, bottom = max(box[3] for box in bounds) + margins[2], max(box[2] for box in bounds) + margins[3]
    shape: Shape = max(8, round(bottom - top)), max(8, round(right - left))

    def one() -> tuple[Scene, Gray]:
        sheet = Sheet(shape)
        for ink, (y0, x0, y1, x1) in placed:
            turn_deg = float(np.clip(rng.normal(0, 2), -6, 6))
            box = (y0 - top, x0 - left, y1 - top, x1 - left)
            sheet.put(ink, box, pen, rng, is_number=bool(text), turn_deg=turn_deg)
        written = np.asarray(np.rint(255 * np.maximum(sheet.number, sheet.other)), np.uint8)
        if rng.random() < OTHERS_SHARE:
            _others(sheet, bank, pen, height, rng)
        whole = (max(0.0, margins[1]), max(0.0, margins[0]), shape[0] - margins[3], shape[1] - margins[2])
        if frame is not None:
            y0, x0, y1, x1 = frame
            sheet.lines = rules.places(shape, (y0 - top, x0 - left, y1 - top, x1 - left), len(text), rng)
        if is_scanned:
            return scanned.finish(sheet, whole, pen, rng), written
        return scene.finish(sheet, whole, bank, pen, rng, kind="row"), written

    seen, truth = scene.until_visible(one)
    return Line(seen.gray, truth, text)


def _in_places(
    placed: list[tuple[Ink, Box]], height: float, rng: np.random.Generator
) -> tuple[list[tuple[Ink, Box]], Box]:
    """Digits in places of equal width, wide ones as narrow as theirs; and the box of all places."""
    pitch = height * float(rng.uniform(*PLACE[0]))
    above, below = rng.uniform(*PLACE[1], 2) * height
    moved = []
    for i, (ink, (top, left, bottom, right)) in enumerate(placed):
        wide = min(right - left, 0.95 * pitch)
        begin = i * pitch + (pitch - wide) * float(np.clip(rng.normal(0.5, 0.15), 0, 1))
        moved.append((ink, (top, begin, bottom, begin + wide)))
    top, bottom = min(box[0] for _, box in moved), max(box[2] for _, box in moved)
    return moved, (top - above, 0.0, bottom + below, len(moved) * pitch)


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
    text = _digits(min(MAX_LENGTH, int(rng.geometric(0.19))), rng)
    return _rounded(text, rng) if rng.random() < ROUNDED_SHARE[0] else text


def _digits(count: int, rng: np.random.Generator) -> str:
    """Digits, some of them several times the same or with a 1 in front."""
    text = [str(digit) for digit in rng.integers(0, 10, count)]
    for at in (0, -1):
        if rng.random() < 0.12:
            text[at] = "1"
    if rng.random() < 0.06:  # several of them beside each other
        at = int(rng.integers(count))
        text[at : at + 2] = ["1"] * len(text[at : at + 2])
    if rng.random() < 0.06:
        at = int(rng.integers(count))
        text[at:] = [text[at]] * (count - at)
    return "".join(text)


def _rounded(text: str, rng: np.random.Generator) -> str:
    """A number that ends in zeros."""
    zeros = min(len(text) - 1, int(rng.choice([1, 2, 3, 4, 6], p=[0.3, 0.3, 0.28, 0.07, 0.05])))
    return text[: len(text) - zeros] + "0" * zeros


def _amount(rng: np.random.Generator) -> str:
    """An amount of money as on cheques: with or without separators, some with a dash at the end."""
    whole = _digits(int(rng.integers(1, 8)), rng)
    if rng.random() < ROUNDED_SHARE[1]:
        whole = _rounded(whole, rng)
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


@dataclass(frozen=True, slots=True)
class _Hand:
    """What draws the characters of one number: one person, or one font."""

    draw: Callable[[str], Ink]
    lean: float  # how far to the right the top of a digit is, in shares of its height
    is_print: bool = False


def _hand(hands: Hands, rng: np.random.Generator) -> _Hand:
    """A random hand or font."""
    match str(rng.choice(SOURCES, p=SOURCE_SHARES)):
        case "print":
            fonts = [font for font in printed.font_files() if printed.has_digits(font)]
            font = fonts[rng.integers(len(fonts))]
            return _Hand(lambda sign: Ink(tight(printed.printed(sign, font, rng=rng, size_px=pens.BANK_PX))), 0, True)
        case "invented":
            hand = writers.writer(rng, of_numbers=True)
            lean = tan(radians(hand.slant_deg))
            return _Hand(lambda sign: Ink(tight(writers.write(hand, int(sign), rng=rng, size_px=pens.BANK_PX))), lean)
    writer, as_is = int(rng.choice(hands.ids)), bool(rng.random() < AS_IS_SHARE)
    lean = 0.0
    if rng.random() < LEANING_SHARE:
        lean = tan(radians(float(np.clip(rng.normal(6, 16), -STEEPEST_DEG, STEEPEST_DEG))))

    def of_set(sign: str) -> Ink:
        image = hands.digit(writer, int(sign), rng)
        lines = image if as_is else pens.skeleton(image)
        if not as_is and rng.random() < BENT_SHARE:
            lines = writers.bend(lines, int(sign), rng=rng, slant=0.0)
        return Ink(writers.leaning(lines, lean, thin=not as_is), is_skeleton=not as_is)

    return _Hand(of_set, lean)


def _number(text: str, hands: Hands, height: float, rng: np.random.Generator) -> list[tuple[Ink, Box]]:
    """The inks of a text and their boxes (top, left, bottom, right), in pixels, the first at the left edge."""
    hand = _hand(hands, rng)
    gap = float(rng.uniform(*GAPS[rng.choice(len(GAPS), p=GAP_SHARES)]))
    spread = float(rng.choice([0.02, 0.06, 0.12]))  # how much gaps, sizes and base lines differ
    rise, stretch = tan(radians(float(np.clip(rng.normal(0, 2), -6, 6)))), float(np.exp(rng.normal(0, 0.1)))
    thickness = float(rng.uniform(0.06, 0.16))
    nested, joined, zeros, shrink = False, False, 1.0, 0.0
    if not hand.is_print:
        nested, joined = (bool(rng.random() < share) for share in (NESTED_SHARE, JOINED_SHARE))
        zeros = float(rng.uniform(*SMALL_ZEROS)) if rng.random() < SMALL_ZEROS_SHARE else 1.0
        shrink = float(rng.normal(0, SHRINK))
    tail = len(text.rstrip("0.,- "))  # where zeros at the end begin
    x, edge = 0.0, _Edge(height)
    placed: list[tuple[Ink, Box]] = []
    for i, sign in enumerate(text):
        if sign == " ":
            x += height * float(rng.uniform(0.45, 1.2))
            continue
        is_digit = sign in DIGITS
        name = "−" if sign == "-" else sign
        ink = hand.draw(sign) if is_digit else pens.number_sign(name, rng, thickness=thickness)
        tall, middle = (1.0, 0.5) if is_digit else SIGNS[sign]
        scale = height * float(np.exp(shrink * i / max(1, len(text) - 1) + rng.normal(0, spread)))
        small = zeros if sign == "0" and i >= tail else 1.0
        tall, middle = tall * scale * small, 1 - (1 - middle) * small
        wide = max(1.5, tall * scene.aspect(ink) * stretch)
        if sign == "-":
            ink, tall, wide = _dash(ink, height, thickness, rng, is_end=not hand.is_print and i == len(text) - 1)
        room = (min(gap, 0.1) if small < 1 else gap) + float(rng.normal(0, spread))
        room = max(room, -0.45 * wide / height) * height
        y = height + (middle - 1) * scale - tall / 2 + rise * x + float(rng.normal(0, spread)) * height
        begin = max(edge.nearest(ink, y, tall, wide, x), x - 0.6 * wide) if nested and placed else x
        begin += room if placed else 0.0
        box = (y, begin, y + tall, begin + wide)
        if joined and placed and is_digit and text[i - 1] in DIGITS and (small < 1 or rng.random() < 0.3):
            placed.append(_join(placed[-1][1], box, rng))
        placed.append((ink, box))
        edge.add(ink, box)
        x = max(x, begin + wide)
    if rng.random() < BESIDE_SHARE:
        placed.append(_beside(placed, height, rng))
    return placed


class _Edge:
    """How far to the right the strokes of a line are, at each of a few heights."""

    BANDS = 24

    def __init__(self, height: float) -> None:
        """Begin with an empty line whose digits are so high."""
        self.band = 2 * height / self.BANDS  # from half a digit above the line to half a digit below it
        self.top = -0.5 * height
        self.reach = np.full(self.BANDS, -np.inf)

    def nearest(self, ink: Ink, y: float, tall: float, wide: float, otherwise: float) -> float:
        """Where the left of `ink` is when its strokes touch those before it."""
        left, _ = self._sides(ink, y, tall, wide)
        before = np.maximum(self.reach, np.maximum(np.roll(self.reach, 1), np.roll(self.reach, -1)))
        away = before - left
        return float(away.max()) if np.isfinite(away).any() else otherwise

    def add(self, ink: Ink, box: Box) -> None:
        """Put `ink` into the line."""
        _, right = self._sides(ink, box[0], box[2] - box[0], box[3] - box[1])
        self.reach = np.maximum(self.reach, box[1] + right)

    def _sides(self, ink: Ink, y: float, tall: float, wide: float) -> tuple[Floats, Floats]:
        """The left and right end of an ink at each height, from the left of its box; nothing is inf and -inf."""
        h, w = ink.cover.shape
        left, right = np.full(self.BANDS, np.inf, np.float32), np.full(self.BANDS, -np.inf, np.float32)
        ys, xs = np.nonzero(ink.cover > 64)
        bands = np.clip(((y + ys * tall / h - self.top) / self.band).astype(np.intp), 0, self.BANDS - 1)
        begins = np.flatnonzero(np.diff(bands, prepend=-1))  # pixels come row by row
        left[bands[begins]] = np.minimum.reduceat(xs, begins) * wide / w
        right[bands[begins]] = (np.maximum.reduceat(xs, begins) + 1) * wide / w
        return left, right


def _join(before: Box, box: Box, rng: np.random.Generator) -> tuple[Ink, Box]:
    """A stroke from the top of a digit to that of the next, hanging or straight."""
    x0, x1 = (before[1] + before[3]) / 2, (box[1] + box[3]) / 2
    y = max(before[0], box[0]) + float(rng.uniform(0, 0.12)) * (box[2] - box[0])
    deep = float(rng.uniform(0.02, 0.15)) * (box[2] - box[0])
    size = 24, 48
    image = Image.new("L", size[::-1])
    ImageDraw.Draw(image).arc((0, -size[0], size[1] - 1, size[0] - 1), 0, 180, 255)
    return Ink(tight(np.asarray(image)), is_skeleton=True), (y, x0, y + max(1.0, deep), max(x1, x0 + 2))


def _beside(placed: list[tuple[Ink, Box]], height: float, rng: np.random.Generator) -> tuple[Ink, Box]:
    """A sign that is no part of the number, before or behind it."""
    ink = Ink(tight(drawn.sign(str(rng.choice(BESIDE)), rng=rng, size_px=pens.BANK_PX, thickness=0.1, jitter=0.03)))
    tall = height * float(rng.uniform(0.6, 1.1))
    wide, away = tall * scene.aspect(ink), height * float(rng.uniform(0.1, 0.5))
    left = min(box[1] for _, box in placed) - away - wide
    if rng.random() < 0.3:
        left = max(box[3] for _, box in placed) + away
    top = height - tall + float(rng.normal(0, 0.08)) * height
    return ink, (top, left, top + tall, left + wide)


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


def _dash(
    ink: Ink, height: float, thickness: float, rng: np.random.Generator, *, is_end: bool
) -> tuple[Ink, float, float]:
    """A dash, how high and how wide it is: `ink`, or two strokes, as on cheques, or at the end one that rises."""
    wide, tall = height * log_uniform(0.25, 1.5, rng), height * float(rng.uniform(0.06, 0.14))
    if is_end and rng.random() < FLOURISH_SHARE:
        text, tall, wide = FLOURISHES[rng.integers(len(FLOURISHES))], height * float(rng.uniform(0.15, 0.45)), 0.0
    elif rng.random() < 0.12:
        text, tall = DOUBLE_DASH, 3 * tall
    else:
        return ink, tall, wide
    ink = Ink(tight(drawn.glyph(text, rng=rng, size_px=pens.BANK_PX, thickness=thickness)))
    return ink, tall, wide or tall * scene.aspect(ink)


def _others(sheet: Sheet, bank: Bank, pen: Pen, height: float, rng: np.random.Generator) -> None:
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
