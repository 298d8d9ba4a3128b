"""The photo path: from a photo, scan or drawing to its ink, 255 on exactly 0.

In: gray uint8 (H, W) as a camera, a scanner or a canvas gives it. Out: uint8 of the same proportions, at most 512 px
long: the main strokes alone, all zero when there is no ink. The steps: fit the paper's brightness, see on which side
of it the ink lies, threshold, keep the main component and what belongs to it, thicken hair lines.

OpenCV is imported here alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigit.types import Gray

Map = NDArray[np.float32]  # (H, W): brightness above or below the paper

WORK_SIDE = 512  # pixels: more shows no more of a digit
FIT_SIDE = 64  # pixels: the paper is fitted on a picture of this size
MIN_CONTRAST = 12.0  # gray levels between paper and ink; less is no ink
MIN_CONTRAST_SIGMAS = 5.0  # the same, in standard deviations of the paper's grain
PART_MASS = 0.04  # of the main component's mass: what is smaller is a speck
PART_GAP = 0.3  # of the main component's longest side: what is farther off is another thing
PAGE_FILL = 0.75  # of its box: ink that fills more of a large box is the page, and the paper found was its surround
PAGE_EDGE = 2  # pixels: its soft edge, cut off
PAGE_SIDE = 0.6  # of the picture's side: what is called large
THIN_STROKE = 0.1  # of the ink's longest side; MNIST's strokes are half as wide again


def clean(gray: Gray) -> Gray:
    """Find the ink of a photographed, scanned or drawn digit.

    `gray` is uint8 (H, W); the result uint8 (h, w), ink up to 255 on exactly 0.
    """
    small = _shrink(gray)
    image = small.astype(np.float32)
    residual = image - _paper(image)
    noise = _grain(image)
    ink = _ink_side(residual, noise)
    level = _threshold(ink, noise)
    if level is None:
        return np.zeros(image.shape, np.uint8)
    if (page := _page(ink > level)) is not None:
        return clean(small[page])
    mask = _main_strokes(ink, ink > level)
    return _soften(ink, mask, level)


def _grain(image: Map) -> float:
    """The standard deviation of the paper's grain, from neighbouring pixels: ink covers too few edges to matter."""
    steps = np.abs(np.diff(image, axis=1)) if image.shape[1] > 1 else np.zeros(1, np.float32)
    return 1.0484 * float(np.median(steps))  # 1.4826 for a median of deviations, √2 for a difference


