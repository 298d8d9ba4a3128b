"""Which ink decided, what the first layer looks for, what each convolution sees: the pictures of it and their page.

In: an `Insight`, all plain arrays. Out: PNG bytes by name, for light and dark pages alike; the page of `explain`.
Nothing here needs matplotlib: the pictures are grids of small tiles on nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from inkdigit.model.explain import SQUARE_PX, Explanation
from inkdigit.report.template import data_uri, render, size
from inkdigit.types import Floats, Gray

TEMPLATE = "explain.html.j2"
SHOWN_FILTERS = 64
SHOWN_CHANNELS = 24  # of each convolution, in the order of the network
COLUMNS = 8  # feature maps in a row at most, beside the picture: they are large enough to be seen on a phone
GIVEN_SIDE = 448  # pixels: the picture as it was given may be a photo
LEFT_OUT = "Filters, feature maps and gradients are left out."  # and then why
NEITHER, FOR, AGAINST = "#58585c", "#ff9e40", "#5ca0ff"  # ink on black
WEIGHT_COLOURS = ("#f7f6f2", "#c2410c", "#1d4fbf")  # of a weight: 0, above 0, below 0
EDGE = 128  # gray around a tile

Tile = NDArray[np.uint8]  # gray (H, W) or colour (H, W, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An explained image of a report, and its label in the data set where it has one."""

    explanation: Explanation
    label: str | None = None

    @property
    def title(self) -> str:
        """The predicted class; after the label where the two differ, as in "1 → 7"."""
        predicted = self.explanation.class_name
        return predicted if self.label in (None, predicted) else f"{self.label} → {predicted}"

    @property
    def note(self) -> str:
        """The confidence in words."""
        return f"{self.explanation.prediction.sureness} sure"


@dataclass(frozen=True, slots=True, eq=False)
class Insight:
    """How a model predicts: `examples`, whose feature maps are shown too, and its worst `mistakes`.

    `left_out` says what is not shown and how to get it, or is None; `prepare` is the kind of preprocessing: without
    "ink" the page speaks of parts of an image.
    """

    examples: tuple[Example, ...]
    mistakes: tuple[Example, ...] = ()
    filters: Floats | None = None  # (F, k, k): the first convolution's
    maps: Mapping[str, Floats] = field(default_factory=dict)  # convolution → (examples, C, H, W)
    activated: bool = True  # whether maps are those after the activation; of a user's network it is not known
    left_out: str | None = None
    prepare: str = "ink"

    @property
    def gradients(self) -> bool:
        """Whether gradients are known beside occlusion."""
        return any(example.explanation.gradients is not None for example in (*self.examples, *self.mistakes))


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """All that the page of `inkdigit explain` shows."""

    name: str
    given: Gray  # (H, W), before preprocessing
    explanation: Explanation
    facts: Mapping[str, str]
    insight: Insight | None  # None: there is no ink to hide, or no part that is not black
    prepare: str = "ink"  # the kind of preprocessing


