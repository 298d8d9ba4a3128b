"""From a decoded PIL image of any mode to gray `uint8 (H, W)`.

In: a PIL image whose pixels are in memory. Out: gray uint8 (H, W), turned as its EXIF tag demands, its transparent
parts on paper. A large image is reduced first, a strip of rows at a time, so that little memory is taken beside its
own pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.picture.pixels import scale_of_numbers
from inkdigit.picture.prepare import CLEAN_SIDE_PX, ink_box
from inkdigit.types import Gray

WORK_SIDE_PX = 1024  # an image of 4, 9, … times the square of this is reduced by 2, 3, … in each direction
STRIP_PIXELS = 2**20  # of a large image in one step: a few megabytes in any mode
DEPTHS = (8, 10, 12, 14, 16)  # bits a pixel of whole numbers: what scanners and cameras give
ORIENTATION = 0x0112  # an EXIF tag
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
LOW_CONTRAST_LEVELS = 40  # gray levels: a transparent image with less on white is put on black, if it has more there
COLOUR_RATIO = 1.5  # a colour is taken instead of luminance if its deviation is so many times as large
SAMPLE_PX = 64  # of the small copy on which colours are compared: strokes are still seen on it

_TURNS: dict[int, Callable[[Gray], Gray]] = {  # EXIF 2.32, tag Orientation: how to undo each of its values
    2: lambda gray: gray[:, ::-1],
    3: lambda gray: gray[::-1, ::-1],
    4: lambda gray: gray[::-1],
    5: lambda gray: gray.T,
    6: lambda gray: gray.T[:, ::-1],
    7: lambda gray: gray[::-1, ::-1].T,
    8: lambda gray: gray.T[::-1],
}


def to_gray(image: Image.Image, *, whole: bool = False) -> Gray:
    """Make gray uint8 (H, W) of an image in memory; one of more than 4 megapixels becomes about 1,024 px a side.

    A small drawing on a large blank sheet is cut out instead of reduced, so that its pixels stay the same; not with
    `whole`.

    Raises:
        PictureError: floats that are not brightness.
    """
    factor = max(1, isqrt(image.width * image.height) // WORK_SIDE_PX)
    gray = _flatten(image, factor)
    if factor > 1 and not whole and (box := _lone_drawing(gray, factor)) is not None:
        gray = _flatten(image.crop(box), 1)
    value = image.getexif().get(ORIENTATION)
    turn = _TURNS.get(value) if isinstance(value, int) else None
    return np.ascontiguousarray(turn(gray) if turn else gray)


def _lone_drawing(gray: Gray, factor: int) -> tuple[int, int, int, int] | None:
    """The box (left, top, right, bottom) of all ink of an image, if it is small and the rest is of one colour.

    `gray` is the image reduced by `factor`. The box has a margin, and may reach beyond the right and the bottom.
    """
    for ink in (gray, 255 - gray):
        box = ink_box(ink)
        if box is not None and max(side.stop - side.start for side in box) <= CLEAN_SIDE_PX // factor + 2:
            (top, bottom), (left, right) = (
                (max(0, side.start * factor - CLEAN_SIDE_PX), min(side.stop * factor + CLEAN_SIDE_PX, length * factor))
                for side, length in zip(box, gray.shape, strict=True)
            )
            return left, top, right, bottom
    return None


def _flatten(image: Image.Image, factor: int) -> Gray:
    """Gray uint8 (H, W) of an image of any mode, reduced by `factor`."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep(image, factor)
    small = _reduce(image, factor)
    if small.mode == "L":
        return np.array(small, np.uint8)
    return _one_channel(_on_paper(small) if small.mode == "RGBA" else small)


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    """An image in mode L, RGB or RGBA, reduced by `factor`: each pixel the mean of a square of them."""
    if factor == 1:
        return _plain(image)
    return _join(image, factor, map(_plain, _strips(image, factor)))


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "L"):
        mode = "L"
    else:
        mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)  # `convert` would copy it


def _strips(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    """The image from top to bottom, some rows at a time: as many as `factor` divides."""
    rows = max(1, STRIP_PIXELS // image.width // factor) * factor
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _join(image: Image.Image, factor: int, strips: Iterator[Image.Image]) -> Image.Image:
    """The strips of an image, each reduced by `factor`, one below the other."""
    reduced = [strip.reduce(factor) for strip in strips]
    joined = Image.new(reduced[0].mode, (reduced[0].width, -(-image.height // factor)))
    top = 0
    for strip in reduced:
        joined.paste(strip, (0, top))
        top += strip.height
    return joined


def _from_deep(image: Image.Image, factor: int) -> Gray:
    """16-bit, 32-bit and float pixels: floats within 0–1 or 0–255, whole numbers from the full range.

    Whole numbers within 0–255 stay as they are, so that a wider type does not make an image black. Pixels of 10, 12 or
    14 bits that a scanner stores in 16 are scaled from their own full range.
    """

    def parts() -> Iterator[NDArray[Any]]:
        return map(np.asarray, _strips(image, factor))

    lows, highs = zip(*((part.min(), part.max()) for part in parts()), strict=True)
    to_bytes = _float_bytes(min(lows), max(highs)) if image.mode == "F" else _integer_bytes(int(max(highs)))
    return np.array(_join(image, factor, (Image.fromarray(to_bytes(part)) for part in parts())), np.uint8)


def _float_bytes(low: Any, high: Any) -> Callable[[NDArray[Any]], Gray]:
    """The function that makes bytes of floats from `low` to `high`."""
    scale = scale_of_numbers(low, high, is_float=True)
    return lambda pixels: np.rint(np.clip(pixels * scale, 0, 255)).astype(np.uint8)


def _integer_bytes(high: int) -> Callable[[NDArray[Any]], Gray]:
    """The function that makes bytes of whole numbers up to `high`: by a table of all values of that many bits."""
    bits = next((bits for bits in DEPTHS if high < 1 << bits), DEPTHS[-1])
    full = (1 << bits) - 1
    table = (np.arange(full + 1) * 255 // full).astype(np.uint8)
    return lambda pixels: table[np.clip(pixels, 0, full)]


def _on_paper(image: Image.Image) -> Image.Image:
    """Put a transparent image on white, or on black if nothing can be seen on white."""
    on_white, on_black = (Image.alpha_composite(Image.new("RGBA", image.size, p), image) for p in ("white", "black"))
    return (on_black if _contrast(on_white) < LOW_CONTRAST_LEVELS <= _contrast(on_black) else on_white).convert("RGB")


def _contrast(image: Image.Image) -> int:
    low, high = image.convert("L").getextrema()
    return int(high - low)  # type: ignore[operator]


def _one_channel(image: Image.Image) -> Gray:
    """Luminance, or the colour channel with clearly more contrast: yellow ink on white is best seen in blue."""
    sample = image.resize((SAMPLE_PX, SAMPLE_PX), Image.Resampling.BOX) if min(image.size) > SAMPLE_PX else image
    small = np.asarray(sample, np.float32)
    spread = small.std((0, 1))  # (3,)
    best = int(spread.argmax())
    if spread[best] > COLOUR_RATIO * (small @ LUMINANCE).std():
        return np.array(image, np.uint8)[..., best]
    return np.asarray(image.convert("L"), np.uint8)
