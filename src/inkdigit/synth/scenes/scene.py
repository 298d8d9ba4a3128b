"""One scene: what is written where, on what, in which light; and the truth of each of its pixels.

In: a bank of inks, a shape (H, W) and a random generator. Out: a `Scene`, a gray picture with the coverage of its ruled
lines, of its writing that can belong to a number, and of other writing and marks. The rest is paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inkdigit.synth import camera
from inkdigit.synth.raster import Map, Shape, blots, blur, cloud, grid, log_uniform, over, segment
from inkdigit.synth.scenes import paper, rules
from inkdigit.synth.scenes.pens import POINT_PX, Bank, Ink, Pen, pen, word
from inkdigit.synth.scenes.sheet import Scene, Sheet
from inkdigit.types import Gray

KINDS = ("single", "tight", "empty", "row", "page", "other")
SHARES = (0.33, 0.19, 0.14, 0.17, 0.1, 0.07)
NEIGHBOURS_SHARE = 0.25  # of scenes with one thing in the middle: others beside it, cut by the border
INTRUDERS_SHARE = 0.35  # of sheets that are cut out around one thing: a box around it holds pieces of what is beside
INTRUDES = (0.03, 0.22)  # so far, in shares of the sheet's width
TIGHT_TRIES = 12  # inks among which the one is taken that fits the picture best
WIDE = 1.6  # times as wide as high: no single digit fills such a sheet
TRIES = 4  # scenes that are drawn until one can be seen
AROUND_PX, MIN_CONTRAST = 4, 5.0  # how far from ink its ground is, and by how many gray levels it must differ
LEGIBLE_PX = 14  # high is a single digit at least, in a sheet that is not much higher
WIDE_SPREAD = 0.85  # of the room that a digit has
SCRATCH = (0.02, 0.7)  # as long, in shares of the shorter side
# Kinds of corruption (`measure/corruptions.py`) that resemble an effect here.
RESEMBLES = (
    "shot_noise",
    "impulse_noise",
    "motion_blur",
    "brightness",
    "stripe",
    "fog",
    "spatter",
    "dotted_line",
    "canny_edges",
)


def draw(bank: Bank, shape: Shape, rng: np.random.Generator) -> Scene:
    """A random scene whose writing can be seen: what nobody can see teaches nothing."""

    def one() -> tuple[Scene, Gray]:
        scene = _draw(bank, shape, rng)
        return scene, scene.truth[1]

    return until_visible(one)[0]


def show(ink: Ink, bank: Bank, shape: Shape, rng: np.random.Generator, *, fill: bool) -> tuple[Gray, Gray]:
    """A random scene in which `ink` is the main thing.

    Out: the picture and the true coverage of the ink, uint8 (H, W). With `fill` the ink fills the sheet, or is cut by
    its borders.
    """

    def one() -> tuple[Scene, Gray]:
        sheet, hand = Sheet(shape), pen(rng)
        box = _fill(sheet, ink, hand, rng) if fill else _alone(sheet, ink, hand, rng, is_number=True)
        truth = np.asarray(np.rint(255 * np.maximum(sheet.number, sheet.other)), np.uint8)
        if fill and rng.random() < INTRUDERS_SHARE:
            _intruders(sheet, box, bank, hand, rng)
        return finish(sheet, box, bank, hand, rng, kind="tight" if fill else "single"), truth

    scene, truth = until_visible(one)
    return scene.gray, truth


def bare(bank: Bank, shape: Shape, rng: np.random.Generator) -> Gray:
    """A random scene (H, W) without a number: bare paper, mostly with lines of a form, sometimes with words."""
    sheet, hand = Sheet(shape), pen(rng)
    return finish(sheet, _empty(sheet, bank, hand, rng), bank, hand, rng, kind="empty").gray


def until_visible(one: Callable[[], tuple[Scene, Gray]]) -> tuple[Scene, Gray]:
    """The first scene in which the ink of the coverage beside it can be seen; the last one if there is none."""
    for _ in range(TRIES):
        scene, coverage = one()
        if _is_visible(scene, coverage):
            break
    return scene, coverage


def _is_visible(scene: Scene, coverage: Gray) -> bool:
    """Whether ink of this coverage (H, W) differs from what is around it."""
    ink = coverage > 127
    if not ink.any():
        return True
    near = np.asarray(Image.fromarray(255 * ink.view(np.uint8)).filter(ImageFilter.BoxBlur(AROUND_PX))) > 0
    around = scene.gray[near & (scene.truth.sum(0) < 16)]
    if not around.size:
        return True
    return abs(float(scene.gray[ink].mean()) - float(around.mean())) >= max(MIN_CONTRAST, 0.3 * float(around.std()))


def _draw(bank: Bank, shape: Shape, rng: np.random.Generator) -> Scene:
    sheet, hand = Sheet(shape), pen(rng)
    kind = str(rng.choice(KINDS, p=SHARES))
    if kind == "tight" and shape[1] > WIDE * shape[0]:
        kind = "row"
    return finish(sheet, _WRITE[kind](sheet, bank, hand, rng), bank, hand, rng, kind=kind)


def finish(sheet: Sheet, box: rules.Box, bank: Bank, hand: Pen, rng: np.random.Generator, *, kind: str) -> Scene:
    """The scene of a sheet on which something is written in `box`, with whatever is around it."""
    shape = sheet.shape
    if kind in ("single", "other") and rng.random() < NEIGHBOURS_SHARE:
        _neighbours(sheet, box, bank, hand, rng)
    if rng.random() < {"tight": 0.12, "page": 0.35, "single": 0.2}.get(kind, 0.12):
        _words(sheet, box, hand, rng)
    if rng.random() < (0.3 if max(shape) <= camera.TINY_PX else 0.12):
        _specks(sheet, rng)
    lines, ruling = sheet.printed(box, {"empty": 0.8, "tight": 0.25}.get(kind, 0.5), rng)
    dark = sheet.dark * _strength(shape, hand, rng)
    detail_px = float(np.median(sheet.heights)) if sheet.heights else 0.5 * min(shape)
    return sheet.seen(_show(dark, lines, rng, detail_px=detail_px), ruling)


def _strength(shape: Shape, hand: Pen, rng: np.random.Generator) -> Map:
    """How dark the ink of a pen is at each pixel."""
    strength = np.full(shape, hand.alpha, np.float32)
    if hand.uneven:
        strength *= 1 - np.float32(hand.uneven) * cloud(shape, rng, float(rng.uniform(3, 14)))
    if hand.grain:
        grain = blur(rng.random(shape, np.float32), float(rng.uniform(0.3, 1.2)))
        grain = (grain - grain.min()) / max(1e-6, float(grain.max() - grain.min()))
        strength *= np.clip(1 - np.float32(2 * hand.grain) * np.maximum(grain - 0.4, 0), 0.05, 1)
    return strength


def _show(dark: Map, lines: Map, rng: np.random.Generator, *, detail_px: float) -> Gray:
    """The picture of ink and lines: a photo, a scan in black and white, or an exact drawing."""
    shape: Shape = dark.shape
    style = rng.random()
    strongest = max(0.1, float(dark.max()))  # of the ink: what hides it is limited by it
    if style < 0.25 and strongest < 0.5:
        dark = dark * np.float32(0.5 / strongest)
        strongest = 0.5
    marks = over(dark, lines)
    if style < 0.09:
        bright = 1 - camera.scan(marks, rng)
    elif style < 0.25:
        ground = 1.0 if rng.random() < 0.7 else float(rng.uniform(0.5, 1))
        bright = ground - marks * np.float32(ground if rng.random() < 0.7 else rng.uniform(0.3, 1) * ground)
    else:
        sheet = paper.paper(dark, rng, contrast=strongest)
        bright = (
            sheet * (1 - np.float32(rng.uniform(0.75, 1)) * marks) if rng.random() < 0.85 else _chalk(sheet, marks, rng)
        )
        bright = bright * paper.light(shape, rng)
        if rng.random() < 0.06:
            bright = bright + paper.glare(shape, rng)
        if rng.random() < 0.25:
            contrast = np.float32(rng.uniform(min(0.9, 0.1 / strongest), 1))
            strongest *= float(contrast)
            bright = contrast * bright + (1 - contrast) * np.float32(rng.uniform(0, 1))
    if style >= 0.25 or rng.random() < 0.7:
        gray = camera.shoot(np.asarray(bright, np.float32), rng, detail_px=detail_px, contrast=strongest)
    else:
        gray = np.asarray(np.rint(np.clip(bright, 0, 1) * 255), np.uint8)
    if rng.random() < 0.03:
        gray = np.where(_fields(shape, rng), 255 - gray, gray)
    return 255 - gray if rng.random() < 0.2 else gray


def _fields(shape: Shape, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The fields (H, W) of a form or a sign in which dark and light have changed places: strips or a half."""
    y, x = grid(shape)
    angle = rng.normal(0, 0.05) + rng.choice([0, np.pi / 2])
    across = (y * np.cos(angle) + x * np.sin(angle)) / min(shape)
    at, broad = rng.uniform(0.1, 0.9), rng.uniform(0.2, 1.0)
    return np.asarray((across > at) & (across < at + broad) ^ (rng.random() < 0.5), bool)


