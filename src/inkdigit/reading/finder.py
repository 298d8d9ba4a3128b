"""Where the numbers of a picture are: from its ink to lines of digits and signs.

In: gray uint8 (H, W). Out: `Found`, the boxes of lines in the order of reading, and how much each looks
like a number and not like words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from inkdigit.picture.photo.groups import Group, groups
from inkdigit.picture.photo.network import MAX_SIDE_PX, look
from inkdigit.types import Box, Gray

NEAR_SIDE_PX = 288  # the square root of the pixels that a picture is looked at with
FAR_SIDE_PX = 900  # the same where the writing is small: ten numbers on a page
LOW_PX = 72  # the shorter side with which a picture is looked at, if it has fewer pixels
LONG = 5.0  # times as wide as high, or more: a picture that holds a line or two is looked at `LOW_PX` high
CLOSER = 1.2  # times: a second look with fewer pixels more would show nothing new
SMALL_PX = 20  # the height of writing that is looked at again with more pixels
TALL = 0.5  # of the tallest thing near it: less is a sign, or a piece of something
APART = 1.7  # of the height: digits of one line are not farther apart
LEVEL = 0.45  # of the lower one's height: so much of two things in a line is beside each other
ALIKE = 2.2  # times: how much higher one digit of a line may be than another
ABOVE, BELOW = 0.1, 0.35  # of the height: so far above or below a line the middle of a sign of it may be
BEFORE, BEHIND = 0.5, 1.0  # of the height: so far before or behind a line one of its signs may be
MARGIN = 0.15  # of the height of a line: what is around it when it is read
LIKE_NUMBER = 0.5  # the share of writing of numbers in what is one
MAX_THINGS, MAX_LINES = 1_500, 300  # of a page: more are noise, and their pairs take seconds
MIN_PX = 5  # the height of a line in what is looked at: less is a speck


@dataclass(frozen=True, slots=True)
class Found:
    """A line of writing in a picture."""

    box: Box  # in pixels of the picture, with a margin
    number: float  # 0 to 1: how much of it looks like a part of a number


def find(gray: Gray) -> list[Found]:
    """The lines of a picture, in the order in which they are read."""
    long = max(gray.shape) / min(gray.shape)
    near = _side_px(gray, NEAR_SIDE_PX if long < LONG else min(NEAR_SIDE_PX, LOW_PX * sqrt(long)))
    lines, shape = _lines(gray, near)
    far = _side_px(gray, FAR_SIDE_PX)
    if far > CLOSER * near and (not lines or min(line.height for line in lines) < SMALL_PX):
        lines, shape = _lines(gray, far)
    scale = gray.shape[0] / shape[0], gray.shape[1] / shape[1]
    return _in_order([_found(line, gray.shape, scale) for line in lines])


def _side_px(gray: Gray, most: float) -> float:
    """The square root of the pixels with which a picture is looked at: no more than it has, unless it is low."""
    h, w = gray.shape
    long, short = max(h, w), min(h, w)
    enough = max(sqrt(gray.size), LOW_PX * sqrt(long / short))
    return min(enough, most, MAX_SIDE_PX * sqrt(short / long))  # a side beyond the last would become narrower alone


@dataclass(slots=True)
class _Line:
    """Things that are beside each other."""

    things: list[Group]
    height: float = field(init=False)  # of its digits

    def __post_init__(self) -> None:
        """Take the height from the things that are no signs."""
        tallest = max(thing.height for thing in self.things)
        heights = sorted(thing.height for thing in self.things if thing.height >= TALL * tallest)
        self.height = (heights[len(heights) // 2] + heights[(len(heights) - 1) // 2]) / 2  # np.median loads numpy.ma

    @property
    def box(self) -> Box:
        """Top, left, bottom, right of all of it."""
        return (
            min(thing.top for thing in self.things),
            min(thing.left for thing in self.things),
            max(thing.bottom for thing in self.things),
            max(thing.right for thing in self.things),
        )


def _lines(gray: Gray, side_px: float) -> tuple[list[_Line], tuple[int, ...]]:
    """The things of each line, at the size where they are looked for."""
    things, labels, _ = groups(look(gray, side_px=side_px))
    things = [thing for thing in things[:MAX_THINGS] if thing.height >= 2 or thing.width >= 2]
    if not things:
        return [], labels.shape
    top, left, bottom, right = np.array([(t.top, t.left, t.bottom, t.right) for t in things]).T
    height = bottom - top
    taller, lower = np.maximum.outer(height, height), np.minimum.outer(height, height)
    gap = np.maximum.outer(left, left) - np.minimum.outer(right, right)
    beside = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    near = (gap <= APART * taller) & (beside >= LEVEL * lower)
    is_tall = height >= TALL * np.where(near, height[None, :], 0).max(axis=1)
    joins = near & (taller <= ALIKE * lower) & is_tall & is_tall[:, None]
    lines = [_Line([things[i] for i in line]) for line in _connected(joins, np.flatnonzero(is_tall).tolist())]
    lines = sorted((line for line in lines if line.height >= MIN_PX), key=lambda line: -len(line.things))[:MAX_LINES]
    small = [things[i] for i in np.flatnonzero(~is_tall).tolist()]
    for _ in range(2):  # what is beside a small thing that was beside the line
        small = _joined(small, lines)
    return lines, labels.shape


def _connected(joins: NDArray[np.bool_], members: list[int]) -> list[list[int]]:
    """The members that are connected, by way of others too."""
    left, lines = set(members), []
    while left:
        line, todo = [], [left.pop()]
        while todo:
            one = todo.pop()
            line.append(one)
            beside = left.intersection(np.flatnonzero(joins[one]).tolist())
            left -= beside
            todo += beside
        lines.append(line)
    return lines


def _joined(small: list[Group], lines: list[_Line]) -> list[Group]:
    """Give small things to the line in which, or beside which, they are; those that are left."""
    if not lines:
        return small
    top, left, bottom, right = np.array([line.box for line in lines]).T
    height = np.array([line.height for line in lines])
    rest = []
    for thing in small:
        middle = (thing.top + thing.bottom) / 2
        inside = (top - ABOVE * height <= middle) & (middle <= bottom + BELOW * height)
        inside &= (left - BEFORE * height <= thing.right) & (thing.left <= right + BEHIND * height)
        if inside.any():
            lines[int(inside.argmax())].things.append(thing)
        else:
            rest.append(thing)
    return rest


def _found(line: _Line, full: tuple[int, ...], scale: tuple[float, float]) -> Found:
    """A line in the pixels of the picture."""
    top, left, bottom, right = line.box
    y, x = scale
    margin = MARGIN * line.height
    mass = sum(thing.mass for thing in line.things)
    box = (
        max(0, int((top - margin) * y)),
        max(0, int((left - margin) * x)),
        min(full[0], int(np.ceil((bottom + margin) * y))),
        min(full[1], int(np.ceil((right + margin) * x))),
    )
    return Found(box, sum(thing.mass * thing.number for thing in line.things) / mass)


def _in_order(lines: list[Found]) -> list[Found]:
    """Top to bottom, and left to right where they are beside each other."""
    rows: list[list[Found]] = []
    for line in sorted(lines, key=lambda line: line.box[0] + line.box[2]):
        middle = (line.box[0] + line.box[2]) / 2
        if rows and any(other.box[0] <= middle <= other.box[2] for other in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[1])]
