"""Preprocessing: from any gray image to the 28×28 image that the makers of MNIST would have made of it.

In: gray `uint8 (H, W)`. Out: `uint8 (28, 28)`, ink 255 on 0. The kind `ink` crops to the ink, scales its longest side
to 20 px unless it is 19 or 20 already, and pastes it so that the centre of mass is at 14. The kind `plain` resizes and
pads, for images where a box around the ink means nothing.

MNIST was made like this (LeCun, Bottou, Bengio, Haffner 1998, section III.A), so `prepare` changes nothing on MNIST:
10,000 of 10,000 test images and 59,999 of 60,000 training images stay the same, bit for bit (all but number 19,841).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.errors import UsageError
from inkdigit.types import SIDE, Gray

VERSION = 2  # rises only when the output for clean ink changes; since 2 dim ink is made as strong as any
KINDS = ("ink", "plain")
INK_SIDE_PX = 20  # the longest side of prepared ink, as in MNIST
CLEAN_SIDE_PX = 32  # larger ink was drawn or photographed, and its specks must be removed. Small sets have 8 to 32
STRONG_LEVEL = 200  # gray levels: ink whose strongest pixel is below this is dim. The minimum on MNIST is 254
FRAME_SIDE_PX = 12  # a smaller square may be a thick stroke, a frame has a digit inside
BLOT_SHARE = 0.45  # of the strongest ink: fainter ink may be a blot: the ink network looks at it
BLOT_EDGE_PX = 2  # so much faint ink is the soft edge of a stroke
# The share of border pixels that must be 0. MNIST leaves a margin: at most 6 of its 108 border pixels carry ink. Other
# small sets are cropped tightly: USPS (16×16) and scikit-learn's digits (8×8) have up to two thirds of ink there.
CLEAN_BORDER_SHARE_MNIST, CLEAN_BORDER_SHARE_OTHER = 0.9, 0.34
BORDER = np.pad(np.zeros((SIDE - 2, SIDE - 2), bool), 1, constant_values=True)  # (28, 28): its pixels
REMEMBERED = 4096  # different images of a set, so that a repeated one is prepared once: 3 MB of 28×28
TOGETHER = 512  # images in one step: 400 kB, as much as the cache of a processor core holds


def prepare(gray: Gray, kind: str = "ink") -> Gray:
    """Make the 28×28 image that the network sees from a gray image of any size.

    `gray` is uint8 (H, W); the result uint8 (28, 28), all zero when there is no ink. `prepare` is idempotent.

    Raises:
        UsageError: `kind` is not one of `KINDS`.
    """
    if kind == "plain":
        return _fit(gray)
    _check_kind(kind)
    return of_ink(find_ink(gray))


def of_ink(ink: Gray) -> Gray:
    """The image (28, 28) of ink uint8 (H, W), 255 on exactly 0, whatever its size."""
    ink = tight(ink)
    return _paste(_scale(_strengthen(ink))) if ink.any() else np.zeros((SIDE, SIDE), np.uint8)


def prepare_all(images: Gray, kind: str = "ink") -> Gray:
    """Prepare each of `images` uint8 (N, H, W): uint8 (N, 28, 28).

    The result is that of `prepare` for each image alone. Images of 28×28 that need no scaling are moved together, some
    six times faster.
    """
    _check_kind(kind)
    small = images.shape[1:] == (SIDE, SIDE)
    if kind == "plain" and small:
        return images.copy()
    out = np.zeros((len(images), SIDE, SIDE), np.uint8)
    done = np.zeros(len(images), bool)
    if kind == "ink":
        done[~images.any(axis=(1, 2))] = True  # blank images stay blank
    if small:
        for begin in range(0, len(images), TOGETHER):
            some = slice(begin, begin + TOGETHER)
            out[some], known = _place_all(images[some])
            done[some] |= known
    before: dict[bytes, int] = {}  # an image that takes long may be repeated a thousand times
    for i in np.flatnonzero(~done).tolist():
        same = before.setdefault(images[i].tobytes(), i) if len(before) < REMEMBERED else i
        out[i] = out[same] if same != i else prepare(images[i], kind)
    return out


def prepare_each(grays: Iterable[Gray], kind: str = "ink") -> Gray:
    """Prepare gray images (H, W) of any sizes, in their order: uint8 (N, 28, 28).

    An image of another size than 28×28 is prepared at once, and its memory is free again. `prepare` changes nothing
    where it is applied twice, so all of them can then go through `prepare_all`.
    """
    small = [gray if gray.shape == (SIDE, SIDE) else prepare(gray, kind) for gray in grays]
    return prepare_all(np.stack(small), kind) if small else np.zeros((0, SIDE, SIDE), np.uint8)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"Unknown kind of preprocessing {kind!r}", expected=" or ".join(KINDS))


def find_ink(gray: Gray) -> Gray:
    """The ink in an image: 255 on exactly 0, of the image's own size or of the smaller one that photos work at.

    A clean image is its own ink, white on black or black on white; in everything else the ink network finds it.
    """
    if is_clean(gray):
        return gray
    if is_clean(inverted := 255 - gray):
        return inverted
    from inkdigit.picture.photo.ink import find  # ONNX Runtime and the network are loaded for the first photo

    return find(gray)


def is_clean(gray: Gray) -> bool:
    """Whether the background of an image is exactly 0, and its ink is no larger than that of a small image.

    Ink that is 19 or 20 px long is taken for prepared. Other ink must also be in one piece, without faint blots, and
    not a frame. A clean image stays clean when zeros are added around it. Every prepared image is clean.
    """
    box = ink_box(gray)
    longest = 0 if box is None else max(s.stop - s.start for s in box)
    if longest > CLEAN_SIDE_PX:
        return False
    if box is not None and longest not in (INK_SIDE_PX - 1, INK_SIDE_PX):  # prepared ink is not examined again
        ink = gray[box] > 0
        if _is_frame(ink) or not _in_one_piece(ink) or (longest > INK_SIDE_PX and _has_blots(gray[box])):
            return False
    if gray.shape == (SIDE, SIDE) and longest <= INK_SIDE_PX:
        return True
    border = np.concatenate((gray[0], gray[-1], gray[1:-1, 0], gray[1:-1, -1]))
    min_share = CLEAN_BORDER_SHARE_MNIST if gray.shape == (SIDE, SIDE) else CLEAN_BORDER_SHARE_OTHER
    return bool(np.count_nonzero(border) <= (1 - min_share) * border.size)


def ink_box(ink: Gray) -> tuple[slice, slice] | None:
    """The smallest box that holds every pixel above 0, or None for a blank image."""
    rows = np.flatnonzero(ink.any(1))
    if not rows.size:
        return None
    cols = np.flatnonzero(ink.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def tight(ink: Gray) -> Gray:
    """The ink, cropped to its box (h, w); a blank image as it is."""
    box = ink_box(ink)
    return ink if box is None else ink[box]


def _is_frame(ink: NDArray[np.bool_]) -> bool:
    """Whether all four sides of a tight crop (h, w) are ink from end to end; those of a single stroke may be, too."""
    return min(ink.shape) >= FRAME_SIDE_PX and bool(
        ink[0].all() and ink[-1].all() and ink[:, 0].all() and ink[:, -1].all()
    )


def _has_blots(ink: Gray) -> bool:
    """Whether faint ink, beyond soft edges, makes a tight crop (h, w) larger than its strong ink."""
    strong = ink_box((ink > BLOT_SHARE * int(ink.max())).view(np.uint8))
    assert strong is not None
    return any(max(s.start, side - s.stop) > BLOT_EDGE_PX for s, side in zip(strong, ink.shape, strict=True))


def _in_one_piece(ink: NDArray[np.bool_]) -> bool:
    """Whether all ink of a small crop (h, w) is in one piece: further pieces may be specks, or a frame.

    The image is one whole number with a bit for each pixel: all pixels grow at once, in a few microseconds.
    """
    h, w = ink.shape
    framed = np.zeros((h + 2, w + 2), bool)
    framed[1:-1, 1:-1] = ink
    every, row = int.from_bytes(np.packbits(framed).tobytes(), "big"), w + 2
    piece = 1 << (every.bit_length() - 1)
    while True:
        broad = piece | piece << 1 | piece >> 1
        grown = (broad | broad << row | broad >> row) & every
        if grown == piece:
            return piece == every
        piece = grown


def _strengthen(ink: Gray) -> Gray:
    """Ink (…, h, w), none of it blank; dim ink is made as strong as any: 255 at its strongest pixel."""
    strongest = ink.max(axis=(-2, -1), keepdims=True)
    if strongest.min() >= STRONG_LEVEL:
        return ink
    return np.where(strongest < STRONG_LEVEL, np.rint(ink * (255 / strongest)), ink).astype(np.uint8)


def _scale(ink: Gray) -> Gray:
    """Bring the longest side of a tight crop (h, w) to 20 px, unless it is 19 or 20 already."""
    h, w = ink.shape
    longest = max(h, w)
    if longest in (INK_SIDE_PX - 1, INK_SIDE_PX):
        return ink
    size = (max(1, round(w * INK_SIDE_PX / longest)), max(1, round(h * INK_SIDE_PX / longest)))
    scaled = _resize(ink.astype(np.float32), size)
    scaled = scaled * (255 / scaled.max())  # thin strokes fade when they shrink
    # A pixel that the ink only touches stays ink: the box must still be 20 px when it is prepared again.
    return np.where(scaled > 0, np.maximum(np.rint(scaled), 1), 0).astype(np.uint8)


def _paste(ink: Gray) -> Gray:
    """Paste a crop (h, w) into (28, 28) so that its centre of mass is at 14, as far as there is room."""
    h, w = ink.shape
    top, left = _offset(ink.sum(1, dtype=np.int64)), _offset(ink.sum(0, dtype=np.int64))
    out = np.zeros((SIDE, SIDE), np.uint8)
    out[top : top + h, left : left + w] = ink
    return out


def _offset(mass: NDArray[np.int64]) -> int:
    """Where ink with this mass in each row (or column) begins: ceil(14 − centre − ½), in whole numbers.

    Of the roundings tried on MNIST, this one leaves the most images as they are.
    """
    total, moment = int(mass.sum()), int(mass @ np.arange(mass.size))
    begin = -((2 * moment - (SIDE - 1) * total) // (2 * total))
    return min(max(begin, 0), SIDE - mass.size)


def _place_all(images: Gray) -> tuple[Gray, NDArray[np.bool_]]:
    """`images` (N, 28, 28) prepared, and for which of them this is the result of `prepare`: bool (N,).

    It is for those whose ink is 19 or 20 px long, white on black or black on white: they only have to be moved.
    """
    out, longest = _place(images)
    known = (longest == INK_SIDE_PX - 1) | (longest == INK_SIDE_PX)
    rim = np.count_nonzero(images[:, BORDER], axis=1)
    dark = np.flatnonzero((longest > INK_SIDE_PX) & (rim > (1 - CLEAN_BORDER_SHARE_MNIST) * np.count_nonzero(BORDER)))
    if dark.size:
        out[dark], longest[dark] = _place(255 - images[dark])
        known[dark] = (longest[dark] == INK_SIDE_PX - 1) | (longest[dark] == INK_SIDE_PX)
    return out, known


def _place(images: Gray) -> tuple[Gray, NDArray[np.int64]]:
    """`images` (N, 28, 28) moved so that the centre of mass is at 14, and the length of their ink: (N,)."""
    n = len(images)
    strongest = images.reshape(n, -1).max(axis=1, initial=0)
    if (dim := np.flatnonzero((strongest > 0) & (strongest < STRONG_LEVEL))).size:
        images = images.copy()
        images[dim] = _strengthen(images[dim])
    longest = np.zeros(n, np.int64)
    shifts = []
    for axis in (1, 2):
        mass = images.sum(3 - axis, dtype=np.uint16).astype(np.int64)  # (N, 28): of each row, then of each column
        begin = (mass > 0).argmax(1)
        extent = SIDE - (mass[:, ::-1] > 0).argmax(1) - begin
        total = mass.sum(1)
        moment = mass @ np.arange(SIDE) - begin * total
        offset = -((2 * moment - (SIDE - 1) * total) // np.maximum(2 * total, 1))
        shifts.append(np.clip(offset, 0, SIDE - extent) - begin)
        longest = np.maximum(longest, np.where(total > 0, extent, 0))
    out = images.copy()
    if (moved := np.flatnonzero((shifts[0] != 0) | (shifts[1] != 0))).size:
        y, x = ((np.arange(SIDE) - shift[moved, None]) % SIDE for shift in shifts)  # (M, 28): only zeros wrap around
        out[moved] = images.take((moved[:, None] * SIDE + y)[:, :, None] * SIDE + x[:, None, :])
    return out, longest


def _fit(gray: Gray) -> Gray:
    """Resize so that the longest side is 28 px, and pad with zeros: nothing else."""
    h, w = gray.shape
    if (h, w) != (SIDE, SIDE):
        longest = max(h, w)
        size = (max(1, round(w * SIDE / longest)), max(1, round(h * SIDE / longest)))
        gray = _resize(gray, size)
        h, w = gray.shape
    out = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - h) // 2, (SIDE - w) // 2
    out[top : top + h, left : left + w] = gray
    return out


def _resize(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize `pixels` (h, w) to `size` (width, height): each row first, then each column.

    In one call the order would depend on the size and on Pillow's release (from 13 on), and with it the last bit.
    """
    rows = Image.fromarray(pixels).resize((size[0], pixels.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(rows.resize(size, Image.Resampling.BILINEAR))