def _chalk(sheet: Map, marks: Map, rng: np.random.Generator) -> Map:
    """Light ink on a dark board."""
    board = sheet * np.float32(rng.uniform(0.1, 0.6))
    return np.asarray(board + marks * np.float32(rng.uniform(0.3, 1)) * (1 - board), np.float32)


def _digit(bank: Bank, rng: np.random.Generator) -> Ink:
    inks = bank.prints if rng.random() < 0.27 else bank.digits
    return inks[rng.integers(len(inks))]


def aspect(ink: Ink) -> float:
    """The width of an ink by its height."""
    h, w = ink.cover.shape
    return float(w / h)


def _size(ink: Ink, height: float, rng: np.random.Generator) -> tuple[float, float]:
    """The height and width of `ink` at a height, its proportions slightly changed."""
    return height, max(2.0, height * aspect(ink) * float(np.exp(rng.normal(0, 0.1))))


def _place(shape: Shape, size: tuple[float, float], rng: np.random.Generator) -> rules.Box:
    """A place inside the sheet, mostly near its middle; along the border there are only pieces of lines."""
    spread = WIDE_SPREAD if rng.random() < 0.5 else 0.4
    top, left = (
        max(0.0, side - length) / 2 * (1 + spread * rng.uniform(-1, 1))
        for side, length in zip(shape, size, strict=True)
    )
    return top, left, top + size[0], left + size[1]


