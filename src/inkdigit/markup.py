"""Markup: what a notebook shows of an object, as HTML of a few kilobytes with its images inside.

In: texts, numbers, gray images, the paths of pictures. Out: `Html`; every other text is escaped. Text and lines have
the colours of the page around them, so that all of it is readable on a light and on a dark one. Where a page shows no
styles, the texts and numbers are still there.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

BLUE, ORANGE = "#5b86e0", "#d9732e"  # readable on white and on black: training or right, validation or wrong
THUMBNAIL_PX = 112  # the side of a picture beside the 28×28 pixels that were made of it, each of them 4 wide
JPEG_QUALITY = 75
MAX_CLASSES = 20  # that a table lists; of more it shows the first ones
MAX_POINTS = 120  # of a curve that is 300 px wide
WIDE = 20  # a curve that spans more than this factor gets a logarithmic axis
MAX_FIGURE = 1e30  # larger figures are damage

CELL = "padding:.1em .7em .1em 0;border:0;background:none;vertical-align:middle;text-align:"
COUNT = "padding:.15em .35em;min-width:2em;min-height:1em;text-align:right"
QUIET = "opacity:.65"

Images = NDArray[np.uint8]  # (N, h, w)
Points = Sequence[tuple[float, float]]


class Html(str):
    """Markup, which is shown as it is; any other text is escaped."""

    __slots__ = ()


def escaped(content: object) -> Html:
    """The content as markup; None is empty."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else html.escape(str(content)))


def _tag(name: str, *content: object, style: str = "", **attributes: object) -> Html:
    """An element; attributes in Python's spelling."""
    given = {**({"style": style} if style else {}), **attributes}
    text = "".join(f' {key.replace("_", "-")}="{html.escape(str(value))}"' for key, value in given.items())
    return Html(f"<{name}{text}>{''.join(map(escaped, content))}</{name}>")


def block(title: object, *parts: object, note: object = "") -> Html:
    """An object: its title with a note, and its parts below each other."""
    head = _tag("div", _tag("b", title), " ", _tag("span", note, style=QUIET))
    return _tag("div", head, *(_tag("div", part, style="margin-top:.5em") for part in parts if part))


def beside(*parts: object) -> Html:
    """Parts side by side, on several lines where the page is narrow."""
    shown = [_tag("div", part) for part in parts if part]
    return _tag("div", *shown, style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start")


def captioned(part: Html, caption: str) -> Html:
    """A part with a caption below it; nothing where there is no part."""
    return Html(part + _tag("div", caption, style=f"{QUIET};font-size:.85em")) if part else part


def table(rows: Iterable[Sequence[object]], *, head: Sequence[object] = (), left: int = 1) -> Html:
    """A table whose first `left` columns are text, and the others numbers."""
    lines = [_row("td", row, left) for row in rows]
    titles = [_tag("thead", _row("th", head, left))] if head else []
    return _tag("table", *titles, _tag("tbody", *lines), style="border-collapse:collapse;margin:0;font-size:.95em")


def _row(name: str, cells: Sequence[object], left: int) -> Html:
    """A row of cells; an empty one is the head of nothing, so that nobody who listens to a page is told of it."""
    names = [name if cell != "" else "td" for cell in cells]
    aligned = enumerate(zip(names, cells, strict=True))
    return _tag(
        "tr", *(_tag(kind, cell, style=f"{CELL}{'left' if i < left else 'right'}") for i, (kind, cell) in aligned)
    )


def facts(pairs: Mapping[str, object]) -> Html:
    """Names and what they are."""
    style = f"{QUIET};white-space:nowrap"
    return table([(_tag("span", name, style=style), value) for name, value in pairs.items()], left=2)


def folded(summary: str, part: Html) -> Html:
    """A part that a click opens."""
    return _tag("details", _tag("summary", summary), part)


def bars(names: Sequence[str], shares: Sequence[float]) -> Html:
    """A bar for each name, and its share in per cent."""
    return table([(name, _bar(part), share(part)) for name, part in zip(names, shares, strict=True)], left=2)


def percent(fraction: float) -> str:
    """A fraction that was measured, in per cent."""
    return f"{100 * fraction:.2f} %"


def percent_range(limits: Sequence[float]) -> str:
    """An interval of fractions, in per cent."""
    return f"{100 * limits[0]:.2f}–{100 * limits[1]:.2f} %"


def share(fraction: float) -> str:
    """A confidence in per cent, rounded down, so that only certainty is 100 %."""
    return f"{math.floor(fraction * 10_000) / 100:.2f} %"


def _bar(part: float) -> Html:
    length = f"width:{10 * part:.2f}em;min-width:1px;height:.75em;background:{BLUE};border-radius:2px"
    return _tag("div", _tag("div", style=length), style="width:10em")


def progress(part: float, said: str) -> Html:
    """A bar that is full at 1, and what it says."""
    return _tag("div", _tag("progress", value=f"{part:.4f}", max=1), " ", said)


def image(pixels: NDArray[np.uint8], *, scale: int = 1, title: str = "") -> Html:
    """An image, gray (h, w) or with colour and transparency (h, w, 4), each of its pixels `scale` wide."""
    written = BytesIO()
    Image.fromarray(pixels).save(written, "PNG", optimize=True)
    return _picture("png", written.getvalue(), pixels.shape[1] * scale, pixels.shape[0] * scale, title=title)


def _picture(kind: str, data: bytes, width: int, height: int, *, title: str = "") -> Html:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    style = "image-rendering:pixelated;max-width:none;margin:0;display:block"
    return Html(
        f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(title)}" '
        f'title="{html.escape(title)}" style="{style}">'
    )


