"""Cells of tables that are drawn while the cell network learns: printed and handwritten digits, and empty ones.

In: a bank of inks and a random generator. Out: what a camera sees of each cell, uint8 (N, 1, 32, 32), and its label; 10
is an empty cell. All steps work on a whole batch at once. The cells have the remains of their lines at their edges,
shade, what shines through the paper, specks and stains; they are out of focus, of few pixels and noisy. Half of them
are calm: sharp, and with hardly any noise, so that what is learned is the forms of digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from inkdigit.picture.prepare import tight
from inkdigit.reading.cell_network import BORDER, EMPTY, SIDE_PX
from inkdigit.synth import printed, writers
from inkdigit.types import Gray, Part

INK_PX = 64  # the side of an ink in the bank
CANVAS_PX = 64  # the side with which cells are drawn
EMPTY_SHARE = 0.12
PRINT_SHARE = 0.3  # of the digits
CALM_SHARE = 0.5  # of the cells
PHOTO_PX = (11, 48)  # of what is seen of a cell, in its photo
SHRUNK = (0.28, 0.8)  # the height of a digit, in shares of the cell's
# The standard deviation, in pixels of 32 a side: 3.1 is what a reader with sharp eyes still reads.
BLUR, CALM_BLUR = (0.18, 3.1), (0.18, 1.2)
CONTRAST = (0.1, 0.95)  # of ink, in shares of the paper's brightness
NOISE, CALM_NOISE = (0.01, 0.3), (0.01, 0.06)  # the standard deviation, in shares of the contrast
SHIFT = 0.2  # of a digit off the middle; 1 is the edge
BENT = 0.06  # how far a place of an ink moves: the standard deviation, where 1 is half of its side
REACH = 8  # of a blur, in pixels

Range = tuple[float, float]


@dataclass(frozen=True)
class Bank:
    """Inks uint8 (N, 64, 64), 255 on 0, in the middle and as large as fits; the digit of each, and which are print."""

    inks: Tensor
    labels: Tensor
    is_print: Tensor

    def some(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many random inks, 0 to 1, float32 (N, 1, 64, 64), and their digits."""
        of_print = torch.rand(count, generator=generator) < PRINT_SHARE
        at = torch.empty(count, dtype=torch.long)
        for group in (True, False):
            known = torch.nonzero(self.is_print == group)[:, 0]
            where = of_print == group
            at[where] = known[torch.randint(len(known), (int(where.sum()),), generator=generator)]
        return self.inks[at, None].float() / 255, self.labels[at]


