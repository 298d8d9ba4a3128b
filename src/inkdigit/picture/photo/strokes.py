"""Which ink is the digit: its main strokes and the parts that belong to them, without specks and neighbours.

In: the ink (H, W) and the mask of it. Out: the mask of the digit's strokes, with hair lines thickened.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.photo.lines import find_lines
from inkdigit.picture.photo.paper import Map, Mask
from inkdigit.types import Gray

PART_MASS = 0.04  # of the main strokes' mass: what is smaller is a speck
PART_GAP = 0.3  # of the main strokes' longest side: what is farther off is another thing
PEER_MASS, PEER_SIZE = 0.25, 0.5  # of the main strokes' mass, and of their height: what has so much is a digit too
PEER_GAP = 4.0  # of the main strokes' longest side: people leave wide gaps between digits
CHAIN_GAP = 0.04  # of the image's longest side: pieces nearer than this are one stroke that is broken
CUT_OFF = 0.3  # what touches the image's border counts this much less: it is a neighbour, cut off
THIN_STROKE = 0.1  # of the ink's longest side; MNIST's strokes are half as wide again
FAINT_PART = 0.45  # of the strokes' strength: what is fainter is not ink of the same pen

LONE_SPECKS = 3  # lone pixels: from so many on they are noise
FEW, MOST = 1, 5  # of a pixel's eight neighbours: ink with no more is salt, a gap with as many is pepper


def main_strokes(ink: Map, mask: Mask) -> Mask:
    """Keep the heaviest strokes and the parts that belong to them: a 5 may have a detached bar.

    What touches two opposite borders is a shadow or a frame, and what touches one a neighbour that is cut off, unless
    there is nothing else. What is as large as a digit beside them stays, so that it is seen that there are several.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    mass = np.bincount(labels.ravel(), weights=ink.ravel(), minlength=count)
    mass[0] = 0
    heavy = mass > PART_MASS / 4 * mass.max()
    groups = np.where(heavy, _chained(heavy[labels], labels.astype(np.int32), count), 0)
    if np.count_nonzero(heavy) == 1:
        return np.asarray(heavy[labels], bool)
    h, w = mask.shape
    left, top = (stats[:, column].astype(np.int32) for column in (0, 1))
    right, bottom = left + stats[:, 2].astype(np.int32), top + stats[:, 3].astype(np.int32)
    touching = (left == 0) | (top == 0) | (right == w) | (bottom == h)
    frame = ((left == 0) & (right == w)) | ((top == 0) & (bottom == h))
    worth = np.bincount(groups, weights=mass * np.where(frame, PART_MASS, np.where(touching, CUT_OFF, 1.0)))
    main = groups == int(worth[1:].argmax()) + 1
    box = left[main].min(), top[main].min(), right[main].max(), bottom[main].max()
    gap_x = np.maximum(np.maximum(left - box[2], box[0] - right), 0)
    gap_y = np.maximum(np.maximum(top - box[3], box[1] - bottom), 0)
    reach = PART_GAP * max(box[2] - box[0], box[3] - box[1])
    part = (mass >= PART_MASS * mass[main].sum()) & (np.maximum(gap_x, gap_y) <= reach)
    cut_off = touching & ~touching[main].any()
    peers = _peers(groups, mass * ~cut_off, (left, top, right, bottom), box, min_mass=PEER_MASS * mass[main].sum())
    part = (part & ~cut_off) | peers
    speck = mass < PART_MASS / 4 * mass[main].sum()
    keep = (main & ~speck) | part
    keep[0] = False
    return np.asarray(keep[labels], bool)


def _peers(
    groups: NDArray[np.int64],
    mass: NDArray[np.float64],
    sides: tuple[NDArray[np.int32], ...],
    box: tuple[int, ...],
    *,
    min_mass: float,
) -> Mask:
    """Which components (count,) are of another digit: a group of `min_mass`, and about as high as the main `box`.

    It stands beside it, or above or below, not too far off.
    """
    peers = np.zeros(len(groups), bool)
    width, height = box[2] - box[0], box[3] - box[1]
    for group in np.unique(groups[groups > 0]):
        of_it = (groups == group) & (mass > 0)
        if mass[of_it].sum() < min_mass:
            continue
        left, top = sides[0][of_it].min(), sides[1][of_it].min()
        right, bottom = sides[2][of_it].max(), sides[3][of_it].max()
        beside = min(bottom, box[3]) - max(top, box[1]) > PEER_SIZE * min(bottom - top, height)
        below = min(right, box[2]) - max(left, box[0]) > PEER_SIZE * min(right - left, width)
        alike = PEER_SIZE < (bottom - top) / max(height, 1) < 1 / PEER_SIZE
        gap = max(left - box[2], box[0] - right, top - box[3], box[1] - bottom)
        if alike and (beside or below) and gap <= PEER_GAP * max(width, height):
            peers |= of_it
    return peers


def _chained(mask: Mask, labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """The group of each component (count,): pieces that are next to each other are one stroke."""
    reach = max(1, round(CHAIN_GAP * max(mask.shape))) if max(mask.shape) > 48 else 0
    grown = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1)))
    grown_labels = cv2.connectedComponents(grown, connectivity=8)[1]
    groups = np.zeros(count, np.int64)
    groups[labels.ravel()] = grown_labels.ravel()
    groups[0] = 0
    return groups


def mend(mask: Mask, lines: Mask) -> Mask:
    """Close the gaps of erased lines in strokes."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)
    return mask | (closed & lines)


def thicken(soft: Gray, mask: Mask) -> Gray:
    """Grow hair lines, so that they survive being scaled to 20 px."""
    area = mask.astype(np.uint8)
    _, _, w, h = cv2.boundingRect(area)
    distance = cv2.distanceTransform(area, cv2.DIST_L2, 3)
    ridge = distance[(distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))]
    width = 2 * float(np.median(ridge)) if ridge.size else 0.0
    grow = round((THIN_STROKE * max(w, h) - width) / 2)
    if grow <= 0:
        return soft
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    padded = cv2.copyMakeBorder(soft, grow, grow, grow, grow, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.dilate(padded, kernel), np.uint8)


def tidy(gray: Gray) -> Gray:
    """A small drawing on exactly 0 without its specks, its frame, its salt and pepper; what is ink stays as it is."""
    drawing = _without_impulses(gray)
    if not drawing.any():
        return drawing
    strength = float(np.percentile(drawing[drawing > 0], 75))
    mask = drawing > FAINT_PART * strength
    lines = find_lines(mask)
    keep = main_strokes(drawing.astype(np.float32), mask & ~lines)
    near = cv2.dilate(keep.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return np.where(near & ~(mask & ~keep), drawing, 0).astype(np.uint8)


def _without_impulses(gray: Gray) -> Gray:
    """Take salt and pepper away where there is enough of it (a switching median filter, as Sun & Neuvo 1994)."""
    inked = (gray > 0).astype(np.float32)
    eight = np.ones((3, 3), np.float32)
    eight[1, 1] = 0
    around = cv2.filter2D(inked, -1, eight, borderType=cv2.BORDER_CONSTANT)
    if np.count_nonzero((inked > 0) & (around == 0)) < LONE_SPECKS:
        return gray
    out = gray
    for _ in range(2):
        strong = (out > 100).astype(np.float32)
        near = cv2.filter2D(strong, -1, eight, borderType=cv2.BORDER_CONSTANT)
        salt = (out == 255) & (near <= FEW)
        pepper = (out == 0) & (near >= MOST)
        out = np.where(salt, 0, np.where(pepper, cv2.medianBlur(out, 3), out)).astype(np.uint8)
    return out
