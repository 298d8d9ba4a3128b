"""Where the numbers of a picture are: from its ink to lines of digits and signs.

In: gray uint8 (H, W). Out: `Found`, the boxes of lines in the order of reading, and how much each looks
like a number and not like words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from inkdigit.picture.photo.groups import Group, groups
from inkdigit.picture.photo.network import look
from inkdigit.types import Gray

NEAR_SIDE_PX = 288  # the square root of the pixels that a picture is looked at with
FAR_SIDE_PX = 900  # the same where the writing is small: ten numbers on a page
SMALL_PX = 20  # the height of writing that is looked at again with more pixels
TALL = 0.5  # of the tallest thing near it: less is a sign, or a piece of something
APART = 1.7  # of the height: digits of one line are not farther apart
LEVEL = 0.45  # of the lower one's height: so much of two things in a line is beside each other
ALIKE = 2.2  # times: how much higher one digit of a line may be than another
MARGIN = 0.15  # of the height of a line: what is around it when it is read
LIKE_NUMBER = 0.5  # the share of writing of numbers in what is one
MIN_PX = 5  # the height of a line in what is looked at: less is a speck


@dataclass(frozen=True, slots=True)
class Found:
    """A line of writing in a picture."""

    box: tuple[int, int, int, int]  # top, left, bottom, right, in pixels of the picture, with a margin
    number: float  # 0 to 1: how much of it looks like a part of a number


def find(gray: Gray) -> list[Found]:
    """The lines of a picture, in the order in which they are read."""
    side_px = min(sqrt(gray.size), NEAR_SIDE_PX)
    lines, shape = _lines(gray, side_px)
    if gray.size > 1.5 * side_px**2 and (not lines or min(_height(line) for line in lines) < SMALL_PX):
        lines, shape = _lines(gray, min(sqrt(gray.size), FAR_SIDE_PX))
    scale = gray.shape[0] / shape[0], gray.shape[1] / shape[1]
    return _in_order([_found(line, gray.shape, scale) for line in lines])


def _lines(gray: Gray, side_px: float) -> tuple[list[list[Group]], tuple[int, ...]]:
    """The things of each line, at the size where they are looked for."""
    things, labels, _ = groups(look(gray, side_px=side_px))
    things = [thing for thing in things if thing.height >= 2 or thing.width >= 2]
    tall = [a for a in things if a.height >= TALL * max(b.height for b in things if _are_near(a, b))]
    lines = _joined(tall)
    for thing in things:
        if thing not in tall and (of := _line_of(thing, lines)) is not None:
            of.append(thing)
    return [line for line in lines if _height(line) >= MIN_PX], labels.shape


def _are_near(a: Group, b: Group) -> bool:
    """Whether two things may be in one line."""
    gap_x, gap_y = a.gap(b)
    tall = max(a.height, b.height)
    return gap_x <= APART * tall and -gap_y >= LEVEL * min(a.height, b.height)


def _joined(things: list[Group]) -> list[list[Group]]:
    """Things of about the same height beside each other are a line."""
    lines: list[list[Group]] = []
    for thing in sorted(things, key=lambda thing: thing.left):
        beside = [
            line
            for line in lines
            if any(
                _are_near(thing, other) and max(thing.height, other.height) <= ALIKE * min(thing.height, other.height)
                for other in line
            )
        ]
        lines = [line for line in lines if line not in beside]
        lines.append([*(other for line in beside for other in line), thing])
    return lines


def _line_of(thing: Group, lines: list[list[Group]]) -> list[Group] | None:
    """The line in which, or beside which, a small thing is."""
    for line in lines:
        tall, box = _height(line), _box(line)
        inside = box[0] - 0.1 * tall <= (thing.top + thing.bottom) / 2 <= box[2] + 0.35 * tall
        if inside and box[1] - 0.5 * tall <= thing.right and thing.left <= box[3] + tall:
            return line
    return None


def _height(line: list[Group]) -> float:
    return float(np.median([thing.height for thing in line if 2 * thing.height >= max(t.height for t in line)]))


def _box(line: list[Group]) -> tuple[int, int, int, int]:
    return (
        min(thing.top for thing in line),
        min(thing.left for thing in line),
        max(thing.bottom for thing in line),
        max(thing.right for thing in line),
    )


def _found(line: list[Group], full: tuple[int, ...], scale: tuple[float, float]) -> Found:
    """A line in the pixels of the picture."""
    top, left, bottom, right = _box(line)
    y, x = scale
    margin = MARGIN * _height(line)
    mass = sum(thing.mass for thing in line)
    box = (
        max(0, int((top - margin) * y)),
        max(0, int((left - margin) * x)),
        min(full[0], int(np.ceil((bottom + margin) * y))),
        min(full[1], int(np.ceil((right + margin) * x))),
    )
    return Found(box, sum(thing.mass * thing.number for thing in line) / mass)


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
