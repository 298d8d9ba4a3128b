"""The picture of the formats: a model file, the plain graph, the files of four runtimes, and the comparison.

In: a theme. Out: an SVG of 640 × 376 units, readable at the width of a phone.
"""

from __future__ import annotations

from inkdigit.report.canvas import Theme

WIDTH, HEIGHT = 640, 376
BOX_HEIGHT = 56
FORMATS = (
    ("onnx", "any program that reads ONNX"),
    ("tflite", "Android, small devices"),
    ("openvino", "Intel, ARM"),
    ("coreml", "iPhone, iPad, Mac"),
)
TOP, GAP, RIGHT = 14, 72, 372


def draw(theme: Theme) -> bytes:
    """The picture in the colours of a theme."""
    middle = TOP + (GAP * (len(FORMATS) - 1) + BOX_HEIGHT) / 2
    parts = [
        _box(theme, 14, middle - BOX_HEIGHT / 2, 140, "model.onnx", "the model file", theme.blue),
        _arrow(theme, 154, middle, 190, middle),
        _box(theme, 190, middle - BOX_HEIGHT / 2, 140, "plain graph", "float32, opset 13", theme.muted),
    ]
    for i, (name, about) in enumerate(FORMATS):
        y = TOP + GAP * i
        parts.append(_arrow(theme, 330, middle, RIGHT, y + BOX_HEIGHT / 2))
        parts.append(_box(theme, RIGHT, y, WIDTH - RIGHT - 14, name, about, theme.green))
    bottom = TOP + GAP * (len(FORMATS) - 1) + BOX_HEIGHT
    line = bottom + 34
    parts.append(_path(theme, f"M {(RIGHT + WIDTH - 14) / 2} {bottom} V {line} H 84 V {middle + BOX_HEIGHT / 2 + 8}"))
    for i, words in enumerate(("opened by its own runtime: the same answers,", "or the file is not written")):
        parts.append(_text(RIGHT - 144, line + 22 + 20 * i, words, theme.text, 15, anchor="middle"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif">\n'
        f'<defs><marker id="end" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M 0 0 L 10 5 L 0 10 z" fill="{theme.muted}"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{theme.panel}"/>\n{body}\n</svg>\n'
    ).encode()


def _box(theme: Theme, x: float, y: float, width: float, name: str, about: str, colour: str) -> str:
    frame = (
        f'<rect x="{x}" y="{y:g}" width="{width}" height="{BOX_HEIGHT}" rx="6" fill="{theme.page}" stroke="{colour}" '
        'stroke-width="2"/>'
    )
    name_line = _text(x + 12, y + 24, name, theme.text, 17, weight=600)
    return f"{frame}\n{name_line}\n{_text(x + 12, y + 44, about, theme.muted, 14)}"


def _text(x: float, y: float, words: str, colour: str, size: int, *, weight: int = 400, anchor: str = "start") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{words}</text>'
    )


def _arrow(theme: Theme, x1: float, y1: float, x2: float, y2: float) -> str:
    return _path(theme, f"M {x1:g} {y1:g} L {x2 - 2:g} {y2:g}")


def _path(theme: Theme, d: str) -> str:
    return f'<path d="{d}" fill="none" stroke="{theme.muted}" stroke-width="1.5" marker-end="url(#end)"/>'
