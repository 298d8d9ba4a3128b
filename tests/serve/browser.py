"""A real browser on the page: how to open it, and how a hand draws on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from inkdigit.data.glyphs import DIGIT_GLYPHS

Line = Sequence[tuple[float, float]]  # in shares of the glyph's height

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic")


@dataclass
class Watched:
    """A page, what it said on its console, and where it asked."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Write down what is said and asked; a refused request is told by its status, and is no fault of the page."""
        self.page.on("console", lambda one: self._hear(one.type, one.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.said.append(text)


def strokes(digit: int, variant: int = 0) -> list[list[tuple[float, float]]]:
    """The strokes of a digit, smooth, as many points as a hand gives."""
    return [_smooth(stroke.split()) for stroke in DIGIT_GLYPHS[digit][variant].split("|")]


def _smooth(words: list[str]) -> list[tuple[float, float]]:
    """Cut the corners between control points twice, but for the ends and for those marked `!` (Chaikin)."""
    points = [tuple(float(number) / 100 for number in word.rstrip("!").split(",")) for word in words]
    sharp = {point for point, word in zip(points, words, strict=True) if word.endswith("!")}
    sharp |= {points[0], points[-1]}
    line: list[Any] = points
    for _ in range(2):
        cut: list[Any] = [line[0]]
        for a, b in pairwise(line):
            cut += [a] * (a in sharp) + [_between(a, b, 0.25), _between(a, b, 0.75)] + [b] * (b in sharp)
        line = [*cut, line[-1]]
    return list(dict.fromkeys(line))


def _between(a: tuple[float, float], b: tuple[float, float], along: float) -> tuple[float, float]:
    return a[0] + (b[0] - a[0]) * along, a[1] + (b[1] - a[1]) * along


def draw(page: Any, lines: Iterable[Line], *, size: float = 0.6, lift: bool = True) -> None:
    """Draw lines with the mouse, in the middle of the paper; without `lift` the pen stays down in the end."""
    lines = list(lines)
    box = page.locator("#ink").bounding_box()
    side = box["width"]
    for number, line in enumerate(lines, 1):
        places = [
            (box["x"] + side * (0.5 + size * (x - 0.48)), box["y"] + side * (0.5 + size * (y - 0.5))) for x, y in line
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        if lift or number < len(lines):
            page.mouse.up()


def answer(page: Any, label: str) -> None:
    """Wait until the page shows `label`."""
    page.wait_for_function("label => document.getElementById('label').textContent === label", arg=label)
