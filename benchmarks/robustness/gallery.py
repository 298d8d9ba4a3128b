"""Write `docs/gallery.md`: hard images, what the preprocessing makes of them, what the default model predicts, and why.

In: nothing but fixed seeds and the default model. Out: the page and its sheets in `docs/gallery/`; with `--check`
nothing is written, and the exit code is 1 if they are stale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import machine, pages
from benchmarks.common.tables import row, table
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import ink_box
from inkdigit.report.sheet import sheet
from inkdigit.synth import drawn, printed, writers
from inkdigit.synth.raster import Map
from inkdigit.synth.scenes.pens import word
from inkdigit.types import Gray, Prediction

PAGE = machine.ROOT / "docs" / "gallery.md"
SIDE = 240  # pixels
COLOURS = 64  # of a sheet, to keep it small
GRAYS = 16  # of the sheet of writers
WRITERS, WRITERS_SIDE_BY_SIDE = 40, 2  # invented hands
WRITERS_SEED = 1_900_000_051  # no training uses it
DIGIT_PX, GAP_PX = 40, 24  # of the writers' digits, and between two writers side by side


@dataclass(frozen=True, slots=True)
class Hard:
    """One hard image: what it shows, and the label that it should get; None where it should be rejected."""

    what: str
    image: Gray
    label: str | None


def ink(label: int, seed: int, *, size_px: int = 150, thickness: float = 0.09) -> Map:
    """A digit by hand, (SIDE, SIDE), 0 to 1, in the middle."""
    return place(drawn.digit(label, rng=np.random.default_rng(seed), size_px=size_px, thickness=thickness))


def place(ink: Gray, *, top: int | None = None, left: int | None = None) -> Map:
    """Ink on an empty square, in the middle by default: (SIDE, SIDE), 0 to 1."""
    h, w = ink.shape
    top, left = (SIDE - h) // 2 if top is None else top, (SIDE - w) // 2 if left is None else left
    square = np.zeros((SIDE, SIDE), np.float32)
    square[top : top + h, left : left + w] = ink / np.float32(255)
    return square


def on(paper: Map | float, cover: Map, *, pen: float = 0.2, grain: float = 0.015, seed: int = 0) -> Gray:
    """Ink of brightness `pen` on paper, with the camera's grain: uint8 (SIDE, SIDE)."""
    noise = np.random.default_rng(seed).normal(0, grain, cover.shape)
    return np.rint(np.clip(paper * (1 - cover) + pen * cover + noise, 0, 1) * 255).astype(np.uint8)


def shade() -> Map:
    """Light from one side, and the shadow of a hand: (SIDE, SIDE)."""
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    hand = 1 / (1 + np.exp(-(x + 0.6 * y - 0.9) * 22))
    return np.asarray(0.95 - 0.2 * y - 0.4 * hand, np.float32)


def rules(*, squared: bool) -> Map:
    """The lines of ruled or squared paper: (SIDE, SIDE), 0 to 1."""
    lines = (np.arange(SIDE) % 30 < 2).astype(np.float32)
    return np.maximum(lines[:, None], lines[None, :]) if squared else np.repeat(lines[:, None], SIDE, 1)


def box(inset: int, width: int = 3) -> Map:
    """A printed box: (SIDE, SIDE), 0 to 1."""
    frame = np.zeros((SIDE, SIDE), np.float32)
    frame[inset : SIDE - inset, inset : SIDE - inset] = 1
    frame[inset + width : SIDE - inset - width, inset + width : SIDE - inset - width] = 0
    return frame


def pencil(cover: Map) -> Map:
    """What rough paper leaves of a pencil's stroke."""
    return np.asarray(cover * np.random.default_rng(1).uniform(0.25, 1, cover.shape), np.float32)