def _single(sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator) -> rules.Box:
    """One digit."""
    return _alone(sheet, _digit(bank, rng), hand, rng, is_number=True)


def _other(sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator) -> rules.Box:
    """One thing that is not a digit."""
    return _alone(sheet, bank.others[rng.integers(len(bank.others))], hand, rng, is_number=False)


def _alone(sheet: Sheet, ink: Ink, hand: Pen, rng: np.random.Generator, *, is_number: bool) -> rules.Box:
    h, w = sheet.shape
    smallest = min(0.6, max(0.25, LEGIBLE_PX / h))
    height, width = _size(ink, h * log_uniform(smallest, 0.93, rng), rng)
    shrink = min(1.0, 0.95 * w / width)
    box = _place(sheet.shape, (height * shrink, width * shrink), rng)
    turn_deg = 0.0 if rng.random() < 0.35 else float(np.clip(rng.normal(0, 5), -14, 14))
    sheet.put(ink, box, hand, rng, is_number=is_number, turn_deg=turn_deg)
    return box


def _neighbours(sheet: Sheet, box: rules.Box, bank: Bank, hand: Pen, rng: np.random.Generator) -> None:
    """Digits beside, above or below that the border cuts."""
    h, w = sheet.shape
    height = box[2] - box[0]
    for side in rng.choice(4, size=int(rng.choice([1, 2], p=[0.6, 0.4])), replace=False, p=[0.15, 0.35, 0.15, 0.35]):
        is_digit = bool(rng.random() < 0.8)
        ink = _digit(bank, rng) if is_digit else bank.others[rng.integers(len(bank.others))]
        tall, wide = _size(ink, height * float(rng.uniform(0.75, 1.25)), rng)
        inside = float(rng.uniform(0.08, 0.75))
        y = (box[0] + box[2] - tall) / 2 + float(rng.normal(0, 0.15)) * height
        x = (box[1] + box[3] - wide) / 2 + float(rng.normal(0, 0.15)) * height
        gap = 0.04 * height
        top, left = (
            (min(inside * tall, box[0] - gap) - tall, x),
            (y, w - min(inside * wide, w - box[3] - gap)),
            (h - min(inside * tall, h - box[2] - gap), x),
            (y, min(inside * wide, box[1] - gap) - wide),
        )[side]
        sheet.put(ink, (top, left, top + tall, left + wide), hand, rng, is_number=is_digit)


