"""The photo path: from a photo, scan or drawing to its ink, 255 on exactly 0.

In: gray uint8 (H, W) as a camera, a scanner or a canvas gives it. Out: uint8 of the same proportions, at most 512 px
long: only the main strokes, all zero when there is no ink. The steps: find whether ink is darker or lighter than paper,
take the paper away, threshold, erase ruled lines and frames, keep the main strokes and what belongs to them, thicken
hair lines. A small drawing whose background is exactly 0 only loses its specks.

OpenCV is imported here and in the modules that only this one uses: `paper`, `lines`, `strokes`.
"""

from __future__ import annotations

import cv2
import numpy as np

from inkdigit.picture.photo.lines import find_lines, stroke_width
from inkdigit.picture.photo.paper import Map, Mask, cut_page, even_stripes, ink_above_paper, ink_is_light
from inkdigit.picture.photo.strokes import main_strokes, mend, thicken, tidy
from inkdigit.types import Gray

WORK_SIDE = 512  # pixels: more shows no more of a digit
DRAWING_SIDE = 64  # pixels: the specks of larger drawings are recognised like those of photos
MIN_CONTRAST = 8.0  # gray levels between paper and ink; less is not ink
MIN_CONTRAST_SIGMAS = 5.0  # the same, in standard deviations of the paper's grain
PAGE = 0.22  # of the image's longest side: light "ink" that is broader is a page on a desk, half in shadow
PAGE_PX = 16  # pixels, minimum
EVEN = 0.01  # of the image's longest side: how far the grain of noisy images is evened
FAINT = 0.4  # of the threshold: where ink fades to nothing
LOCAL = 0.45  # of the strongest ink around: where a faint stroke begins
AROUND = 0.12  # of the image's longest side: how far around


def clean(gray: Gray) -> Gray:
    """Find the ink of a photographed, scanned or drawn digit.

    `gray` is uint8 (H, W); the result uint8 (h, w), ink up to 255 on exactly 0.
    """
    small = _shrink(gray)
    if max(small.shape) <= DRAWING_SIDE:
        small = even_stripes(small)
        for drawing in (small, 255 - small):
            if _on_nothing(drawing):
                return tidy(drawing)
    elif (page := cut_page(small)) is not None:
        small = page
    light = ink_is_light(small)
    strokes = _find(small, light=light)
    if strokes is None:  # in a noisy image ink shows when its grain is evened
        small = cv2.GaussianBlur(small, (0, 0), EVEN * max(small.shape)).astype(np.uint8)
        strokes = _find(small, light=light)
    if strokes is not None and light and stroke_width(strokes[1]) > max(PAGE_PX, PAGE * max(small.shape)):
        inside = _find(small, light=False)
        light, strokes = (light, strokes) if inside is None else (False, inside)
    if strokes is None:
        return np.zeros(small.shape, np.uint8)
    # Once the width of the strokes is known, less of a shadow's bent edge is taken for one.
    again = _find(small, light=light, stroke=stroke_width(strokes[1]))
    ink, mask, level = strokes if again is None else again
    return thicken(_soften(ink, mask, level), mask)


def _find(gray: Gray, *, light: bool, stroke: float | None = None) -> tuple[Map, Mask, float] | None:
    """The ink, the mask of its main strokes and the threshold; None where nothing stands out from the paper."""
    ink, grain = ink_above_paper(gray, light=light, stroke=stroke)
    level = _threshold(ink, grain)
    if level is None:
        return None
    mask = _local_mask(ink, level, grain) if max(gray.shape) > DRAWING_SIDE else ink > level
    lines = find_lines(mask)
    if lines.any():
        near = cv2.dilate(lines.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        ink = np.where(near & (lines | ~mask), 0, ink)
        mask = mend(mask & ~lines, lines)
    mask = main_strokes(ink, _with_seeds(mask, ink > level))
    return (ink, mask, level) if mask.any() else None


def _local_mask(ink: Map, level: float, grain: float) -> Mask:
    """Where there is ink (H, W): near a faint stroke a lower threshold holds, so that it does not break.

    The threshold is a share of the strongest ink around (after Su, Lu, Tan 2010).
    """
    around = max(3, round(AROUND * max(ink.shape))) // 2 * 2 + 1
    strongest = cv2.blur(cv2.dilate(ink, np.ones((around, around), np.uint8)), (around, around))
    lowest = max(FAINT * level, 3 * grain)
    return np.asarray(ink > np.clip(LOCAL * strongest, min(lowest, level), level), bool)


def _with_seeds(mask: Mask, seeds: Mask) -> Mask:
    """The components of `mask` that hold a pixel of `seeds` (hysteresis, as Canny 1986)."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    keep = np.zeros(count, bool)
    keep[labels[mask & seeds]] = True
    return np.asarray(keep[labels], bool)


def _shrink(gray: Gray) -> Gray:
    longest = max(gray.shape)
    if longest <= WORK_SIDE:
        return gray
    size = [max(1, round(side * WORK_SIDE / longest)) for side in gray.shape[::-1]]
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _on_nothing(gray: Gray) -> bool:
    """Whether most of an image is exactly 0."""
    return bool(2 * np.count_nonzero(gray) < gray.size)


def _threshold(ink: Map, grain: float) -> float | None:
    """Where ink begins (Otsu 1979), or None when nothing stands out from the paper."""
    top = float(ink.max())
    if top < MIN_CONTRAST:
        return None
    scaled = np.minimum(ink * (255 / top), 255).astype(np.uint8)
    level = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0] * top / 255
    strokes = ink[ink > level]
    if strokes.size == 0 or float(np.median(strokes)) < max(MIN_CONTRAST, MIN_CONTRAST_SIGMAS * grain):
        return None
    return max(float(level), 2 * grain)


def _soften(ink: Map, mask: Mask, level: float) -> Gray:
    """Give the strokes soft edges: full ink at the strokes' usual strength, fading to 0 just outside the mask."""
    strength = float(np.percentile(ink[mask], 60))
    halo = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    soft = np.clip((ink - FAINT * level) / max(strength - FAINT * level, 1e-6), 0, 1) * 255
    return np.where(halo, soft, 0).astype(np.uint8)