def marks(count: int, seed: int, *, radius: int) -> Map:
    """Specks: (SIDE, SIDE), 0 to 1."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spots = np.random.default_rng(seed).integers(0, SIDE, (count, 2))
    return np.max([(np.hypot(y - a, x - b) <= radius) for a, b in spots], axis=0).astype(np.float32)


def small(label: int, seed: int) -> Gray:
    """A clean 28×28 digit, ink 255 on 0."""
    ink = drawn.digit(label, rng=np.random.default_rng(seed), size_px=112)
    return np.array(Image.fromarray(ink).resize((28, 28), Image.Resampling.BOX))


def paper_and_light() -> list[Hard]:
    """What is around the ink."""
    page = np.full((SIDE, SIDE), 0.9, np.float32)
    page[:, :60] = 0.35
    page[200:] = 0.35
    return [
        Hard("a shadow falls across", on(shade(), ink(3, 1)), "3"),
        Hard("squared paper", on(0.93 - 0.35 * rules(squared=True), ink(8, 2)), "8"),
        Hard("ruled paper, the lines cross the digit", on(0.93 - 0.35 * rules(squared=False), ink(5, 3)), "5"),
        Hard(
            "the edge of the page, and a table",
            on(page, place(drawn.digit(2, rng=np.random.default_rng(4), size_px=150, thickness=0.09), left=75, top=30)),
            "2",
        ),
        Hard("in a printed box", on(0.95, np.maximum(ink(4, 5), box(25))), "4"),
        Hard("specks of dirt", on(0.9, np.maximum(ink(6, 6), marks(25, 3, radius=2))), "6"),
        Hard(
            "a neighbour reaches in",
            on(0.9, np.maximum(ink(9, 7), place(np.full((90, 14), 255, np.uint8), top=80, left=0))),
            "9",
        ),
        Hard(
            "in a corner",
            on(0.92, place(drawn.digit(7, rng=np.random.default_rng(8), size_px=70), top=6, left=160)),
            "7",
        ),
    ]


def pens() -> list[Hard]:
    """What the ink is like."""
    hollow = ink(0, 9, thickness=0.2) - ink(0, 9, thickness=0.11)
    return [
        Hard("a pencil, hardly there", on(0.93, pencil(ink(5, 10, thickness=0.05)), pen=0.72), "5"),
        Hard("a thick marker", on(0.95, ink(8, 11, thickness=0.2), pen=0.1), "8"),
        Hard("a hair line", on(0.95, ink(2, 12, thickness=0.02)), "2"),
        Hard("chalk on a board", on(0.22, pencil(ink(3, 13, thickness=0.1)), pen=0.85, grain=0.03), "3"),
        Hard("hollow", on(0.95, np.clip(hollow, 0, 1)), "0"),
        Hard("printed in a font", on(0.95, place(printed.digit(4, rng=np.random.default_rng(5), size_px=150))), "4"),
        Hard("noise, as at night", on(0.4, ink(6, 14, thickness=0.11), pen=0.12, grain=0.09), "6"),
    ]


def lines(*, left: int | None = None, top: int | None = None, width: int = 5) -> Map:
    """Lines of a table, an upright and a level one: (SIDE, SIDE), 0 to 1."""
    cover = np.zeros((SIDE, SIDE), np.float32)
    if left is not None:
        cover[:, left : left + width] = 1
    if top is not None:
        cover[top : top + width] = 1
    return cover


def tight(image: Gray, cover: Map, margin: float) -> Gray:
    """`image` cut around the ink, with a margin: a share of the ink's height."""
    box = ink_box(cover > 0.5)
    assert box is not None
    rows, columns = box
    more = round(margin * (rows.stop - 1 - rows.start))
    cut = image[rows.start - more : rows.stop + more, columns.start - more : columns.stop + more]
    return np.ascontiguousarray(cut)


def forms_and_cuts() -> list[Hard]:
    """Cells of tables, security print, and digits that are cut tightly."""
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = np.asarray(0.9 - 0.12 * (np.sin((y + 9 * np.sin(x / 31)) / 2.4) > 0.3), np.float32)
    seven, two = ink(7, 30), ink(2, 31)
    cell = np.maximum(lines(left=6, top=4), lines(left=SIDE - 12, width=3))
    apart = np.zeros((90, 620), np.float32)
    for label, left in ((4, 0), (1, 260), (7, 530)):
        apart[:, left : left + 90] = drawn.digit(label, rng=np.random.default_rng(32), size_px=90) / np.float32(255)
    return [
        Hard("cut at the ink", tight(on(0.9, seven), seven, 0), "7"),
        Hard("cut inside the ink", tight(on(0.9, two), two, -0.03), "2"),
        Hard("a cell of a table", on(shade(), np.maximum(0.9 * cell, ink(6, 33))), "6"),
        Hard("an empty cell", on(shade(), 0.9 * cell), None),
        Hard("an empty cell, one line", on(0.9, lines(left=9)), None),
        Hard("security print", on(waves, ink(3, 34)), "3"),
        Hard("nothing but a grid", on(0.93 - 0.5 * rules(squared=True), np.zeros((SIDE, SIDE), np.float32)), None),
        Hard("digits far apart", on(0.9, apart), None),
    ]


def few_pixels() -> list[Hard]:
    """28×28 images that are not clean."""
    rng = np.random.default_rng(6)
    fog = np.asarray(Image.fromarray(rng.random((4, 4)).astype(np.float32)).resize((28, 28), Image.Resampling.BICUBIC))
    salt = small(2, 16)
    salt = np.where(rng.random(salt.shape) < 0.15, rng.integers(0, 2, salt.shape) * 255, salt).astype(np.uint8)
    striped = small(9, 17)
    striped[:, :7], striped[:, 21:] = 255 - striped[:, :7], 255 - striped[:, 21:]
    clear = small(3, 15) / 255
    return [
        Hard(
            "28×28, fog",
            np.rint(255 * np.clip(0.4 + 0.5 * fog + 0.45 * clear * (1 - fog / 2), 0, 1)).astype(np.uint8),
            "3",
        ),
        Hard("28×28, salt and pepper", salt, "2"),
        Hard("28×28, stripes turned over", striped, "9"),
        Hard("28×28, grey paper", np.rint(150 - 70 * (small(4, 18) / 255)).astype(np.uint8), "4"),
    ]


