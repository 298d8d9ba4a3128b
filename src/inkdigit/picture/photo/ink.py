"""The photo path: from a photo, scan or drawing to its ink, 255 on exactly 0.

In: gray uint8 (H, W) as a camera, a scanner or a canvas gives it. Out: uint8, the ink of what is written in it, all
zero where there is none. The ink network says what each pixel is; here it is decided where to look closely, and which
strokes are shown.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from PIL import Image

from inkdigit.picture.components import Labels
from inkdigit.picture.photo.groups import Group, groups
from inkdigit.picture.photo.network import look
from inkdigit.types import Floats, Gray

CLOSE_SIDE_PX = 144  # the square root of the pixels that a digit is looked at with
FAR_SIDE_PX = 288  # the same for a large picture, in which the writing is looked for first
SMALL_PX = 44  # the height of writing that is looked at again, closely
LIKE_NUMBER = 0.5  # the share of writing of numbers in what is one; a page on a desk may be taken for other writing
MARGIN, FLAT = 0.45, 0.25  # of the height of the writing: how much around it is looked at; its least height, by width
MIN_PX, MIN_SHARE = 9, 0.4  # of the picture, and of its height if that is less: nothing smaller is legible
REST = 0.3  # of the picture's shorter side: what touches the border and is smaller is a rest of something
DOUBT, STRIP = 0.2, 0.2  # what looks so much like a line is one, in a strip along the border: a share of that side
SCRAP, SCRAP_LONG, SLENDER = 0.12, 0.5, 1.8  # a piece of a line, too: so near the border, so short and so thin
PEER = 0.5  # of the main thing's height: what is as high is not a part of it or a mark
CUT, LIGHT = 0.6, 0.1  # of the main thing's mass: what the border cuts, and is lighter, is a neighbour; a mark is light
LEAST_NUMBER = 0.15  # what a thing counts that does not look like a part of a number, against one that does
AT_BORDER = 0.5  # what a thing counts that touches the border, against one that does not
REACH = 5.0  # of the main thing's height: farther things do not belong to it
SHOWN = 3  # of several digits are shown
LEVEL = 0.4  # of the lower one's height: so much of it is beside the other if they are in one row
GAP = 0.1  # of the height: between them
THIN = 0.1  # of the longer side: thinner strokes are thickened; MNIST's have half as much again


def find(gray: Gray) -> Gray:
    """Find the ink of what is written: uint8 (h, w), 255 on exactly 0.

    The whole picture is looked at first. Where its writing is small, or looks like no number, it is looked for in more
    detail, and then the part of the picture that has it is looked at again.
    """
    ink, labels, written = _read(gray, CLOSE_SIDE_PX)
    is_clear = _height(written) >= SMALL_PX and written[0].number >= LIKE_NUMBER
    if not is_clear and gray.size > CLOSE_SIDE_PX**2:
        far = _read(gray, min(sqrt(gray.size), FAR_SIDE_PX))
        if (box := _around(far[2], gray.shape, far[1].shape)) is not None:
            gray = gray[box]
            ink, labels, written = _read(gray, CLOSE_SIDE_PX)
    return _draw(ink, labels, written, gray.shape) if written else np.zeros(labels.shape, np.uint8)


def _read(gray: Gray, side_px: float) -> tuple[Floats, Labels, list[Group]]:
    """The ink of a picture looked at with `side_px`² pixels, the component of each pixel, and what is written."""
    things, labels, ink = groups(look(gray, side_px=side_px))
    min_px = min(MIN_PX / gray.shape[0], MIN_SHARE) * labels.shape[0]
    return ink, labels, _written([t for t in things if _may_be_read(t, labels.shape, min_px)], labels.shape)


def _may_be_read(thing: Group, shape: tuple[int, ...], min_px: float) -> bool:
    """Whether a thing is no speck, no rest of what the border cuts off, and no piece of a line near the border."""
    longest, side = max(thing.height, thing.width), min(shape)
    is_stroke = SLENDER * min(thing.height, thing.width) <= longest <= SCRAP_LONG * side
    scrap = is_stroke and thing.hugs(shape, within_px=min(SCRAP * side, longest))
    if scrap or (thing.ruling > DOUBT and thing.hugs(shape, within_px=STRIP * side)):
        return False
    return longest >= (REST * side if thing.touches(shape) else min_px)


def _height(written: list[Group]) -> int:
    return max((thing.height for thing in written), default=0)


def _written(things: list[Group], shape: tuple[int, ...]) -> list[Group]:
    """The main thing, and what is as large beside it; without marks, words beside a digit, and cut neighbours."""
    if not things:
        return []
    main = max(things, key=lambda thing: _worth(thing, shape))
    kept = [main]
    for thing in things:
        if thing is main:
            continue
        cut = thing.touches(shape) and not main.touches(shape) and thing.mass < CUT * main.mass
        alike = thing.height >= PEER * main.height and thing.mass > LIGHT * main.mass
        less = main.number >= LIKE_NUMBER > thing.number
        if alike and not cut and not less and max(main.gap(thing)) <= REACH * main.height:
            kept.append(thing)
    return kept


def _worth(thing: Group, shape: tuple[int, ...]) -> float:
    return thing.mass * (LEAST_NUMBER + thing.number) * (AT_BORDER if thing.touches(shape) else 1.0)


def _around(written: list[Group], full: tuple[int, ...], seen: tuple[int, ...]) -> tuple[slice, slice] | None:
    """The part of a picture (H, W) with what is written in it, which was found at the size `seen`."""
    if not written:
        return None
    top, left = min(t.top for t in written), min(t.left for t in written)
    bottom, right = max(t.bottom for t in written), max(t.right for t in written)
    margin = MARGIN * max(_height(written), FLAT * (right - left))
    rows, columns = (
        slice(max(0, int((begin - margin) * length / before)), min(length, ceil((end + margin) * length / before)))
        for begin, end, length, before in ((top, bottom, full[0], seen[0]), (left, right, full[1], seen[1]))
    )
    return rows, columns


def _draw(ink: Floats, labels: Labels, written: list[Group], full: tuple[int, ...]) -> Gray:
    """The ink of what is written, in the proportions of the picture (H, W), thick enough to be made small."""
    inks = [_ink_of(ink, labels, thing) for thing in written]
    ink = inks[0] if len(inks) == 1 else _side_by_side(inks, written)
    h, w = ink.shape
    # The network saw another number of pixels in each direction: bring both to one scale.
    stretch = (full[1] / labels.shape[1]) / (full[0] / labels.shape[0])
    size = (max(1, round(w * stretch)), h) if stretch >= 1 else (w, max(1, round(h / stretch)))
    gray = np.asarray(np.rint(255 * np.clip(ink, 0, 1)), np.uint8)
    gray = gray if size == (w, h) else np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR))
    return _thicken(np.pad(gray, 1))


def _ink_of(ink: Floats, labels: Labels, thing: Group) -> Floats:
    """The ink of one thing, with its soft edge: (h + 2, w + 2)."""
    top, left = max(0, thing.top - 1), max(0, thing.left - 1)
    box = np.s_[top : thing.bottom + 1, left : thing.right + 1]
    mask = np.isin(labels[box], thing.labels)
    near = _dilate(mask.view(np.uint8), 1).astype(bool)
    return np.where(near & (mask | (labels[box] == 0)), ink[box], 0)


def _side_by_side(inks: list[Floats], written: list[Group]) -> Floats:
    """Several things in one image, without the wide gaps between them: they would be too small to be recognised."""
    main = written[0]
    in_row = [i for i, thing in enumerate(written) if -main.gap(thing)[1] > LEVEL * min(thing.height, main.height)]
    if len(in_row) == 1:  # one above the other
        return _side_by_side_of([ink.T for ink in inks], [(t.top, t.left) for t in written], main.width).T
    return _side_by_side_of([inks[i] for i in in_row], [(written[i].left, written[i].top) for i in in_row], main.height)


def _side_by_side_of(inks: list[Floats], places: list[tuple[int, int]], height: int) -> Floats:
    """Some of `inks` at their `places` (left, top) in a row, those next to the first of them."""
    order = sorted(range(len(inks)), key=lambda i: places[i])
    first = min(max(0, order.index(0) - SHOWN // 2), max(0, len(order) - SHOWN))
    order = order[first : first + SHOWN]
    top, gap = min(places[i][1] for i in order), max(2, round(GAP * height))
    tall = max(places[i][1] - top + len(inks[i]) for i in order)
    columns = []
    for i in order:
        above = places[i][1] - top
        columns.append(np.pad(inks[i], ((above, tall - above - len(inks[i])), (0, gap))))
    return np.hstack(columns)


def _thicken(gray: Gray) -> Gray:
    """Grow hairlines, so that they survive being scaled to 20 px."""
    mask = gray > 127
    if not mask.any():
        return gray
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    longest = max(rows[-1] - rows[0], cols[-1] - cols[0]) + 1
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    area, edge = int(mask.sum()), int(mask.sum() - inner.sum())
    width = 2 * area / max(1, edge)
    grow = round((THIN * longest - width) / 2)
    return gray if grow <= 0 else _dilate(np.pad(gray, grow), grow)


def _dilate(gray: Gray, px: int) -> Gray:
    """Each pixel the strongest within `px` of it."""
    out = gray.copy()
    h, w = gray.shape
    for dy in range(-px, px + 1):
        reach = int(sqrt(px * px - dy * dy))
        row = gray[max(0, -dy) : h - max(0, dy)]
        target = out[max(0, dy) : h - max(0, -dy)]
        for dx in range(-reach, reach + 1):
            window = target[:, max(0, dx) : w - max(0, -dx)]
            np.maximum(window, row[:, max(0, -dx) : w - max(0, dx)], out=window)
    return out