def strip(images: Images) -> Html:
    """Images side by side, in 16 levels of gray: these take half the bytes."""
    return image(np.concatenate([*(images & 0xF0)], axis=1)) if len(images) else Html()


def thumbnail(
    file: str | Path | None, *, side_px: int = THUMBNAIL_PX, boxes: Sequence[tuple[Sequence[int], str]] = ()
) -> Html:
    """The picture of a file, `side_px` long; nothing if it is gone.

    `boxes` are (top, left, bottom, right) in its pixels, each with a colour.
    """
    with suppress(OSError, ValueError, SyntaxError, TypeError, EOFError, OverflowError, Image.DecompressionBombError):
        if file is not None and Path(file).is_file():
            small, scale = _small(Path(file), side_px)
            written = BytesIO()
            small.save(written, "JPEG", quality=JPEG_QUALITY)
            larger = max(1, side_px // max(small.size))  # where the picture itself is smaller
            shown = small.width * larger, small.height * larger
            picture = _picture("jpeg", written.getvalue(), *shown, title=Path(file).name)
            return _with_boxes(picture, boxes, shown, scale=scale * larger) if boxes else picture
    return Html()


def _small(file: Path, side_px: int) -> tuple[Image.Image, float]:
    """A picture on white, turned as its EXIF tag demands, at most `side_px` long; and by how much it is scaled."""
    with Image.open(file) as opened:
        longest = max(opened.size)
        opened.draft("RGB", (2 * side_px, 2 * side_px))
        turned = ImageOps.exif_transpose(opened)
        if turned.mode[0] in "IF":  # 16 bits or more
            levels = np.asarray(turned, np.float64)
            turned = Image.fromarray((levels * (255 / max(levels.max(), 1))).astype(np.uint8))
        layer = turned.convert("RGBA")
    paper = Image.new("RGB", layer.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    paper.thumbnail((side_px, side_px))
    return paper, max(paper.size) / longest


def _with_boxes(
    picture: Html, boxes: Sequence[tuple[Sequence[int], str]], size: tuple[int, int], *, scale: float
) -> Html:
    frames = []
    for (top, left, bottom, right), colour in boxes:
        place = f"left:{left * scale:.1f}px;top:{top * scale:.1f}px"
        extent = f"width:{(right - left) * scale:.1f}px;height:{(bottom - top) * scale:.1f}px"
        frames.append(_tag("div", style=f"position:absolute;{place};{extent};outline:2px solid {colour}"))
    return _tag("div", picture, *frames, style=f"position:relative;width:{size[0]}px;height:{size[1]}px")


def confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> Html:
    """True class by row, class as read by column (K, K): right in one colour, mistakes in another by their rate.

    With more classes than a table can hold it is an image, and the most frequent mistakes are listed.
    """
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    alpha = np.where(right, 0.5 * rates, np.where(counts > 0, 0.15 + 0.75 * np.sqrt(rates), 0))
    if len(classes) > MAX_CLASSES:
        return beside(_as_image(right, alpha), _most_frequent(np.where(right, 0, counts), classes))
    rows = [
        [_tag("b", name), *(_cell(n, on, a) for n, on, a in zip(*line, strict=True))]
        for name, line in zip(classes, zip(counts.tolist(), right.tolist(), alpha.tolist(), strict=True), strict=True)
    ]
    head = ["", *(_tag("div", name, style=COUNT) for name in classes)]
    return captioned(table(rows, head=head), "true class by row, read as by column")


def _cell(count: int, on_diagonal: bool, alpha: float) -> Html:
    shade = f"{BLUE if on_diagonal else ORANGE}{round(255 * alpha):02x}"
    return _tag("div", f"{count:,}" if count else "", style=f"background:{shade};{COUNT}")


def _as_image(right: NDArray[np.bool_], alpha: NDArray[np.float64]) -> Html:
    colours = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in (ORANGE, BLUE)], np.uint8)
    pixels = np.concatenate([colours[right.astype(int)], np.rint(255 * alpha)[..., None].astype(np.uint8)], axis=2)
    drawn = image(pixels, scale=max(2, 300 // len(right)), title="confusion matrix")
    return captioned(drawn, "true class by row, read as by column")


def _most_frequent(mistakes: NDArray[np.int64], classes: Sequence[str]) -> Html:
    order = np.argsort(-mistakes, axis=None, kind="stable")[:10]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, mistakes.shape), strict=True)]
    rows = [(classes[i], classes[j], f"{mistakes[i, j]:,}") for i, j in pairs if mistakes[i, j]]
    return table(rows, head=("true", "read as", "images"), left=2) if rows else escaped("No mistakes.")