def page(explained: Explained) -> str:
    """One explained image as HTML in one file.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    explanation, insight = explained.explanation, explained.insight
    plates = {"given": _thumbnail(explained.given), "seen": montage([[explanation.image]], side=GIVEN_SIDE)}
    if insight is not None:
        for name, values in (("occlusion", explanation.occlusion), ("gradients", explanation.gradients)):
            if values is not None:
                plates[name] = montage([[tint(explanation.image, values)]], side=GIVEN_SIDE)
        plates |= draw_internals(insight)
    return render(TEMPLATE, {"explained": explained, **shown(insight, plates)})


def shown(insight: Insight | None, plates: Mapping[str, bytes]) -> dict[str, Any]:
    """What `insight.html.j2` is filled with: the insight, and its plates as sources with width and height."""
    filters = None if insight is None else insight.filters
    return {
        "insight": insight,
        "plates": {name: (data_uri(png), *size(png)) for name, png in plates.items()},
        "shown_filters": SHOWN_FILTERS,
        "weight_colours": dict(zip(("none", "above", "below"), WEIGHT_COLOURS, strict=True)),
        "strongest_weight": None if filters is None else strongest(filters),
        "level_maps": {} if insight is None else {name: _count_level(maps) for name, maps in insight.maps.items()},
        "shown_channels": SHOWN_CHANNELS,
        "square": SQUARE_PX,
        "ink_colours": {"neither": NEITHER, "for": FOR, "against": AGAINST},
    }


def _count_level(maps: Floats) -> int:
    """How many of the shown maps of a convolution (N, C, H, W) are level."""
    return sum(is_level(channel) for channels in maps for channel in channels[:SHOWN_CHANNELS])


def draw(insight: Insight) -> dict[str, bytes]:
    """Every image that there is something for: file stem → PNG bytes."""
    drawn = {f"saliency-{i}": saliency(example.explanation) for i, example in enumerate(insight.examples, 1)}
    drawn |= {f"mistake-{i}": saliency(example.explanation) for i, example in enumerate(insight.mistakes, 1)}
    return drawn | draw_internals(insight)


def draw_internals(insight: Insight) -> dict[str, bytes]:
    """The filters and the feature maps, as far as they are known: file stem → PNG bytes."""
    drawn = {}
    if insight.filters is not None and len(insight.filters):
        drawn["filters"] = filter_plate(insight.filters)
    images = [example.explanation.image for example in insight.examples]
    return drawn | {f"maps-{name}": map_plate(images, maps) for name, maps in insight.maps.items() if images}


def saliency(explanation: Explanation) -> bytes:
    """Side by side: the image, its ink coloured by occlusion, and by gradients where there are any."""
    maps = [values for values in (explanation.occlusion, explanation.gradients) if values is not None]
    return montage([[explanation.image, *(tint(explanation.image, values) for values in maps)]], side=140, gap=8)


def tint(picture: Gray, values: Floats) -> Tile:
    """The ink of `picture` (28, 28) on black: orange where `values` are above 0, blue below, grey near it.

    The strongest value on ink has the full colour; what lies on paper does not show.
    """
    ink = picture[..., None] / 255.0
    highest = float(np.abs(values[picture > 0]).max(initial=0.0))
    strength = (np.clip(values / highest, -1, 1) if highest > 0 else np.zeros(values.shape))[..., None]
    neither, for_, against = (np.array(ImageColor.getrgb(colour)) for colour in (NEITHER, FOR, AGAINST))
    coloured = neither + np.abs(strength) * (np.where(strength > 0, for_, against) - neither)
    tinted: Tile = np.rint(ink * coloured).astype(np.uint8)
    return tinted


def filter_plate(filters: Floats) -> bytes:
    """The first filters of `filters` (F, k, k): orange above 0, blue below, white at 0; one scale for all."""
    filters = filters[:SHOWN_FILTERS]
    share = (filters / strongest(filters))[..., None]
    none, above, below = (np.array(ImageColor.getrgb(colour)) for colour in WEIGHT_COLOURS)
    tiles = np.rint(none + np.abs(share) * (np.where(share > 0, above, below) - none)).astype(np.uint8)
    return _png(_grid([list(tiles[i : i + 8]) for i in range(0, len(tiles), 8)], side=70, gap=8))


def strongest(filters: Floats) -> float:
    """The weight furthest from 0, the end of the scale of `filter_plate`; 1 where all are 0."""
    return float(np.abs(filters[:SHOWN_FILTERS]).max(initial=0.0)) or 1.0


def map_plate(pictures: Sequence[Gray], maps: Floats) -> bytes:
    """For each image, large at the left, the first channels of `maps` (N, C, H, W) in even rows."""
    count = min(maps.shape[1], SHOWN_CHANNELS)
    columns = math.ceil(count / math.ceil(count / COLUMNS))
    blocks = []
    for picture, channels in zip(pictures, maps, strict=True):
        tiles = [None if is_level(channel) else _stretched(channel) for channel in channels[:SHOWN_CHANNELS]]
        grid = _grid([tiles[i : i + columns] for i in range(0, count, columns)], side=56, gap=4)
        block = Image.new("LA", (grid.height + 12 + grid.width, grid.height))
        block.paste(_framed(picture, "LA", grid.height), (0, 0))
        block.paste(grid, (grid.height + 12, 0))
        blocks.append(block)
    plate = Image.new("LA", (blocks[0].width, len(blocks) * (blocks[0].height + 12) - 12))
    for i, block in enumerate(blocks):
        plate.paste(block, (0, i * (block.height + 12)))
    return _png(plate)


def is_level(channel: Floats) -> bool:
    """Whether a feature map (H, W) has one value everywhere: the image did not reach this channel."""
    return bool(channel.min() == channel.max())


def _stretched(channel: Floats) -> Tile:
    """One feature map as gray: black its lowest value, white its highest."""
    low, high = float(channel.min()), float(channel.max())
    stretched: Tile = np.rint(255 * (channel - low) / (high - low)).astype(np.uint8)
    return stretched


def montage(rows: Sequence[Sequence[Tile | None]], *, side: int, gap: int = 0) -> bytes:
    """A grid of small images as PNG, each enlarged to `side` pixels without smoothing; between them nothing."""
    return _png(_grid(rows, side=side, gap=gap))


def _grid(rows: Sequence[Sequence[Tile | None]], *, side: int, gap: int) -> Image.Image:
    tiles = [tile for row in rows for tile in row if tile is not None]
    mode = "LA" if all(tile.ndim == 2 for tile in tiles) else "RGBA"
    step, columns = side + gap, max(map(len, rows))
    canvas = Image.new(mode, (columns * step - gap, len(rows) * step - gap))
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            canvas.paste(_framed(tile, mode, side), (x * step, y * step))
    return canvas


def _framed(tile: Tile | None, mode: str, side: int) -> Image.Image:
    """A tile of `side` pixels with an edge that shows on light and dark pages; a stroke instead of one that is None."""
    enlarged = Image.new(mode, (side, side))
    if tile is not None:
        enlarged = Image.fromarray(tile).convert(mode).resize((side, side), Image.Resampling.NEAREST)
    pen, edge = ImageDraw.Draw(enlarged), (EDGE, 255) if mode == "LA" else (EDGE, EDGE, EDGE, 255)
    pen.rectangle((0, 0, side - 1, side - 1), outline=edge)
    if tile is None:
        pen.line((0, side - 1, side - 1, 0), edge)
    return enlarged


def _thumbnail(gray: Gray) -> bytes:
    """The image as it was given, enlarged by whole pixels or shrunk to at most 448 px a side."""
    picture = Image.fromarray(gray)
    times = GIVEN_SIDE // max(gray.shape)
    if times > 1:
        picture = picture.resize((gray.shape[1] * times, gray.shape[0] * times), Image.Resampling.NEAREST)
    picture.thumbnail((GIVEN_SIDE, GIVEN_SIDE))
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