def _intruders(sheet: Sheet, box: rules.Box, bank: Bank, hand: Pen, rng: np.random.Generator) -> None:
    """Pieces of the digits before and behind one that fills the sheet."""
    w = sheet.shape[1]
    for is_left in (True, False):
        if rng.random() < 0.35:
            continue
        ink = _digit(bank, rng)
        tall, wide = _size(ink, (box[2] - box[0]) * float(rng.uniform(0.8, 1.2)), rng)
        top = (box[0] + box[2] - tall) / 2 + float(rng.normal(0, 0.08)) * tall
        inside = min(float(rng.uniform(*INTRUDES)) * w, 0.5 * wide)
        left = inside - wide if is_left else w - inside
        sheet.put(ink, (top, left, top + tall, left + wide), hand, rng, is_number=True)


def _tight(sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator) -> rules.Box:
    """One digit that fills the sheet; the sheet's shape decides which digit."""
    h, w = sheet.shape
    inks = [_digit(bank, rng) for _ in range(TIGHT_TRIES)]
    ink = min(inks, key=lambda ink: abs(np.log(aspect(ink) * h / w)))
    return _fill(sheet, ink, hand, rng)


def _fill(sheet: Sheet, ink: Ink, hand: Pen, rng: np.random.Generator) -> rules.Box:
    """One thing that fills the sheet, or is cut by its borders."""
    h, w = sheet.shape
    common = float(rng.choice([rng.uniform(-0.06, 0.02), rng.uniform(0, 0.14)]))
    margins = common + rng.normal(0, 0.012, 4)
    # The ink's height is h / (1 + both margins); its width has the margins of the height, too.
    height = h / (1 + margins[0] + margins[1])
    width = max(0.15 * w, w - (margins[2] + margins[3]) * height)
    natural = height * aspect(ink)
    if width > 1.5 * natural:  # a narrow digit in a wide sheet
        width = 1.3 * natural
    if natural > 1.5 * width:
        height = max(0.3 * h, height * 1.3 * width / natural)
    box = (
        (h - height) / 2 + (margins[0] - margins[1]) / 2 * height,
        (w - width) / 2 + (margins[2] - margins[3]) / 2 * height,
    )
    place = (box[0], box[1], box[0] + height, box[1] + width)
    sheet.put(ink, place, hand, rng, is_number=True)
    return place


def _empty(sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator) -> rules.Box:  # noqa: ARG001
    """Nothing; the place where a digit could be."""
    h, w = sheet.shape
    height = h * float(rng.uniform(0.3, 0.95))
    return _place(sheet.shape, (height, min(w, height * float(rng.uniform(0.4, 1.0)))), rng)


