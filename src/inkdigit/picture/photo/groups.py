"""Which strokes belong together: from the shares of the ink network to the things that are written.

In: the shares (4, h, w). Out: groups of strokes, each a digit, a sign, a letter or a mark, with its box and its mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inkdigit.picture.components import Labels, boxes, components
from inkdigit.picture.photo.network import NUMBER, OTHER, RULING
from inkdigit.types import Floats

INK_SHARE = 0.5  # of a pixel: from here on it is ink
WHOLE = 0.25  # of what hangs together is writing: then all of it is
FRAME = 0.1  # of its longer side: a frame reaches so much farther than the writing in it, in both directions
MIN_MASS_PX = 4.0  # pixels of full ink: less is a speck
MIN_MASS_SHARE = 0.01  # of the heaviest stroke: less is a speck
NEAR = 0.12  # of the taller one's height: strokes that are nearer are one thing
ABOVE = 0.3  # of the taller one's height: the same for a stroke above or below, as the bar of a 5
BESIDE = 0.55  # of the taller one's height: a stroke of this height beside another is a digit of its own
SHARED = 0.4  # of the narrower one's width: so much of it must be above or below the other to be one thing with it


@dataclass(frozen=True, slots=True)
class Group:
    """Strokes that are one thing."""

    labels: tuple[int, ...]  # of its components
    top: int
    left: int
    bottom: int
    right: int
    mass: float  # the sum of its ink, in pixels
    number: float  # 0 to 1: how much of it looks like a part of a number, and not like other writing
    ruling: float  # 0 to 1: how much of it looks like a ruled line

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Its width in pixels."""
        return self.right - self.left

    def gap(self, other: Group) -> tuple[int, int]:
        """How far another one is from it in x and y, in pixels; negative where they overlap."""
        gap_x = max(self.left, other.left) - min(self.right, other.right)
        return gap_x, max(self.top, other.top) - min(self.bottom, other.bottom)

    def touches(self, shape: tuple[int, ...]) -> bool:
        """Whether it touches the border of a picture of this shape."""
        return min(self.top, self.left, shape[0] - self.bottom, shape[1] - self.right) == 0

    def hugs(self, shape: tuple[int, ...], *, within_px: float) -> bool:
        """Whether all of it is so near to one border of a picture of this shape."""
        return min(self.bottom, self.right, shape[0] - self.top, shape[1] - self.left) <= within_px


def groups(shares: Floats) -> tuple[list[Group], Labels, Floats]:
    """The things that are written, the heaviest first; the component of each pixel; the ink of each pixel (h, w)."""
    ink = ink_of(shares)
    labels, count = components(ink > INK_SHARE)
    mass, number, other, ruling = (
        np.bincount(labels.ravel(), of.ravel(), count + 1)
        for of in (ink, shares[NUMBER], shares[OTHER], shares[RULING])
    )
    mass[0] = 0
    heavy = mass >= max(MIN_MASS_PX, MIN_MASS_SHARE * mass.max())
    box = boxes(labels, count)
    found = []
    for i in np.flatnonzero(heavy).tolist():
        like_number, like_ruling = float(number[i] / (number[i] + other[i])), float(ruling[i] / mass[i])
        top, left, bottom, right = box[i].tolist()
        found.append(Group((i,), top, left, bottom, right, float(mass[i]), like_number, like_ruling))
    return _merge(sorted(found, key=lambda group: -group.mass)), labels, ink


def ink_of(shares: Floats) -> Floats:
    """The share of ink in each pixel (h, w); strokes of which a part was taken for a ruled line are ink as a whole.

    A level stroke of a digit may look like a ruled line. But lines go on to the border of the picture, and a frame is
    around what is in it: what hangs together away from the border, and has no frame, is ink if a part of it is.
    """
    ink = shares[NUMBER] + shares[OTHER]
    marks = ink + shares[RULING]
    labels, count = components(marks > INK_SHARE)
    mass = np.bincount(labels.ravel(), marks.ravel(), count + 1)
    whole = np.bincount(labels.ravel(), ink.ravel(), count + 1) >= WHOLE * mass
    outer, inner = (np.diff(boxes(of, count)[:, [0, 2, 1, 3]])[:, ::2] for of in (labels, labels * (ink > INK_SHARE)))
    whole &= (outer - inner < FRAME * outer.max(1, keepdims=True)).any(1)  # (count + 1, 2): height and width
    whole[0] = False
    for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        whole[border] = False
    return np.asarray(np.where(whole[labels], marks, ink), np.float32)


def _merge(strokes: list[Group]) -> list[Group]:
    """Join strokes, the heaviest first, as long as two belong together."""
    merged: list[Group] = []
    for stroke in strokes:
        i = 0
        while i < len(merged):
            if _belong(merged[i], stroke):
                stroke, i = _join(merged.pop(i), stroke), 0
            else:
                i += 1
        merged.append(stroke)
    return sorted(merged, key=lambda group: -group.mass)


def _join(a: Group, b: Group) -> Group:
    mass = a.mass + b.mass
    return Group(
        a.labels + b.labels,
        min(a.top, b.top),
        min(a.left, b.left),
        max(a.bottom, b.bottom),
        max(a.right, b.right),
        mass,
        (a.mass * a.number + b.mass * b.number) / mass,
        (a.mass * a.ruling + b.mass * b.ruling) / mass,
    )


def _belong(a: Group, b: Group) -> bool:
    """Whether two groups of strokes are one thing."""
    tall = max(a.height, b.height)
    gap_x, gap_y = a.gap(b)
    shared = -gap_x / max(1, min(a.width, b.width))
    if min(a.height, b.height) >= BESIDE * tall and shared < SHARED:
        return False  # side by side, each as high as a digit
    above = shared >= SHARED and gap_y <= ABOVE * tall and min(a.height, b.height) < BESIDE * tall
    return above or max(gap_x, gap_y) <= NEAR * tall
