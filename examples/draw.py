"""Draw the example images: `python examples/draw.py [FOLDER]`.

In: fixed random seeds. Out: `<label>-<what>.png` in FOLDER, by default the folder of this script: handwritten digits
on paper, board and screen, as a person would photograph, scan or draw them. Each run draws the same images.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inkdigit.synth.drawn import digit

Colour = tuple[int, int, int]
Cover = NDArray[np.float64]  # (H, W): 0 bare, 1 full of ink
Paint = NDArray[np.float64]  # (H, W, 3): 0 to 255

WHITE, CREAM, GREY = (246, 246, 242), (250, 241, 219), (214, 210, 202)
BLUE_INK, BLACK_INK, RED_FELT, GREEN_FELT = (28, 48, 132), (36, 34, 38), (206, 38, 46), (0, 120, 84)


def written(label: int, rng: np.random.Generator, side: int, *, thickness: float, variant: int) -> Cover:
    """One digit in an unsteady handwriting, (side, side)."""
    ink = digit(label, rng=rng, size_px=side, thickness=thickness, variant=variant, jitter=0.03)
    return ink / 255.0


def place(cover: Cover, height: int, width: int, *, top: int, left: int) -> Cover:
    """The digit on an empty sheet (height, width)."""
    sheet = np.zeros((height, width))
    sheet[top : top + cover.shape[0], left : left + cover.shape[1]] = cover
    return sheet


def clouds(rng: np.random.Generator, height: int, width: int, *, step_px: float) -> Cover:
    """Smooth noise with mean 0 and a deviation of about 1, with blots `step_px` wide."""
    coarse = rng.normal(0, 1, (int(height / step_px) + 3, int(width / step_px) + 3)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float64)


def surface(rng: np.random.Generator, height: int, width: int, colour: Colour, *, grain: float, shade: float) -> Paint:
    """Paper or board: a colour with fibres of `grain` gray levels, `shade` levels darker towards the lower right."""
    fibres = 0.6 * clouds(rng, height, width, step_px=2) + 0.8 * clouds(rng, height, width, step_px=40)
    slope = np.linspace(0, 1, height)[:, None] * 0.6 + np.linspace(0, 1, width)[None, :] * 0.4
    return np.array(colour) + (grain * fibres - shade * slope)[..., None]


def lay(paint: Paint, cover: Cover, colour: Colour) -> Paint:
    """Cover the surface with ink of one colour."""
    return paint + cover[..., None] * (np.array(colour) - paint)


def photo(paint: Paint, *, blur_px: float = 0.7, colours: int = 48) -> Image.Image:
    """The photo of a surface; a small palette makes a small file."""
    image = Image.fromarray(np.rint(np.clip(paint, 0, 255)).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(blur_px))
    return image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def rough(cover: Cover, rng: np.random.Generator, *, edge_px: float, step_px: float) -> Cover:
    """Dry chalk or lead, which crumbles at the edges and leaves pits bare."""
    blurred = Image.fromarray(cover.astype(np.float32) * 255).convert("L").filter(ImageFilter.GaussianBlur(edge_px))
    grit = clouds(rng, *cover.shape, step_px=step_px)
    return np.clip(2.2 * (np.asarray(blurred) / 255 * (1 + 0.45 * grit) - 0.35), 0, 1)


def uneven(cover: Cover, rng: np.random.Generator, *, step_px: float, amount: float) -> Cover:
    """Ink that does not flow evenly: up to `amount` of it is missing in places."""
    return cover * np.clip(1 - amount + amount * clouds(rng, *cover.shape, step_px=step_px), 1 - 2 * amount, 1)


def ballpoint(rng: np.random.Generator) -> Image.Image:
    ink = place(written(7, rng, 340, thickness=0.04, variant=1), 420, 380, top=40, left=20)
    paper = surface(rng, 420, 380, WHITE, grain=2.5, shade=60)
    return photo(lay(paper, 0.92 * uneven(ink, rng, step_px=5, amount=0.07), BLUE_INK))


def chalk(rng: np.random.Generator) -> Image.Image:
    line = place(written(3, rng, 380, thickness=0.085, variant=0), 420, 420, top=20, left=20)
    board = surface(rng, 420, 420, (38, 68, 56), grain=4, shade=12)
    wiped = np.clip(0.06 * clouds(rng, 420, 420, step_px=90), 0, 0.2)  # left by the sponge
    return photo(lay(lay(board, wiped, WHITE), 0.93 * rough(line, rng, edge_px=2.5, step_px=2.2), WHITE))


def pencil(rng: np.random.Generator) -> Image.Image:
    line = place(written(6, rng, 300, thickness=0.045, variant=2), 360, 320, top=30, left=10)
    line *= np.clip(0.85 + 0.12 * clouds(rng, 360, 320, step_px=1.8), 0.4, 1)  # graphite stays on the top of fibres
    paper = surface(rng, 360, 320, WHITE, grain=3, shade=20)
    return photo(lay(paper, 0.9 * rough(line, rng, edge_px=1.2, step_px=1.6), (86, 86, 92)))


def felt(rng: np.random.Generator) -> Image.Image:
    line = place(written(4, rng, 320, thickness=0.10, variant=0), 360, 360, top=20, left=20)
    paper = surface(rng, 360, 360, CREAM, grain=1.5, shade=15)
    return photo(lay(paper, 0.9 * uneven(line, rng, step_px=24, amount=0.06), RED_FELT))


def thin(rng: np.random.Generator) -> Image.Image:
    line = place(written(1, rng, 300, thickness=0.014, variant=2), 340, 300, top=20, left=0)
    return photo(lay(surface(rng, 340, 300, WHITE, grain=1, shade=10), line, BLACK_INK), blur_px=0.5)


def thick(rng: np.random.Generator) -> Image.Image:
    line = place(written(8, rng, 340, thickness=0.16, variant=0), 360, 360, top=10, left=10)
    paper = surface(rng, 360, 360, GREY, grain=3, shade=30)  # packing paper, a broad marker
    return photo(lay(paper, uneven(line, rng, step_px=30, amount=0.03), BLACK_INK))


def off_centre(rng: np.random.Generator) -> Image.Image:
    line = place(written(5, rng, 150, thickness=0.06, variant=0), 400, 480, top=225, left=310)
    paper = surface(rng, 400, 480, WHITE, grain=1.5, shade=35)
    return photo(lay(paper, 0.95 * line, BLACK_INK), colours=128)


def large(rng: np.random.Generator) -> Image.Image:
    line = place(written(2, rng, 800, thickness=0.05, variant=1), 900, 1200, top=50, left=200)
    paper = np.broadcast_to(np.array(WHITE, np.float64), (900, 1200, 3))
    shadow = np.linspace(0, 26, 1200)[None, :, None]
    return photo(lay(paper - shadow, 0.95 * line, BLUE_INK), blur_px=2, colours=32)


def shadowed(rng: np.random.Generator) -> Image.Image:
    line = place(written(9, rng, 320, thickness=0.05, variant=1), 400, 360, top=40, left=20)
    paint = lay(surface(rng, 400, 360, WHITE, grain=2.5, shade=10), 0.93 * line, BLACK_INK)
    edge = np.linspace(0, 1, 360)[None, :] + np.linspace(-0.3, 0.3, 400)[:, None]
    return photo(paint * (1 - 0.42 / (1 + np.exp((0.45 - edge) * 7)))[..., None])  # a person stands in the light


def whiteboard(rng: np.random.Generator) -> Image.Image:
    line = place(written(0, rng, 320, thickness=0.065, variant=2), 360, 420, top=20, left=50)
    board = surface(rng, 360, 420, (236, 240, 243), grain=1.2, shade=40)
    return photo(lay(board, 0.9 * uneven(line, rng, step_px=12, amount=0.1), GREEN_FELT))


def neon(rng: np.random.Generator) -> Image.Image:
    line = place(written(5, rng, 300, thickness=0.07, variant=2), 320, 320, top=10, left=10)
    night = np.broadcast_to(np.array((18.0, 18.0, 30.0)), (320, 320, 3))
    return photo(lay(night, line, (255, 214, 64)), blur_px=0.4, colours=32)


def transparent(rng: np.random.Generator) -> Image.Image:
    cover = written(9, rng, 320, thickness=0.08, variant=0)
    pixels = np.zeros((320, 320, 4), np.uint8)
    pixels[..., :3] = (74, 32, 140)
    pixels[..., 3] = np.rint(255 * cover)
    return Image.fromarray(pixels)


def mnist_like(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(digit(0, rng=rng, size_px=28, thickness=0.09, variant=2))


def touchscreen(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(255 - digit(2, rng=rng, size_px=280, thickness=0.07, variant=0))


EXAMPLES: dict[str, tuple[Callable[[np.random.Generator], Image.Image], int]] = {  # name → how it is drawn, random seed
    "0-mnist-like": (mnist_like, 6),
    "0-marker-on-whiteboard": (whiteboard, 7),
    "1-thin": (thin, 24),
    "2-large": (large, 3),
    "2-touchscreen": (touchscreen, 1),
    "3-chalk-on-board": (chalk, 3),
    "4-coloured": (felt, 6),
    "5-off-centre": (off_centre, 3),
    "5-yellow-on-black": (neon, 1),
    "6-pencil": (pencil, 1),
    "7-pen-on-paper": (ballpoint, 2),
    "8-thick": (thick, 3),
    "9-in-the-shadow": (shadowed, 3),
    "9-transparent": (transparent, 6),
}


def draw(name: str) -> Image.Image:
    """The image of one of `EXAMPLES`."""
    make, seed = EXAMPLES[name]
    return make(np.random.default_rng(seed))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        draw(name).save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
