"""What every figure is drawn with: the colours, the style, axes, a grid of small images, and the PNG at the end.

In: arrays and texts. Out: PNG bytes. Figures are small with large type, so that they are readable at the width of a
phone. Pyplot is not used, and the caller's matplotlib settings are not changed.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inkdigit.errors import MissingExtra
from inkdigit.types import Gray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 4.2  # shown at 327 px on a phone, where 9-point type is then nearly 10 px high
DPI = 220  # twice the pixels of the page, for sharp screens
MAX_TICKS = 26  # more class names on one axis overlap
EDGE = "#80808066"  # a frame around an image, so that white paper has an edge on a white page
CAPTION_PT = 8.5
SMOOTH_BELOW = 3  # pixels of the figure for one of an image: fewer are blended, more shown as squares
LINE_IN = 0.155  # the height of a line of caption: 8.5-point type with its leading


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of the page and of every figure on it."""

    name: str
    page: str
    panel: str  # behind a figure
    text: str
    muted: str
    line: str
    blue: str  # training; right answers in a confusion matrix
    orange: str  # validation or test; wrong answers in a confusion matrix
    green: str
    red: str


LIGHT = Theme(
    name="light",
    page="#f5f4ef",
    panel="#ffffff",
    text="#1c2027",
    muted="#666d79",
    line="#e4e3dc",
    blue="#2f5fd0",
    orange="#d2591f",
    green="#15803d",
    red="#c62f2f",
)
DARK = Theme(
    name="dark",
    page="#0f1115",
    panel="#181b21",
    text="#e8e9ec",
    muted="#9aa1ad",
    line="#2c313a",
    blue="#7ea6ff",
    orange="#ff9d66",
    green="#5fd08a",
    red="#ff8585",
)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One small image of a grid, lines of caption (text, colour) below it, and a frame if it has a colour."""

    image: Gray  # (H, W), shown completely inside a square
    caption: tuple[tuple[str, str], ...] = ()
    frame: str | None = None
    dashed: bool = False


@contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Draw in the colours of `theme` inside the block; the caller's matplotlib settings are restored afterwards.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import style
    except ModuleNotFoundError as exc:
        raise MissingExtra("Drawing the figures of a report needs matplotlib", "report") from exc
    settings = {
        "figure.facecolor": theme.panel,
        "axes.facecolor": theme.panel,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.muted,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.line,
        "grid.linewidth": 0.8,
        "text.color": theme.text,
        "text.parse_math": False,  # the name of a class may be "$x$"
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "font.size": 9,
        "legend.frameon": False,
        "legend.handlelength": 1.2,
        "legend.columnspacing": 1.4,
        "lines.solid_capstyle": "round",
    }
    with warnings.catch_warnings(), style.context(["default", settings]):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # it is drawn as a box
        yield


def plane(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return _as_png(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB"))


def _as_png(image: Image.Image) -> bytes:
    """The image as a PNG with 256 colours: a third of the bytes, with no visible difference."""
    written = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(written, "PNG")
    return written.getvalue()


def dark_colours() -> NDArray[np.float64]:
    """What turns the colours of a figure in `LIGHT` into those of `DARK`: (3, 4), for (red, green, blue, 1) in [0, 1].

    Exactly for panel, text, blue and orange and all that is mixed of them, so that one figure serves both themes; the
    other colours of the themes come out near theirs.
    """
    names = ("panel", "text", "blue", "orange")
    light, dark = ([_rgb(getattr(theme, name)) for name in names] for theme in (LIGHT, DARK))
    return np.linalg.solve(np.column_stack([light, np.ones(4)]), dark).T


def _rgb(colour: str) -> list[float]:
    """ "#rrggbb" as three numbers in [0, 1]."""
    return [part / 255 for part in bytes.fromhex(colour.removeprefix("#"))]


def points(rows: Sequence[Mapping[str, float]], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values of the rows whose value is a finite number: the points of a curve."""
    pairs = [(row["epoch"], row[key]) for row in rows if math.isfinite(row.get(key, math.nan))]
    return [x for x, _ in pairs], [y for _, y in pairs]