def _shrink(gray: Gray) -> Gray:
    longest = max(gray.shape)
    if longest <= WORK_SIDE:
        return gray
    size = [max(1, round(side * WORK_SIDE / longest)) for side in gray.shape[::-1]]
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _paper(image: Map) -> Map:
    """The brightness of the paper under the ink (H, W): a quadratic surface, fitted robustly.

    It starts from the border, where there is mostly paper, and then takes in every pixel that agrees with it.
    """
    h, w = image.shape
    small = cv2.resize(image, (min(w, FIT_SIDE), min(h, FIT_SIDE)), interpolation=cv2.INTER_AREA)
    terms = _quadratic(*small.shape)  # (h·w, 6)
    values = small.ravel()
    rim = np.ones(small.shape, bool)
    rim[2:-2, 2:-2] = False
    border = values[rim.ravel()]
    level = float(np.median(border))
    spread = max(4.0, 1.4826 * float(np.median(np.abs(border - level))))
    fit = np.full_like(values, level)
    for _ in range(6):
        paper = np.abs(values - fit) < 3 * spread
        if paper.sum() < 12:
            break
        seen = terms[paper]
        # The 6×6 normal equations: on thousands the solver would start threads, ten times slower on a busy machine.
        weights = np.linalg.lstsq(seen.T @ seen, seen.T @ values[paper], rcond=None)[0]
        fit = terms @ weights
        spread = max(2.0, 1.4826 * float(np.median(np.abs(values - fit)[paper])))
    surface = np.clip(fit, values.min(), values.max()).reshape(small.shape).astype(np.float32)
    return np.asarray(cv2.resize(surface, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def _quadratic(h: int, w: int) -> NDArray[np.float32]:
    y, x = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(h * w, 6).astype(np.float32)


def _ink_side(residual: Map, noise: float) -> Map:
    """How far each pixel is on the ink's side of the paper (H, W), never negative.

    Ink is what lies farther from the paper; the border of the whole picture has told where the paper is.
    """
    darker, lighter = np.maximum(-residual, 0), np.maximum(residual, 0)
    floor = max(4.0, 3 * noise)
    mass = [float(np.square(side[side > floor]).sum()) for side in (darker, lighter)]
    return darker if mass[0] >= mass[1] else lighter


def _threshold(ink: Map, noise: float) -> float | None:
    """Where ink begins (Otsu 1979), or None when nothing stands out from the paper."""
    top = float(ink.max())
    if top < MIN_CONTRAST:
        return None
    scaled = np.minimum(ink * (255 / top), 255).astype(np.uint8)
    level = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0] * top / 255
    strokes = ink[ink > level]
    if strokes.size == 0 or float(np.median(strokes)) < max(MIN_CONTRAST, MIN_CONTRAST_SIGMAS * noise):
        return None
    return max(float(level), 2 * noise)


def _page(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The inside of a page that lies on a desk or in a thick frame, or None where the ink is strokes.

    No digit fills its box as a page does, and a "1" that does has a narrow one.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    left, top, w, h, _ = max(stats[1:].tolist(), key=lambda row: row[4])
    large = h >= PAGE_SIDE * mask.shape[0] and w >= PAGE_SIDE * mask.shape[1]
    if not large or mask[top : top + h, left : left + w].mean() < PAGE_FILL or min(w, h) < 4 * PAGE_EDGE:
        return None
    return slice(top + PAGE_EDGE, top + h - PAGE_EDGE), slice(left + PAGE_EDGE, left + w - PAGE_EDGE)


def _main_strokes(ink: Map, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the heaviest component and the parts that belong to it: a 5 may have a detached bar.

    A component that touches two opposite edges is a shadow or a frame, unless there is nothing else.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    mass = np.bincount(labels.ravel(), weights=ink.ravel(), minlength=count)
    mass[0] = 0
    h, w = mask.shape
    left, top = stats[:, 0], stats[:, 1]
    right, bottom = left + stats[:, 2], top + stats[:, 3]
    frame = ((left == 0) & (right == w)) | ((top == 0) & (bottom == h))
    inner = np.where(frame, 0, mass)
    inner[0] = 0
    if inner.max() > PART_MASS * mass.max():
        mass = inner
    main = int(mass.argmax())
    gap_x = np.maximum(np.maximum(left - right[main], left[main] - right), 0)
    gap_y = np.maximum(np.maximum(top - bottom[main], top[main] - bottom), 0)
    reach = PART_GAP * max(stats[main, 2], stats[main, 3])
    keep = (mass >= PART_MASS * mass[main]) & (np.maximum(gap_x, gap_y) <= reach)
    return np.asarray(keep[labels], bool)


def _soften(ink: Map, mask: NDArray[np.bool_], level: float) -> Gray:
    """Give the strokes soft edges: full ink at the strokes' usual strength, fading to 0 just outside the mask."""
    area = mask.astype(np.uint8)
    strength = float(np.percentile(ink[mask], 60))
    halo = cv2.dilate(area, np.ones((3, 3), np.uint8)).astype(bool)
    soft = np.clip((ink - 0.4 * level) / max(strength - 0.4 * level, 1e-6), 0, 1) * 255
    out = np.where(halo, soft, 0).astype(np.uint8)
    grow = _missing_width(area)
    if grow > 0:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        padded = cv2.copyMakeBorder(out, grow, grow, grow, grow, cv2.BORDER_CONSTANT, value=0)
        out = np.asarray(cv2.dilate(padded, kernel), np.uint8)
    return out


def _missing_width(area: Gray) -> int:
    """By how many pixels each side of a hair line must grow to survive being scaled to 20 px."""
    _, _, w, h = cv2.boundingRect(area)
    distance = cv2.distanceTransform(area, cv2.DIST_L2, 3)
    ridge = distance[(distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))]
    width = 2 * float(np.median(ridge)) if ridge.size else 0.0
    return round((THIN_STROKE * max(w, h) - width) / 2)
