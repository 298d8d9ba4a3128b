"""Draw the example pictures of numbers: `python examples/draw_numbers.py [FOLDER]`.

In: fixed random seeds; the free fonts of the `train` extra. Out: pictures in FOLDER, by default
`numbers/` beside this script, and `form.toml`, the fields of the form: an amount on a cheque, a date on ruled
paper, a field of boxes, a sudoku and a form, as a person would scan or photograph them. Each run draws the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from draw import BLACK_INK, BLUE_INK, CREAM, WHITE, Cover, Paint, clouds, lay, surface, uneven
from inkdigit.picture.prepare import tight
from inkdigit.synth.printed import font_files, opened
from inkdigit.synth.writers import FORMS, Writer, write

Corners = Sequence[tuple[float, float]]  # x and y of the top left, top right, bottom right, bottom left
Box = tuple[float, float, float, float]  # left, top, right, bottom

EDGE_PX = 8  # around a page that is seen from the side
FINER = 4  # times: how much finer ruled lines and signs are drawn than they are shown
JPEG_QUALITY = 84
GREEN_PRINT, GREY_PRINT, RED_PRINT, BLUE_RULE = (196, 222, 204), (120, 124, 130), (222, 120, 110), (150, 176, 208)
DESK, NEWSPRINT = (104, 78, 56), (226, 221, 209)

CHEQUE_HAND = (2, 4, 1, 0, 1, 1, 2, 1, 0, 1)  # the form of each digit, by `FORMS`
LETTER_HAND = (1, 2, 4, 4, 3, 2, 3, 0, 9, 0)
FORM_HAND = (0, 5, 2, 1, 5, 6, 8, 5, 4, 6)
PUZZLE_HAND = (8, 12, 8, 7, 4, 8, 4, 6, 10, 13)

PUZZLE = (  # printed digits, those by hand in letters: a is 1, i is 9; a dot is empty
    "cigbe.a..",
    "e8b.6a.37",
    "6a4g39he2",
    "a...i4g83",
    "h73...49f",
    "94..h..a5",
    "d.a9g6.28",
    "76i82c.4.",
    "2c8a456..",
)


@dataclass(frozen=True)
class Field:
    """A field of the form: its name, its label in print, what is written in it, and what may be written there."""

    name: str
    label: str
    text: str
    box: Box  # in shares of the page
    expect: str | None = None
    alphabet: str | None = None


FIELDS = (
    Field("amount", "Amount", "348,50", (0.36, 0.30, 0.92, 0.45), expect="[0-9.]+,[0-9]{2}"),
    Field("date", "Date", "07.11.2026", (0.36, 0.50, 0.92, 0.65), alphabet="0-9."),
    Field("customer number", "Customer no.", "2041963", (0.36, 0.70, 0.92, 0.85), expect="[0-9]{7}"),
)


def hand(forms: Sequence[int], *, slant_deg: float, thickness: float, jitter: float = 0.012) -> Writer:
    """A writer with these forms of the ten digits."""
    glyphs = tuple(FORMS[label][form] for label, form in enumerate(forms))
    return Writer(glyphs, slant_deg, turn_deg=0.0, aspect=0.95, thickness=thickness, speed=0.25, jitter=jitter)


def digit(writer: Writer, label: int, height: int, rng: np.random.Generator) -> Cover:
    """One digit of a writer, so many pixels high and tight."""
    ink = Image.fromarray(tight(write(writer, label, rng=rng, size_px=2 * height)))
    width = max(2, round(ink.width * height / ink.height))
    return np.asarray(ink.resize((width, height), Image.Resampling.LANCZOS), np.float64) / 255


def sign(name: str, height: int, pen_px: float, rng: np.random.Generator) -> tuple[Cover, float]:
    """A sign of a number beside digits of a height, and how far below their top it begins, in pixels."""
    lines = {
        ".": ([(0.0, 0.93), (0.03, 0.96)], 1.25),
        ",": ([(0.09, 0.9), (0.1, 0.98), (0.0, 1.14)], 1.0),
        "-": ([(0.0, 0.56), (0.25, 0.55), (0.52, 0.53)], 1.0),
        "/": ([(0.36, -0.06), (0.18, 0.5), (0.0, 1.06)], 0.95),
    }
    points, broad = lines[name]
    moved = [(x + rng.normal(0, 0.008), y + rng.normal(0, 0.008)) for x, y in points]
    radius = pen_px * broad / 2
    room, top = radius + 2, min(y for _, y in moved) * height
    width, tall = max(x for x, _ in moved) * height, max(y for _, y in moved) * height - top
    sheet = Image.new("L", (round((width + 2 * room) * FINER), round((tall + 2 * room) * FINER)))
    pen = ImageDraw.Draw(sheet)
    dots = [((x * height + room) * FINER, (y * height - top + room) * FINER) for x, y in moved]
    pen.line(dots, 255, round(2 * radius * FINER), joint="curve")
    for x, y in dots:
        pen.circle((x, y), radius * FINER, 255)
    size = max(1, sheet.width // FINER), max(1, sheet.height // FINER)
    return np.asarray(sheet.resize(size, Image.Resampling.BOX), np.float64) / 255, top - room


def put(sheet: Cover, ink: Cover, left: float, top: float) -> None:
    """Add ink to a sheet; what is outside is lost."""
    y, x = round(top), round(left)
    part = sheet[max(0, y) : max(0, y + ink.shape[0]), max(0, x) : max(0, x + ink.shape[1])]
    np.maximum(part, ink[max(0, -y) :, max(0, -x) :][: part.shape[0], : part.shape[1]], out=part)


def number(
    sheet: Cover,
    text: str,
    writer: Writer,
    rng: np.random.Generator,
    *,
    left: float,
    top: float,
    height: int,
    gap: float = 0.14,
    rise: float = 0.0,
) -> float:
    """Write a number on a sheet, its digits so many pixels high; the end of it is returned."""
    pen_px, x = 1.45 * writer.thickness * height, left
    for character in text:
        tall = round(height * (1 + rng.normal(0, 0.03)))
        if character.isdigit():
            ink, down = digit(writer, int(character), tall, rng), float(height - tall)
        else:
            ink, down = sign(character, height, pen_px, rng)
        put(sheet, ink, x, top + down + rng.normal(0, 0.015) * height - rise * (x - left))
        x += ink.shape[1] + (gap + rng.normal(0, 0.03)) * height
    return x


def ruled(height: int, width: int, lines: Sequence[tuple[float, float, float, float]], *, pen_px: float) -> Cover:
    """Straight lines from x, y to x, y."""
    sheet = Image.new("L", (width * FINER, height * FINER))
    for line in lines:
        ImageDraw.Draw(sheet).line([side * FINER for side in line], 255, max(1, round(pen_px * FINER)))
    return np.asarray(sheet.resize((width, height), Image.Resampling.BOX), np.float64) / 255


def boxed(box: Box) -> list[tuple[float, float, float, float]]:
    """The four sides of a box."""
    left, top, right, bottom = box
    return [
        (left, top, right, top),
        (right, top, right, bottom),
        (right, bottom, left, bottom),
        (left, bottom, left, top),
    ]


def print_text(
    sheet: Cover, text: str, *, left: float, middle: float, size: int, font: str, centred: bool = False
) -> None:
    """Print a text on a sheet; `middle` is its height, and with `centred` also its left is its middle."""
    (file,) = (file for file in font_files() if file.stem == font)
    image = Image.new("L", sheet.shape[::-1])
    ImageDraw.Draw(image).text((left, middle), text, 255, opened(file, size), anchor="mm" if centred else "lm")
    np.maximum(sheet, np.asarray(image, np.float64) / 255, out=sheet)


def seen_from(paint: Paint, corners: Corners, height: int, width: int) -> tuple[Paint, Cover]:
    """A page (h, w, 3) whose corners are at these places of a picture (height, width), and where it is."""
    h, w = paint.shape[:2]
    low, right, bottom = EDGE_PX, w + EDGE_PX, h + EDGE_PX  # the page gets an edge, so that its border is as light
    rows = []
    for (x, y), (u, v) in zip(corners, ((low, low), (right, low), (right, bottom), (low, bottom)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]]
    system = np.array(rows, np.float64)
    data = tuple(np.linalg.solve(system[:, :8], system[:, 8]))
    wide = np.pad(np.rint(np.clip(paint, 0, 255)), ((low, low), (low, low), (0, 0)), mode="edge").astype(np.uint8)
    page = Image.fromarray(wide).transform((width, height), Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC)
    mask = Image.new("L", (width * FINER, height * FINER))
    ImageDraw.Draw(mask).polygon([(x * FINER, y * FINER) for x, y in corners], 255)
    where = np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float64) / 255
    return np.asarray(page, np.float64), where


def softly(cover: Cover, radius_px: float) -> Cover:
    """A cover whose edges are blurred."""
    image = Image.fromarray(np.rint(255 * cover).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius_px)), np.float64) / 255


def scanned(paint: Paint, *, blur_px: float = 0.6) -> Image.Image:
    """A scan; a small palette makes a small file."""
    image = taken(paint, blur_px=blur_px)
    return image.quantize(64, Image.Quantize.MEDIANCUT, kmeans=6, dither=Image.Dither.NONE)


def taken(paint: Paint, *, blur_px: float) -> Image.Image:
    """The photo of a scene, in full colour."""
    image = Image.fromarray(np.rint(np.clip(paint, 0, 255)).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(blur_px))


def amount(rng: np.random.Generator) -> Image.Image:
    """The amount of a cheque: security paper with fine waves, an underline, blue ballpoint."""
    height, width = 220, 640
    y, x = np.indices((height, width), np.float64)
    waves = np.zeros((height, width))
    for turn in (0, np.pi):  # two families of waves that cross each other
        phase = (y + 16 * np.sin(x / 30 + turn) + 5 * np.sin(x / 13 - turn)) * 2 * np.pi / 15
        waves = np.maximum(waves, np.clip(3 * np.cos(phase) - 2, 0, 1))
    paper = lay(surface(rng, height, width, (238, 243, 235), grain=1.2, shade=18), 0.85 * waves, GREEN_PRINT)
    rule = ruled(height, width, [(30, 182, 610, 182)], pen_px=2)
    ink = np.zeros((height, width))
    writer = hand(CHEQUE_HAND, slant_deg=10, thickness=0.05)
    number(ink, "1.250,-", writer, rng, left=90, top=62, height=104, gap=0.16, rise=0.02)
    paint = lay(lay(paper, 0.75 * rule, GREY_PRINT), 0.93 * uneven(ink, rng, step_px=5, amount=0.06), BLUE_INK)
    return scanned(paint)


def date(rng: np.random.Generator) -> Image.Image:
    """A date in pen on ruled paper with a red margin."""
    height, width = 240, 680
    paper = surface(rng, height, width, CREAM, grain=1.3, shade=22)
    lines = [(0, y, width, y + 4) for y in (24, 104, 184)]
    paper = lay(paper, 0.8 * ruled(height, width, lines, pen_px=1.6), BLUE_RULE)
    paper = lay(paper, 0.7 * ruled(height, width, [(64, 0, 62, height)], pen_px=1.8), RED_PRINT)
    ink = np.zeros((height, width))
    writer = hand(LETTER_HAND, slant_deg=6, thickness=0.055)
    number(ink, "14/03/2026", writer, rng, left=98, top=108, height=70, gap=0.15)
    return scanned(lay(paper, 0.94 * uneven(ink, rng, step_px=6, amount=0.05), BLACK_INK))


def comb(rng: np.random.Generator) -> Image.Image:
    """Eight boxes of a form with a digit in each."""
    height, width, side, left, top = 190, 760, 78, 68, 70
    paper = surface(rng, height, width, WHITE, grain=0.8, shade=14)
    teeth = [(left + i * side, top, left + i * side, top + 84) for i in range(9)]
    rule = ruled(height, width, [*boxed((left, top, left + 8 * side, top + 84)), *teeth], pen_px=2)
    print_text(rule, "Meter number", left=left, middle=44, size=25, font="SourceSansPro-Regular")
    ink = np.zeros((height, width))
    writer = hand(FORM_HAND, slant_deg=4, thickness=0.06)
    for i, label in enumerate("30761529"):
        one = digit(writer, int(label), round(58 + rng.normal(0, 2)), rng)
        at = left + (i + 0.5) * side + rng.normal(0, 3) - one.shape[1] / 2
        put(ink, one, at, top + 42 + rng.normal(0, 2.5) - one.shape[0] / 2)
    paint = lay(lay(paper, 0.85 * rule, (216, 112, 84)), 0.95 * uneven(ink, rng, step_px=5, amount=0.05), BLACK_INK)
    return scanned(paint)


def sudoku(rng: np.random.Generator) -> Image.Image:
    """A sudoku of a newspaper, half filled in, photographed from a little aside in a soft shadow."""
    height, width, cell, left, top = 1200, 1100, 96, 118, 164
    paper = surface(rng, height, width, NEWSPRINT, grain=2.2, shade=6)
    across, down = ([start + i * cell for i in range(10)] for start in (left, top))
    lines = [(x, down[0], x, down[-1]) for x in across] + [(across[0], y, across[-1], y) for y in down]
    thick = [line for i, line in enumerate(lines) if i % 10 % 3 == 0]
    prints = np.maximum(*(ruled(height, width, some, pen_px=px) for some, px in ((lines, 3.4), (thick, 6.5))))
    print_text(prints, "Sudoku", left=left, middle=112, size=52, font="STIXGeneralBol")
    print_text(prints, "medium", left=across[-1] - 118, middle=116, size=38, font="STIXGeneralItalic")
    print_text(
        prints, "The solution is on the last page.", left=left, middle=down[-1] + 44, size=34, font="STIXGeneral"
    )
    ink = np.zeros((height, width))
    writer = hand(PUZZLE_HAND, slant_deg=7, thickness=0.06)
    for i, row in enumerate(PUZZLE):
        for j, what in enumerate(row):
            x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
            if what.isdigit():
                print_text(prints, what, left=x, middle=y, size=64, font="DejaVuSerif", centred=True)
            elif what != ".":
                one = digit(writer, ord(what) - ord("a") + 1, round(57 + rng.normal(0, 2)), rng)
                put(ink, one, x + rng.normal(0, 4) - one.shape[1] / 2, y + rng.normal(0, 3) - one.shape[0] / 2)
    paint = lay(paper, 0.86 * prints, (44, 42, 44))
    paint = lay(paint, 0.9 * uneven(ink, rng, step_px=6, amount=0.08), BLUE_INK)
    size = 900
    page, _ = seen_from(paint, ((-38, -44), (925, -20), (968, 975), (-78, 940)), size, size)  # fills the picture
    slope = np.linspace(0, 1, size)
    light = 1.02 - 0.2 * slope[None, :] * (1 - 0.5 * slope[:, None])
    shade = 1 / (1 + np.exp((slope[:, None] * 0.8 + slope[None, :] * 0.6 - 0.42) * 16))  # of the hand with the phone
    scene = page * (light * (1 - 0.34 * shade))[..., None]
    return taken(scene + rng.normal(0, 1.6, (size, size, 1)), blur_px=0.9)


def form(rng: np.random.Generator) -> Image.Image:
    """A form on a desk, seen slightly from the side."""
    height, width = 700, 1000
    paper = surface(rng, height, width, (244, 243, 238), grain=1.2, shade=14)
    rule, ink = np.zeros((height, width)), np.zeros((height, width))
    print_text(rule, "Refund request", left=70, middle=82, size=50, font="SourceSansPro-Black")
    print_text(
        rule,
        "Please write clearly and stay inside the boxes.",
        left=72,
        middle=138,
        size=25,
        font="SourceSansPro-Light",
    )
    writer = hand(FORM_HAND, slant_deg=8, thickness=0.055)
    for field in FIELDS:
        left, top, right, bottom = (
            share * side for share, side in zip(field.box, (width, height, width, height), strict=True)
        )
        rule = np.maximum(rule, ruled(height, width, boxed((left, top, right, bottom)), pen_px=2.2))
        middle = (top + bottom) / 2
        print_text(rule, field.label, left=72, middle=middle, size=36, font="SourceSansPro-Regular")
        number(ink, field.text, writer, rng, left=left + 30, top=middle - 30 + rng.normal(0, 3), height=60, gap=0.16)
    print_text(rule, "F 112 / a", left=828, middle=662, size=22, font="SourceSansPro-Light")
    paint = lay(lay(paper, 0.85 * rule, (58, 66, 74)), 0.92 * uneven(ink, rng, step_px=5, amount=0.06), BLUE_INK)
    size = 820, 1100
    page, where = seen_from(paint, ((118, 84), (1010, 56), (1042, 742), (66, 712)), *size)
    streaks = clouds(rng, size[0] * 6, size[1] // 10, step_px=14)[::6].repeat(10, axis=1)[:, : size[1]]
    desk = surface(rng, *size, DESK, grain=1.5, shade=14) + 5 * softly(np.clip(0.5 + 0.2 * streaks, 0, 1), 2)[..., None]
    shadow = softly(np.roll(where, (14, 10), (0, 1)), 12)
    scene = desk * (1 - 0.5 * shadow)[..., None]
    scene = scene * (1 - where[..., None]) + where[..., None] * page
    light = np.linspace(1.03, 0.84, size[1])[None, :] * np.linspace(1, 0.95, size[0])[:, None]
    return taken(scene * light[..., None] + rng.normal(0, 1.2, (*size, 1)), blur_px=0.7)


def fields() -> str:
    """The fields of the form, as `inkdigit read --fields` takes them."""
    parts = ["# The fields of form.jpg: each box is left, top, right, bottom, in shares of the page.\n"]
    for field in FIELDS:
        name = field.name if field.name.isalnum() else f'"{field.name}"'
        lines = [f"[{name}]", f"box = [{', '.join(f'{share:g}' for share in field.box)}]"]
        lines += [f"expect = '{field.expect}'"] * (field.expect is not None)
        lines += [f'alphabet = "{field.alphabet}"'] * (field.alphabet is not None)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


NUMBERS: dict[str, tuple[Callable[[np.random.Generator], Image.Image], int]] = {  # file → how it is drawn, random seed
    "amount.png": (amount, 1),
    "date.png": (date, 2),
    "comb.png": (comb, 3),
    "sudoku.jpg": (sudoku, 4),
    "form.jpg": (form, 5),
}


def draw(name: str) -> Image.Image:
    """The picture of one of `NUMBERS`."""
    make, seed = NUMBERS[name]
    return make(np.random.default_rng(seed))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NUMBERS:
        how: dict[str, Any] = {"quality": JPEG_QUALITY} if name.endswith(".jpg") else {}
        draw(name).save(folder / name, optimize=True, **how)
        print(folder / name)
    (folder / "form.toml").write_text(fields(), encoding="utf-8")
    print(folder / "form.toml")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "numbers")