def log_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2 and 5 of each decade; the data must be above 0."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def name_ticks(axes: Axes, names: Sequence[str], *, axis: str) -> None:
    """Write class names along an axis: all up to 26, else every n-th; long names are cut, and vertical under x."""
    every = -(-len(names) // MAX_TICKS)
    ticks = range(0, len(names), every)
    shown = [short(names[i], 14) for i in ticks]
    if axis == "x":
        vertical = len(names) > 5 and max(map(len, shown)) > (3 if len(names) <= 12 else 1)
        axes.set_xticks(ticks, labels=shown, rotation=90 if vertical else 0)
    else:
        axes.set_yticks(ticks, labels=shown)


def short(name: str, max_length: int) -> str:
    """The name, cut to at most `max_length` characters."""
    return name if len(name) <= max_length else f"{name[: max_length - 1]}…"


def tile_grid(rows: Sequence[Sequence[Tile]], *, columns: int) -> bytes:
    """A grid of small images as PNG bytes; rows without captions are close to the row above.

    It is drawn without matplotlib, which takes ten times as long for so many images, in the colours and with the font
    that are set there.
    """
    import matplotlib

    cell = DPI * WIDTH_IN / (columns + 0.12 * (columns - 1) + 0.24)  # the side of an image; gaps are 0.12 of it
    line = DPI * LINE_IN / cell  # in cells, as all that follows
    heights = [1.0 + 1.05 * line * max((len(tile.caption) for tile in row), default=0) for row in rows]
    gaps = [0.06 if height == 1.0 else 0.22 for height in heights]
    height = sum(heights) + sum(gaps[:-1]) + 0.24
    size = round(DPI * WIDTH_IN), round(height * cell)
    image = Image.new("RGB", size, matplotlib.rcParams["figure.facecolor"])
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), CAPTION_PT * DPI / 72)
    top = 0.12
    for row, tall, gap in zip(rows, heights, gaps, strict=True):
        for i, tile in enumerate(row):
            left = 0.12 + i * 1.12
            _draw_tile(image, tile, left=left * cell, top=top * cell, side=cell)
            for k, (text, colour) in enumerate(tile.caption):
                below = (left + 0.5) * cell, (top + 1.0 + (k + 0.12) * line) * cell
                ImageDraw.Draw(image).text(below, text, fill=colour, font=font, anchor="ma")
        top += tall + gap
    return _as_png(image)


def _draw_tile(image: Image.Image, tile: Tile, *, left: float, top: float, side: float) -> None:
    """Paste an image into a square of `side` pixels, and draw its frames."""
    zoom = side / max(tile.image.shape)
    tall, wide = (max(1, round(zoom * length)) for length in tile.image.shape)
    x, y = round(left + (side - wide) / 2), round(top + (side - tall) / 2)
    how = Image.Resampling.NEAREST if zoom > SMOOTH_BELOW else Image.Resampling.BICUBIC
    image.paste(Image.fromarray(tile.image).resize((wide, tall), how), (x, y))
    pen = ImageDraw.Draw(image, "RGBA")
    pen.rectangle((x, y, x + wide, y + tall), outline=EDGE, width=2)
    if tile.frame:
        _draw_frame(pen, round(left), round(top), round(side), tile)


def _draw_frame(pen: ImageDraw.ImageDraw, left: int, top: int, side: int, tile: Tile) -> None:
    """A frame of 2 points around a square; a dashed one has lines of 5 points and gaps of 3."""
    half, dash, step = DPI // 72, 5 * DPI // 72, (8 if tile.dashed else 5) * DPI // 72
    for start in range(0, side, step):
        end = min(start + dash, side)
        for edge in (0, side):
            pen.rectangle((left + start, top + edge - half, left + end, top + edge + half), fill=tile.frame)
            pen.rectangle((left + edge - half, top + start, left + edge + half, top + end), fill=tile.frame)
