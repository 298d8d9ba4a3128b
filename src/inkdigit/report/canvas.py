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
from typing import TYPE_CHECKING

from PIL import Image

from inkdigit.errors import MissingExtra
from inkdigit.types import Gray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 4.2  # shown at 327 px on a phone, where 9-point type is then nearly 10 px high
DPI = 220  # twice the pixels of the page, for sharp screens
MAX_TICKS = 26  # more class names on one axis overlap
EDGE = "#80808066"  # a frame around an image, so that white paper has an edge on a white page
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
    """The figure as a PNG with 256 colours: a third of the bytes, with no visible difference."""
    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    full = Image.open(drawn).convert("RGB")
    full.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(written, "PNG", optimize=True)
    return written.getvalue()


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
    """A grid of small images as PNG bytes; rows without captions are close to the row above."""
    cell = WIDTH_IN / (columns + 0.12 * (columns - 1) + 0.24)  # inches: the side of an image; gaps are 0.12 of it
    step, line = 1.12, LINE_IN / cell  # both in cells
    heights = [1.0 + 1.05 * line * max((len(tile.caption) for tile in row), default=0) for row in rows]
    gaps = [0.06 if height == 1.0 else 0.22 for height in heights]
    height = sum(heights) + sum(gaps[:-1]) + 0.24
    figure, axes = plane(WIDTH_IN, height * cell)
    figure.set_layout_engine("none")
    axes.set_position((0, 0, 1, 1))
    axes.axis("off")
    top = 0.12
    for row, tall, gap in zip(rows, heights, gaps, strict=True):
        for i, tile in enumerate(row):
            _draw_tile(axes, tile, left=0.12 + i * step, top=top, line=line)
        top += tall + gap
    axes.set(xlim=(0, WIDTH_IN / cell), ylim=(height, 0), aspect="auto")
    return png(figure)


def _draw_tile(axes: Axes, tile: Tile, *, left: float, top: float, line: float) -> None:
    from matplotlib.patches import Rectangle

    tall, wide = tile.image.shape
    w, h = wide / max(tall, wide), tall / max(tall, wide)
    x, y = left + (1 - w) / 2, top + (1 - h) / 2
    axes.imshow(tile.image, cmap="gray", vmin=0, vmax=255, extent=(x, x + w, y + h, y))
    axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=EDGE, linewidth=0.6))
    if tile.frame:
        style = (0, (2.5, 1.5)) if tile.dashed else "solid"
        axes.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=tile.frame, linewidth=2, linestyle=style))
    for i, (text, colour) in enumerate(tile.caption):
        axes.text(left + 0.5, top + 1.0 + (i + 0.12) * line, text, color=colour, fontsize=8.5, ha="center", va="top")
