"""The drawings of the guides: SVG in the colours of both themes. `python docs/pictures.py` writes them.

In: for `accuracy-recipes` the figures of `docs/accuracy.md`. Out: the text of each file. They are narrow, with large
type, so that they can be read on a phone.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

Colours = dict[str, str]

THEMES: dict[str, Colours] = {
    "light": {
        "none": "none",
        "text": "#1c2027",
        "quiet": "#666d79",
        "line": "#c4c9d1",
        "blue": "#2f5fd0",
        "soft": "#e6edfb",
        "orange": "#b34d06",
        "warm": "#fdeee0",
    },
    "dark": {
        "none": "none",
        "text": "#e8e6e1",
        "quiet": "#9aa1ad",
        "line": "#4a505c",
        "blue": "#86a8ff",
        "soft": "#1d2740",
        "orange": "#ff9d5c",
        "warm": "#3a2616",
    },
}
FONT = "font-family='Inter, Segoe UI, Roboto, Helvetica, Arial, sans-serif'"
WIDTH = 460
MEASURED = re.compile(r"^\| `([a-z0-9-]+)` \| ([\d.]+) ± ([\d.]+) % \| [^|]+\| [^|]+\| (\d+) \|", re.MULTILINE)
SHOWN = ("fast", "tiny", "minute", "distilled", "best", "ensemble")


def svg(name: str, height: int, body: Callable[[Colours], list[str]]) -> dict[str, str]:
    """A drawing in both themes: file name → text."""
    size = f"viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {FONT}>"
    return {f"{name}-{theme}.svg": "\n".join([head, *body(colours), "</svg>", ""]) for theme, colours in THEMES.items()}


def text(
    x: float, y: float, words: str, colour: str, *, anchor: str = "start", bold: bool = False, size: int = 15
) -> str:
    """A line of text."""
    look = f"fill='{colour}' text-anchor='{anchor}' font-size='{size}' font-weight='{600 if bold else 400}'"
    return f"<text x='{x:g}' y='{y:g}' {look}>{html.escape(words, quote=False)}</text>"


def box(x: float, y: float, width: float, height: float, fill: str, edge: str) -> str:
    """A rectangle with round corners."""
    place = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'"
    return f"<rect {place} rx='7' fill='{fill}' stroke='{edge}' stroke-width='1.5'/>"


def path(points: str, colour: str, *, width: float = 1.5, dashes: str = "none") -> str:
    """A line."""
    return f"<path d='{points}' fill='none' stroke='{colour}' stroke-width='{width:g}' stroke-dasharray='{dashes}'/>"


def down(x: float, y1: float, y2: float, colour: str) -> str:
    """An arrow that points down."""
    return path(f"M{x:g},{y1:g} V{y2:g} M{x - 5:g},{y2 - 8:g} L{x:g},{y2:g} L{x + 5:g},{y2 - 8:g}", colour, width=1.8)


def protocol() -> dict[str, str]:
    """Which samples `select` and `final` learn from, and which they report on."""
    learn, report = ("learns from these", "soft", "blue"), ("reports on these", "warm", "orange")
    rows = (
        ("select: to choose, as often as you like", ((*learn, 170), (*report, 130)), ("never read", "none", "line")),
        ("final: once, at the end", ((*learn, 300),), report),
    )

    def body(c: Colours) -> list[str]:
        parts = []
        for row, (title, pieces, (words, fill, edge)) in enumerate(rows):
            y, x = 30 + row * 112, 8
            parts += [
                text(8, y - 10, title, c["text"], bold=True),
                text(8, y + 70, "training split", c["quiet"], size=13),
                text(326, y + 70, "test split", c["quiet"], size=13),
            ]
            for said, inside, around, width in pieces:
                parts += [
                    box(x, y, width - 6, 50, c[inside], c[around]),
                    text(x + width / 2 - 3, y + 30, said, c["text"], anchor="middle", size=14),
                ]
                x += width
            parts += [
                box(326, y, 126, 50, c[fill], c[edge]),
                text(389, y + 30, words, c["quiet" if fill == "none" else "text"], anchor="middle", size=14),
            ]
        return parts

    return svg("recipe-protocol", 222, body)


def replicas() -> dict[str, str]:
    """Clients, a proxy, and replicas that share nothing."""

    def titled(x: float, y: float, title: str, below: str, c: Colours, *, ours: bool = True) -> list[str]:
        return [
            box(x, y, 216, 58, c["soft" if ours else "none"], c["blue" if ours else "line"]),
            text(x + 108, y + 25, title, c["text"], anchor="middle", bold=True),
            text(x + 108, y + 45, below, c["quiet"], anchor="middle", size=13),
        ]

    def body(c: Colours) -> list[str]:
        return [
            *titled(122, 6, "clients", "page, curl, inkdigit.Client", c, ours=False),
            down(230, 64, 106, c["quiet"]),
            text(242, 90, "HTTPS", c["quiet"], size=13),
            *titled(122, 108, "nginx, or a Service", "to the least busy replica", c),
            down(172, 166, 208, c["quiet"]),
            down(288, 166, 208, c["quiet"]),
            *titled(8, 210, "replica: inkdigit serve", "own models, own queue", c),
            *titled(236, 210, "replica: inkdigit serve", "own models, own queue", c),
        ]

    return svg("deploy-replicas", 276, body)


def recipes_measured() -> dict[str, str]:
    """Mean and standard deviation of each recipe over random seeds, as `docs/accuracy.md` has them."""
    page = (Path(__file__).parent / "accuracy.md").read_text(encoding="utf-8")
    rows = {name: (float(mean), float(sd), n) for name, mean, sd, n in MEASURED.findall(page)}
    records = {99.745: "published: fifteen networks", 99.65: "published: one network"}
    low, high, left, right, bottom = 99.2, 99.85, 28, 448, 50 + 44 * len(SHOWN)

    def place(percent: float) -> float:
        return left + (right - left) * (percent - low) / (high - low)

    def body(c: Colours) -> list[str]:
        parts = [path(f"M{left},{bottom} H{right}", c["line"], width=1.2)]
        for tick in (99.2, 99.4, 99.6, 99.8):
            x = place(tick)
            parts += [
                path(f"M{x:g},{bottom - 8} V{bottom}", c["quiet"], width=1.2),
                text(x, bottom + 18, f"{tick:.1f} %", c["quiet"], anchor="middle", size=13),
            ]
        for row, (percent, name) in enumerate(records.items()):
            x, y = place(percent), 16 + 18 * row
            parts += [
                path(f"M{x:g},{y - 8} V{bottom}", c["orange"], width=1.2, dashes="5 4"),
                text(x - 6, y, name, c["orange"], anchor="end", size=13),
            ]
        for row, name in enumerate(SHOWN):
            mean, sd, n = rows[name]
            y = 84 + 44 * row
            parts += [
                text(left + 6, y - 18, name, c["text"], bold=True),
                text(left + 100, y - 18, f"{mean:.3f} ± {sd:.3f} %, n = {n}", c["text"], size=13),
                path(f"M{place(mean - sd):g},{y} H{place(mean + sd):g}", c["blue"], width=3),
                f"<circle cx='{place(mean):g}' cy='{y}' r='5.5' fill='{c['blue']}'/>",
            ]
        return parts

    return svg("accuracy-recipes", bottom + 28, body)


DRAWINGS: dict[str, Callable[[], dict[str, str]]] = {
    "recipe-protocol": protocol,
    "deploy-replicas": replicas,
    "accuracy-recipes": recipes_measured,
}