def _row(
    sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator, *, lowest: float = 0.3, highest: float = 0.9
) -> rules.Box:
    """One or more rows of two to nine digits, with signs between them, touching or far apart."""
    h, w = sheet.shape
    height = h * log_uniform(lowest, highest, rng)
    count = int(rng.integers(2, 10))
    height = min(height, 1.6 * w / count)
    rows = 1 if rng.random() < 0.75 else max(1, min(4, int(h / height / 1.3)))
    print_row = rng.random() < 0.2
    pitch = float(
        rng.choice([rng.uniform(-0.1, 0.12), rng.uniform(0.1, 0.4), rng.uniform(0.4, 1.6)], p=[0.35, 0.45, 0.2])
    )
    top = (h - rows * 1.3 * height) / 2 + float(rng.normal(0, 0.1)) * h
    box: rules.Box = (h, w, 0.0, 0.0)
    for row in range(rows):
        x = float(rng.uniform(0.0, 0.25)) * w
        for _ in range(count):
            inks = bank.prints if print_row else bank.digits
            is_sign = rng.random() < 0.12
            ink = bank.signs[rng.integers(len(bank.signs))] if is_sign else inks[rng.integers(len(inks))]
            tall, wide = _size(ink, height * float(rng.uniform(0.88, 1.12)), rng)
            y = top + row * 1.35 * height + float(rng.normal(0, 0.05)) * height
            if is_sign:  # signs are smaller; a point stands on the line
                is_point = max(ink.cover.shape) <= POINT_PX
                share = float(rng.uniform(0.08, 0.25) if is_point else rng.uniform(0.35, 0.7))
                tall, wide = share * tall, share * wide
                y += (height - tall) * float(rng.uniform(0.4, 1.0))
            if x + wide > 1.02 * w:
                break
            place = (y, x, y + tall, x + wide)
            sheet.put(ink, place, hand, rng, is_number=True, turn_deg=float(np.clip(rng.normal(0, 3), -9, 9)))
            box = (min(box[0], y), min(box[1], x), max(box[2], y + tall), max(box[3], x + wide))
            x += wide + max(pitch + float(rng.normal(0, 0.06)), -0.15) * height
    return box if box[2] > box[0] else _empty(sheet, bank, hand, rng)


def _page(sheet: Sheet, bank: Bank, hand: Pen, rng: np.random.Generator) -> rules.Box:
    """Small writing on a large page: a digit, or rows."""
    h = sheet.shape[0]
    if rng.random() < 0.5:
        return _row(sheet, bank, hand, rng, lowest=8 / h, highest=min(0.5, 32 / h))
    ink = _digit(bank, rng)
    height = min(0.6 * h, log_uniform(8, 40, rng))
    size = _size(ink, height, rng)
    top, left = (float(rng.uniform(0, max(1.0, side - length))) for side, length in zip(sheet.shape, size, strict=True))
    box = (top, left, top + size[0], left + size[1])
    sheet.put(ink, box, hand, rng, is_number=True)
    return box


def _words(sheet: Sheet, box: rules.Box, hand: Pen, rng: np.random.Generator) -> None:
    """Printed words beside what is written, not on it; sometimes several lines of them."""
    h, w = sheet.shape
    height = log_uniform(6, max(8.0, 0.35 * h), rng)
    for _ in range(int(rng.choice([1, 2, 6], p=[0.6, 0.25, 0.15]))):
        ink = word(rng, round(height))
        tall, wide = height, height * aspect(ink)
        top, left = float(rng.uniform(-0.4 * tall, h)), float(rng.uniform(-0.5 * wide, w))
        if top < box[2] + 2 and top + tall > box[0] - 2 and left < box[3] + 2 and left + wide > box[1] - 2:
            continue
        sheet.put(ink, (top, left, top + tall, left + wide), hand, rng, is_number=False)


def _specks(sheet: Sheet, rng: np.random.Generator) -> None:
    """Dust, blots and scratches: marks of a few pixels, or larger."""
    if rng.random() < 0.4:
        specks = _scratches(sheet.shape, rng)
    else:
        share = log_uniform(3e-4, 0.01, rng)
        specks = np.asarray(rng.random(sheet.shape) < share, np.float32)
        if rng.random() < 0.5:
            sigma = log_uniform(0.5, max(1.0, 0.03 * min(sheet.shape)), rng)
            specks = np.asarray(np.clip(blots(specks, sigma) - 0.3, 0, 1), np.float32)
    specks *= np.float32(rng.uniform(0.2, 1))
    free = sheet.number < 0.1
    sheet.dark = np.maximum(sheet.dark, specks)
    sheet.other = np.where(free, np.maximum(sheet.other, specks), sheet.other)


def _scratches(shape: Shape, rng: np.random.Generator) -> Map:
    """A few fine lines at any angle: scratches, hairs, creases."""
    cover = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        (y, x), angle = rng.uniform((0, 0), shape), rng.uniform(0, np.pi)
        length = log_uniform(*SCRATCH, rng) * min(shape)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        cover = over(cover, segment(shape, (x, y), end, float(rng.uniform(0.8, 2.5))))
    return cover


_WRITE = {"single": _single, "tight": _tight, "empty": _empty, "row": _row, "page": _page, "other": _other}
