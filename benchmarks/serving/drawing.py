"""A script that draws on the page in a real browser, and times how soon the page answers.

In: the address of the service. Out: milliseconds from the end of the last stroke to the answer on the screen, one per
digit. The browser is Debian's `chromium`, driven by Playwright; it runs on the same cores as the service.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

from inkdigit.synth.glyphs import DIGIT_GLYPHS

Line = Sequence[tuple[float, float]]  # in shares of the glyph's height

PROGRAM = "chromium"
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic")
DESKTOP = {"width": 1280, "height": 800}
PATIENCE_MS = 10_000
PACE_MS = 8  # between two points of a stroke: some 125 a second, as a mouse or a screen gives them

# A stroke ends when the browser receives the event; an answer counts from the frame that shows it with its reasons,
# which the page requests when the pen rests. Only a request after the last stroke counts; an answer without reasons
# counts as PATIENCE_MS.
STOPWATCH = """([strokes, patience]) => {
  let ended = 0, answered = false;
  const fetch = window.fetch;
  window.fetch = async (...request) => {
    const last = strokes === 0;
    const response = await fetch(...request);
    answered ||= last;
    return response;
  };
  addEventListener("pointerup", (event) => { strokes -= 1; ended = event.timeStamp; }, true);
  window.answered = new Promise((done) => {
    const why = document.getElementById("why");
    const look = () => answered && why.getAttribute("aria-label").includes("speaks for") && shown();
    const shown = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - ended)));
    new MutationObserver(look).observe(why, { attributes: true });
    setTimeout(() => done(patience), patience);
  });
}"""


def strokes(digit: int, variant: int = 0) -> list[list[tuple[float, float]]]:
    """The strokes of a digit, smooth, with as many points as a person draws."""
    return [_smooth(stroke.split()) for stroke in DIGIT_GLYPHS[digit][variant].split("|")]


def _smooth(words: list[str]) -> list[tuple[float, float]]:
    """Cut the corners between control points twice, except at the ends and at those marked `!` (Chaikin)."""
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


def draw(page: Any, lines: Iterable[Line], *, size: float = 0.6, lift: bool = True, pace_ms: float = 0) -> None:
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
            if pace_ms:
                page.wait_for_timeout(pace_ms)
        if lift or number < len(lines):
            page.mouse.up()


@contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium; exits without one."""
    program = shutil.which(PROGRAM)
    if program is None:
        sys.exit(f"There is no {PROGRAM} here: it draws on the page.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=CHROMIUM)
        yield running
        running.close()


def times(running: Any, url: str, digits: Sequence[int]) -> dict[str, Any]:
    """Draw digits, two or more, each on a page that was just opened: the times, and the right answers."""
    took, right = [], 0
    for digit in digits:
        page = running.new_page(viewport=DESKTOP)
        page.goto(url)
        page.wait_for_selector("#model-line:not([hidden])")
        lines = strokes(digit)
        page.evaluate(STOPWATCH, [len(lines), PATIENCE_MS])
        draw(page, lines, pace_ms=PACE_MS)
        took.append(page.evaluate("window.answered"))
        right += page.inner_text("#label") == str(digit)
        page.close()
    soon = {"median": median(took), "p95": quantiles(took, n=20)[-1], "min": min(took), "max": max(took)}
    return {"n": len(took), "right": right, "answer_ms": soon, "chromium": running.version}
