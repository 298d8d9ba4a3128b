"""What is under the ink: paper with its shadows and edges, taken away so that only ink is left.

In: gray uint8 (H, W). Out: how far each pixel is on the ink's side of the paper, float32 (H, W), and how even the paper
is. Ink is what is thin: whatever is broader than the broadest stroke, a shadow or the edge of a table, is paper.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigit.types import Gray

Map = NDArray[np.float32]  # (H, W): gray levels above or below the paper
Mask = NDArray[np.bool_]  # (H, W)

SIGN_SIDE = 64  # pixels: an image of this size shows whether ink is darker or lighter than paper
WINDOW = 0.3  # of the image's longest side: ink covers less than half of a window of this size
STROKE = 0.4  # of the image's longest side: broader than any stroke
STROKES = 2.5  # stroke widths: what is broader than that is not a stroke, once the strokes are known
SPAN = 0.8  # of the image's side: a band along a border that is this long is not a stroke that touches it
GRAINY_SIDE = 48  # pixels: in larger images the grain of the paper is evened a little
MIN_PAPER = 40.0  # gray levels: in a deeper shadow the noise would be ink

FOG_SIDE = 40  # pixels: in larger images clouds are broader than strokes, and a closing is enough
FOGGY = 0.4  # of the image's range of grays: a border with more of it is in fog
FOG_SLOPE = 1.25  # the spectrum of fog falls with this power of the frequency
FOG_PRICE = 0.15  # of ink, in median deviations of the whitened image
FOG_STEPS = 60

PAGE_FILL = 0.7  # of its outline that is bare: the rest may be ink
PAGE_SQUARE = 0.92  # of a box around it, turned with it: the inside of a "0" fills 0.8 of it
PAGE_SIDE = 0.45  # of the image's side: what is called large
PAGE_EDGE = 3  # pixels: its soft edge, cut off

STRIPE_DARK, STRIPE_LIGHT = 64, 191  # gray levels
STRIPE_OFF = 16  # gray levels: by how much the two papers may miss adding up to 255
STRIPE_SHARE = 0.9  # of a column's ends that must be one or the other
STRIPE_SIDE = 2  # pixels: stripes are broader


def ink_is_light(gray: Gray) -> bool:
    """Whether the ink is lighter than its paper.

    Ink is what a median over a large window takes away; the edge of a shadow or of a table stays.
    """
    longest = max(gray.shape)
    small = gray
    if longest > SIGN_SIDE:
        size = [max(1, round(side * SIGN_SIDE / longest)) for side in gray.shape[::-1]]
        small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
    around = int(WINDOW * max(small.shape)) // 2 + 1
    padded = cv2.copyMakeBorder(small, *(around,) * 4, cv2.BORDER_REPLICATE)
    paper = cv2.medianBlur(padded, 2 * around + 1)[around:-around, around:-around]
    thin = small.astype(np.float32) - paper
    thin[np.abs(thin) < max(4.0, 4.5 * float(np.median(np.abs(thin))))] = 0
    return float(np.square(np.maximum(thin, 0)).sum()) > float(np.square(np.minimum(thin, 0)).sum())


def ink_above_paper(gray: Gray, *, light: bool, stroke: float | None = None) -> tuple[Map, float]:
    """How far each pixel is on the ink's side of the paper (H, W), and the standard deviation of the bare paper.

    The paper is what a morphological closing leaves (the bottom-hat of Meyer 1979), for light ink an opening: shadows
    and edges stay in it, strokes do not. `stroke` is their width, if it is known. Dark ink keeps its share of the
    light wherever a shadow falls; light ink is as bright as it is.
    """
    dark = 255 - gray if light else gray
    smooth: Gray = dark
    if min(gray.shape) > GRAINY_SIDE:
        smooth = np.asarray(cv2.GaussianBlur(dark, (0, 0), max(0.5, max(gray.shape) / 400)), np.uint8)
    broadest = STROKE * max(gray.shape) if stroke is None else STROKES * stroke
    side = min(max(3, round(broadest)), round(STROKE * max(gray.shape)) + 2)
    padded = _extend(smooth, side)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    paper = closed[side : side + gray.shape[0], side : side + gray.shape[1]].astype(np.float32)
    ink = paper - smooth
    if not light:
        ink *= float(paper.max()) / np.maximum(paper, MIN_PAPER)
    # The closing lies on the highest of the grain. Bare paper is at least half of the image: its own quarters tell it
    # from soft edges, which a deviation from the median would take for grain.
    if max(gray.shape) <= FOG_SIDE and _is_foggy(gray):
        ink = _through_fog(gray if light else 255 - gray)
    low, even = (float(value) for value in np.percentile(ink, (5, 25)))
    grain = (even - low) / 1.1
    return np.maximum(ink - even - 0.4 * grain, 0).astype(np.float32), grain


def _is_foggy(gray: Gray) -> bool:
    """Whether the border of an image, which is paper, is nearly as uneven as all of it."""
    border = np.concatenate((gray[0], gray[-1], gray[1:-1, 0], gray[1:-1, -1]))
    of_border, of_all = (float(np.subtract(*np.percentile(part, (95, 5)))) for part in (border, gray))
    return of_border > FOGGY * of_all


def _through_fog(gray: Gray) -> Map:
    """The light ink of a small image (H, W) whose paper varies more than the ink stands out from it.

    The ink is the sparse layer, never negative, without which the image is as smooth as clouds are: basis pursuit on
    the whitened image (Chen, Donoho, Saunders 1998), solved by FISTA (Beck & Teboulle 2009).
    """
    margin = max(gray.shape) // 2
    cloudy = np.pad(gray.astype(np.float64), margin, mode="symmetric")
    fy, fx = np.fft.fftfreq(cloudy.shape[0])[:, None], np.fft.rfftfreq(cloudy.shape[1])[None]
    whitener = np.minimum(2 * np.hypot(fy, fx), 1) ** (2 * FOG_SLOPE)

    def whiten(layer: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.fft.irfft2(np.fft.rfft2(layer) * whitener, s=layer.shape)

    white = whiten(cloudy)
    price = FOG_PRICE * float(np.median(np.abs(white)))
    ink = ahead = np.zeros_like(white)
    pace = 1.0
    for _ in range(FOG_STEPS):
        nearer = np.maximum(ahead - whiten(ahead) + white - price, 0)
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = nearer + (pace - 1) / faster * (nearer - ink)
        ink, pace = nearer, faster
    return ink[margin:-margin, margin:-margin].astype(np.float32)


def _extend(gray: Gray, margin: int) -> Gray:
    """Continue an image beyond its borders: bands along them go on, strokes that touch them end."""
    out: Gray = np.asarray(cv2.copyMakeBorder(gray, *(margin,) * 4, cv2.BORDER_REPLICATE), np.uint8)
    h, w = gray.shape
    inner = np.s_[margin : margin + h], np.s_[margin : margin + w]
    out[:margin, inner[1]] = _without_short(gray[:1], round(SPAN * w))
    out[margin + h :, inner[1]] = _without_short(gray[-1:], round(SPAN * w))
    out[inner[0], :margin] = _without_short(gray[:, 0][None], round(SPAN * h)).T
    out[inner[0], margin + w :] = _without_short(gray[:, -1][None], round(SPAN * h)).T
    return out


def _without_short(line: Gray, length: int) -> Gray:
    """A border (1, N) without its dark runs that are shorter than `length`."""
    around = length // 2 + 1
    padded = cv2.copyMakeBorder(np.ascontiguousarray(line), 0, 0, around, around, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((1, max(1, length)), np.uint8))
    return np.asarray(closed[:, around:-around], np.uint8)


def cut_page(gray: Gray) -> Gray | None:
    """The page on a desk, or inside a thick frame, on nothing but paper: (h, w). None where there is no page.

    No digit fills its box as a page does, and a "1" that does has a narrow one.
    """
    level = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    h, w = gray.shape
    for side in (gray > level, gray <= level):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(side.astype(np.uint8), connectivity=4)
        if count < 2:
            continue
        page = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        left, top, width, height, area = stats[page].tolist()
        touching = (left == 0) + (top == 0) + (left + width == w) + (top + height == h)
        if width < PAGE_SIDE * w or height < PAGE_SIDE * h or touching > 1 or min(width, height) < 8 * PAGE_EDGE:
            continue
        outline = cv2.convexHull(cv2.findNonZero((labels == page).astype(np.uint8)))
        _, (long, short), _ = cv2.minAreaRect(outline)
        full = cv2.contourArea(outline)
        if full < PAGE_SQUARE * (long - 1) * (short - 1) or area < PAGE_FILL * full:
            continue
        inside = cv2.fillConvexPoly(np.zeros_like(gray), outline, 1)
        around = 2 * PAGE_EDGE + 1
        inside = cv2.erode(inside, np.ones((around, around), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        return _fill_outside(gray, inside.astype(bool))
    return None


def _fill_outside(gray: Gray, inside: Mask) -> Gray:
    """Cut to `inside`, and put the paper that is seen there (a plane) around it."""
    ys, xs = np.nonzero(inside)
    if ys.size < 16:
        return gray
    typical = np.median(gray[inside])
    spread = max(8.0, 3 * 1.4826 * float(np.median(np.abs(gray[inside] - typical))))
    paper = np.abs(gray[ys, xs] - typical) < spread
    terms = np.stack([np.ones(int(paper.sum())), ys[paper], xs[paper]], 1)
    weights = np.linalg.lstsq(terms.T @ terms, terms.T @ gray[ys[paper], xs[paper]].astype(float), rcond=None)[0]
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    plane = np.clip(weights[0] + weights[1] * y + weights[2] * x, 0, 255)
    cut = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return np.where(inside, gray, plane)[cut].astype(np.uint8)


def even_stripes(gray: Gray) -> Gray:
    """Turn back stripes of columns, or of rows, in which black and white have changed places."""
    for turned in (gray, gray.T):
        if (light := _stripes(turned)) is not None:
            even: Gray = np.where(light, 255 - turned, turned)
            return np.ascontiguousarray(even if turned is gray else even.T)
    return gray


def _stripes(gray: Gray) -> Mask | None:
    """A mask (W,) of the columns in light stripes between dark ones, or None if all columns are alike."""
    ends = np.stack([gray[0], gray[-1]])
    dark, light = (ends < STRIPE_DARK).all(0), (ends > STRIPE_LIGHT).all(0)
    if (dark | light).mean() < STRIPE_SHARE or min(dark.sum(), light.sum()) < STRIPE_SIDE or gray.shape[0] < 8:
        return None
    levels = float(np.median(ends[:, dark])) + float(np.median(ends[:, light]))
    return np.asarray(light, bool) if abs(levels - 255) <= STRIPE_OFF else None