def bank(part: Part, *, prints: int, hands: int, seed: int) -> Bank:
    """`prints` printed digits, and `hands` by hand: a third of them of invented writers, the others of `part`."""
    rng = np.random.default_rng(seed)
    inks, labels = [], []
    for i in range(prints):
        inks.append(printed.digit(i % 10, rng=rng, size_px=INK_PX))
        labels.append(i % 10)
    for i in range(hands // 3):
        inks.append(writers.write(writers.writer(rng), i % 10, rng=rng, size_px=INK_PX))
        labels.append(i % 10)
    ours = hands - hands // 3
    for i in rng.choice(len(part), ours, replace=ours > len(part)).tolist():
        if part.images[i].any():
            inks.append(part.images[i])
            labels.append(int(part.labels[i]))
    is_print = torch.arange(len(inks)) < prints
    return Bank(torch.from_numpy(np.stack([_fit(ink) for ink in inks])), torch.tensor(labels), is_print)


def _fit(ink: Gray) -> Gray:
    """An ink (H, W) in the middle of a square, as large as fits."""
    cut = tight(ink)
    scale = INK_PX / max(cut.shape)
    h, w = (max(1, round(side * scale)) for side in cut.shape)
    page = np.zeros((INK_PX, INK_PX), np.uint8)
    top, left = (INK_PX - h) // 2, (INK_PX - w) // 2
    page[top : top + h, left : left + w] = np.asarray(Image.fromarray(cut).resize((w, h), Image.Resampling.BICUBIC))
    return page


def draw(bank: Bank, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """So many cells, uint8 (N, 1, 32, 32), and their labels; all come from photos of the same resolution."""
    uniform = _Uniform(count, generator)
    inks, labels = bank.some(count, generator)
    empty = uniform(0, 1)[:, 0, 0, 0] < EMPTY_SHARE
    labels = torch.where(empty, EMPTY, labels)
    paper = uniform(0.3, 1) * (1 + uniform(-0.2, 0.2) * _ACROSS + uniform(-0.2, 0.2) * _DOWN)
    strength = uniform.log(*CONTRAST)
    digit = _placed(_weight(inks, uniform), uniform, size=SHRUNK, shift=SHIFT, bends=_bends(uniform))
    dark = torch.where(empty[:, None, None, None], 0.0, strength * digit)
    ghost, speck = (bank.some(count, generator)[0] for _ in range(2))
    ghosts = _placed(ghost.flip(3), uniform, size=SHRUNK, shift=0.3) * uniform(0, 0.14) * strength
    dark = torch.maximum(dark, torch.where(uniform(0, 1) < 0.2, ghosts, 0.0))
    specks = _placed(speck, uniform, size=(0.03, 0.1), shift=0.8) * uniform(0.2, 1) * strength
    dark = torch.maximum(dark, torch.where(uniform(0, 1) < 0.15, specks, 0.0))
    stains = _stains(uniform) * uniform(0.1, 0.7) * strength
    dark = torch.maximum(dark, torch.where(uniform(0, 1) < 0.1, stains, 0.0))
    dark = torch.maximum(dark, _lines(uniform) * uniform.log(0.2, 0.95))
    return _photo(paper * (1 - dark), strength * paper.mean((2, 3), keepdim=True), uniform, generator), labels


class _Uniform:
    """Random numbers, one for each cell: float32 (N, 1, 1, 1)."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def __call__(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.count, 1, 1, 1, generator=self.generator)

    def log(self, low: float, high: float) -> Tensor:
        """With a uniform logarithm."""
        return torch.exp(self(log(low), log(high)))


_SEEN = 1 - 2 * BORDER  # of a cell, whose edges are at -1 and 1
_ALONG = torch.linspace(-_SEEN, _SEEN, CANVAS_PX)
_ACROSS, _DOWN = _ALONG[None, None, None, :], _ALONG[None, None, :, None]
_CENTRES = _SEEN * ((2 * torch.arange(CANVAS_PX) + 1) / CANVAS_PX - 1)  # of the pixels, as `grid_sample` counts


def _weight(inks: Tensor, uniform: _Uniform) -> Tensor:
    """Inks with thinner or bolder strokes."""
    soft = functional.avg_pool2d(functional.avg_pool2d(inks, 3, 1, 1), 3, 1, 1)
    return ((soft - uniform(0.25, 0.65)) * uniform(2, 5) + 0.5).clamp(0, 1)


def _placed(inks: Tensor, uniform: _Uniform, *, size: Range, shift: float, bends: Tensor | float = 0.0) -> Tensor:
    """Inks on canvases, of some size, turned, slanted, stretched, and up to `shift` off the middle (1 is the edge)."""
    scale, stretch = uniform(*size)[:, 0], uniform.log(0.75, 1.35)[:, 0]  # (N, 1, 1)
    turn, slant = uniform(-0.12, 0.12)[:, 0], uniform(-0.15, 0.15)[:, 0]
    x, y = (uniform(-shift, shift)[:, 0] for _ in range(2))
    cos, sin = torch.cos(turn) / scale, torch.sin(turn) / scale
    from_x = (cos * _CENTRES + (sin + slant * cos) * _CENTRES[:, None]) / stretch + x / scale
    from_y = cos * _CENTRES[:, None] - sin * _CENTRES + y / scale
    at = torch.stack([from_x, from_y], 3) + bends
    return functional.grid_sample(inks, at, mode="bilinear", align_corners=False)


def _bends(uniform: _Uniform) -> Tensor:
    """How far each place of an ink moves, smoothly: (N, 64, 64, 2)."""
    coarse = BENT * torch.randn(uniform.count, 2, 4, 4, generator=uniform.generator)
    fine = functional.interpolate(coarse, (CANVAS_PX, CANVAS_PX), mode="bicubic", align_corners=False)
    return fine.permute(0, 2, 3, 1)


def _stains(uniform: _Uniform) -> Tensor:
    """Spots and folds without a sharp edge: their coverage (N, 1, 64, 64)."""
    coarse = torch.rand(uniform.count, 1, 5, 5, generator=uniform.generator)
    fine = functional.interpolate(coarse, (CANVAS_PX, CANVAS_PX), mode="bicubic", align_corners=False)
    return ((fine - uniform(0.5, 0.8)) * uniform(2, 6)).clamp(0, 1)


def _lines(uniform: _Uniform) -> Tensor:
    """What is seen of the lines at the four edges: their coverage (N, 1, 64, 64)."""
    cover = torch.zeros(uniform.count, 1, CANVAS_PX, CANVAS_PX)
    for along, across in ((_ACROSS, _DOWN), (_DOWN, _ACROSS)):
        for side in (-1, 1):
            away = side * along - uniform(0.8, 1.15) - uniform(-0.04, 0.04) * across
            width = uniform(0.01, 0.07)
            line = ((width - away.abs()) * CANVAS_PX / 2).clamp(0, 1)
            cover = torch.maximum(cover, torch.where(uniform(0, 1) < 0.6, line, 0.0))
    return cover


def _photo(scene: Tensor, contrast: Tensor, uniform: _Uniform, generator: torch.Generator) -> Tensor:
    """Cells of few pixels, out of focus and noisy: brightness (N, 1, 64, 64) → uint8 (N, 1, 32, 32)."""
    side = int(torch.randint(*PHOTO_PX, (1,), generator=generator))
    seen = functional.interpolate(scene, (side, side), mode="area")
    is_calm = uniform(0, 1) < CALM_SHARE
    seen = _blurred(seen, torch.where(is_calm, uniform.log(*CALM_BLUR), uniform.log(*BLUR)) * side / SIDE_PX)
    noise = torch.where(is_calm, uniform.log(*CALM_NOISE), uniform.log(*NOISE))
    seen = seen + noise * contrast * torch.randn(seen.shape, generator=generator)
    seen = (seen.clamp(0, 1) * 255).round()
    large = functional.interpolate(seen, (2 * SIDE_PX, 2 * SIDE_PX), mode="bicubic", align_corners=False)
    return functional.avg_pool2d(large, 2).clamp(0, 255).round().to(torch.uint8)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Images (N, 1, H, W), each blurred by a Gaussian of its own, in pixels."""
    at = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma[:, 0, 0]) ** 2)  # (N, K)
    kernel = kernel / kernel.sum(1, keepdim=True)
    count = len(images)
    wide = functional.pad(images.transpose(0, 1), (REACH,) * 4, mode="replicate")
    wide = functional.conv2d(wide, kernel[:, None, None, :], groups=count)
    return functional.conv2d(wide, kernel[:, None, :, None], groups=count).transpose(0, 1)