def curves(title: str, colours: Mapping[str, str], named: Mapping[str, Points]) -> Html:
    """Curves by epoch, the points (epoch, value) of each, in its colour; a logarithmic axis where they span much."""
    drawn = {name: kept for name, points in named.items() if (kept := _kept(points))}
    if not drawn:
        return Html()
    xs, ys = (np.concatenate([np.array(points)[:, i] for points in drawn.values()]) for i in (0, 1))
    log = ys.min() > 0 and ys.max() > WIDE * ys.min()
    low, high = (float(np.log(y)) if log else float(y) for y in (ys.min(), ys.max()))
    span, last = high - low or 1.0, float(xs.max()) or 1.0

    def place(x: float, y: float) -> str:
        up = ((math.log(y) if log else y) - low) / span
        return f"{44 + 240 * x / last:.1f},{142 - 118 * up:.1f}"

    marks = [low, low + span / 2, low + span]
    parts = [_text(40, 145 - 59 * i, f"{math.exp(m) if log else m:.3g}", "end") for i, m in enumerate(marks)]
    parts += [_tag("path", d=f"M44 {142 - 59 * i}h240", stroke="currentColor", stroke_opacity=0.2) for i in range(3)]
    parts += [_text(284, 158, f"epoch {last:g}", "end"), _text(44, 158, "0", "middle"), _text(0, 12, title)]
    for i, (name, points) in enumerate(drawn.items()):
        colour = colours[name]
        line = " ".join(place(x, y) for x, y in points)
        parts.append(_tag("polyline", points=line, fill="none", stroke=colour, stroke_width=1.8))
        x, y = place(*points[-1]).split(",")
        parts.append(_tag("circle", cx=x, cy=y, r=2.5, fill=colour))
        parts.append(_text(284 - 104 * (len(drawn) - 1 - i), 12, f"{name} {points[-1][1]:.3g}", "end", fill=colour))
    return _tag("svg", *parts, viewBox="0 0 290 164", width=290, height=164, role="img", aria_label=title)


def _text(x: float, y: float, text: str, anchor: str = "start", *, fill: str = "currentColor") -> Html:
    return _tag("text", text, x=x, y=y, fill=fill, font_size=11, text_anchor=anchor, font_family="sans-serif")


def _kept(points: Points) -> list[tuple[float, float]]:
    """The finite points, the means of neighbours where there are too many to draw."""
    finite = [(x, y) for x, y in points if math.isfinite(y) and abs(y) < MAX_FIGURE]
    every = -(-len(finite) // MAX_POINTS) or 1
    pieces = [finite[i : i + every] for i in range(0, len(finite), every)]
    return [(piece[-1][0], sum(y for _, y in piece) / len(piece)) for piece in pieces]