def rejected() -> list[Hard]:
    """What is not a digit, or more than one."""
    rng = np.random.default_rng(20)
    two = np.maximum(
        place(drawn.digit(4, rng=rng, size_px=110), left=5), place(drawn.digit(2, rng=rng, size_px=110), left=120)
    )
    return [
        Hard("a letter by hand", on(0.93, place(drawn.letter("R", rng=rng, size_px=150))), None),
        Hard("a letter in a font", on(0.95, place(printed.letter(rng=rng, size_px=150))), None),
        Hard("a scribble", on(0.93, place(drawn.scribble(rng=rng, size_px=150))), None),
        Hard("a letter of another script", on(0.93, place(drawn.sign("か", rng=rng, size_px=150))), None),
        Hard("a star", on(0.93, place(drawn.shape("star", rng=rng, size_px=150))), None),
        Hard("two digits", on(0.93, two), None),
        Hard("half a digit", np.ascontiguousarray(on(0.93, ink(5, 21))[:, 40:118]), None),
        Hard("bare paper", on(shade(), np.zeros((SIDE, SIDE), np.float32)), None),
        Hard("noise", rng.integers(0, 256, (64, 64)).astype(np.uint8), None),
    ]


def signs_and_words() -> list[Hard]:
    """Greek and mathematical signs, words, and a piece of a photo of things."""
    rng = np.random.default_rng(22)
    signs = [
        ("a delta", "δ"),
        ("a subset sign", "⊂"),
        ("a negation sign", "¬"),
        ("an integral", "∫"),
        ("an arrow", "→"),
        ("a sum", "Σ"),
        ("a percent sign", "%"),
        ("a yen sign", "¥"),
    ]
    return [
        *(Hard(what, on(0.93, place(drawn.sign(sign, rng=rng, size_px=150))), None) for what, sign in signs),
        Hard("a printed word", on(0.95, _fitted(word(rng, 40).cover)), None),
        Hard("a piece of a photo", _flower(), None),
    ]


def _fitted(ink: Gray) -> Map:
    """Ink made small enough for the square, and placed."""
    image = Image.fromarray(ink)
    image.thumbnail((SIDE - 20, SIDE - 20), Image.Resampling.BILINEAR)
    return place(np.asarray(image))


def _flower() -> Gray:
    """A piece of the photo of a flower that ships with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return np.asarray(Image.fromarray(load_sample_image("flower.jpg")).convert("L").crop((200, 80, 440, 320)))


SECTIONS: dict[str, Callable[[], list[Hard]]] = {
    "Paper and light": paper_and_light,
    "Forms and cuts": forms_and_cuts,
    "Pens": pens,
    "Few pixels": few_pixels,
    "What is rejected": rejected,
    "Signs and words": signs_and_words,
}


def hands(model: Recognizer) -> tuple[Image.Image, int]:
    """A sheet of invented writers, each with the ten digits, and how many of them the model reads right."""
    rows, right = [], 0
    for number in range(WRITERS):
        rng = np.random.default_rng([WRITERS_SEED, number])
        hand = writers.writer(rng)
        images = [writers.write(hand, label, rng=rng, size_px=DIGIT_PX) for label in range(10)]
        answers = model.predict([np.pad(image, 4) for image in images])
        right += sum(answer.label == str(label) for label, answer in enumerate(answers))
        rows.append(255 - np.hstack(images))
    gap = np.full((DIGIT_PX, GAP_PX), 255, np.uint8)
    beside = [rows[i : i + WRITERS_SIDE_BY_SIDE] for i in range(0, WRITERS, WRITERS_SIDE_BY_SIDE)]
    return Image.fromarray(
        np.vstack([np.hstack([row for one in some for row in (one, gap)][:-1]) for some in beside])
    ), right


def files(_folder: Path, page: Path) -> pages.Files:
    """The page and its sheets."""
    model = Recognizer.load()
    sections, sheets = [], {}
    for title, draw in SECTIONS.items():
        hard = draw()
        answers = model.predict([example.image for example in hard])
        name = f"{title.lower().replace(' ', '-')}.png"
        entries = [
            (Path(example.what), decode(example.image), answer) for example, answer in zip(hard, answers, strict=True)
        ]
        sheets[name] = _png(sheet(entries, kind=model.prepare), COLOURS)
        rows = [_row(example, answer) for example, answer in zip(hard, answers, strict=True)]
        sections.append({"title": title, "table": table(["image", "is", "prediction", "right"], rows), "sheet": name})
    image, right = hands(model)
    sheets["writers.png"] = _png(image, GRAYS)
    values = {"model": model.name, "sections": sections, "folder": page.stem, "writers": WRITERS, "right": right}
    return pages.beside(page, pages.render("robustness/gallery.md.j2", values), sheets)


def _png(image: Image.Image, colours: int) -> bytes:
    """A small PNG of an image, with so many colours."""
    file = BytesIO()
    image.quantize(colours).save(file, "PNG", optimize=True)
    return file.getvalue()


def _row(hard: Hard, answer: Prediction) -> str:
    shown = answer.reason if answer.label is None else f"{answer.label}, {answer.sureness}"
    expected = "to be rejected" if hard.label is None else hard.label
    return row(hard.what, expected, shown, "yes" if answer.label == hard.label else "**no**")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.robustness.gallery", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
