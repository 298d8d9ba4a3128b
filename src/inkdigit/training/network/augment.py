"""Augmentation of a batch on its device: every training image changes a little each time.

In: images uint8 (B, 28, 28) on any device, a recipe's ranges, a random generator. Out: float32 (B, 1, 28, 28), 0–255.
Strokes become thinner or thicker first. Then one affine map per image (rotation, zoom, squish, shear, shift) and, where
the recipe has one, a smooth elastic field (Simard, Steinkraus, Platt 2003) are sampled in one pass. Last, one square
may be erased.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from inkdigit.training.recipe import Recipe

Augment = Callable[[Tensor], Tensor]  # the user's own, after that of the recipe: float (B, 1, 28, 28), 0–255 → the same


def _moves(recipe: Recipe) -> bool:
    return any((recipe.rotate_deg, recipe.shift_px, recipe.zoom, recipe.squish, recipe.shear, recipe.elastic_px))


def changes(recipe: Recipe) -> bool:
    """Whether `augment` changes any image by this recipe."""
    return bool(recipe.thickness or recipe.erase_px or _moves(recipe))


def augment(images: Tensor, recipe: Recipe, *, generator: torch.Generator) -> Tensor:
    """Change each of `images` uint8 (B, 28, 28) at random within the recipe's ranges: float32 (B, 1, 28, 28)."""
    x = images.unsqueeze(1).float()
    if recipe.thickness:
        x = _thicken(x, recipe.thickness, generator)
    if _moves(recipe):
        grid = F.affine_grid(_affine(x, recipe, generator), list(x.shape), align_corners=False)  # (B, 28, 28, 2)
        if recipe.elastic_px:
            grid = grid + _elastic(x, recipe, generator)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if recipe.erase_px:
        x = _erase(x, recipe.erase_px, generator)
    return x


def _uniform(x: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    """One number in [−limit, limit] per image: (B,)."""
    return (torch.rand(len(x), generator=generator, device=x.device) * 2 - 1) * limit


def _affine(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """The map from each output pixel back to the input, in coordinates of −1 to 1: (B, 2, 3)."""
    side = x.shape[-1]
    angle = _uniform(x, math.radians(recipe.rotate_deg), generator)
    zoom = 1 + _uniform(x, recipe.zoom, generator)
    width = zoom * (1 + _uniform(x, recipe.squish, generator))
    shear = _uniform(x, recipe.shear, generator)
    dx, dy = (_shift(x, axis, recipe, generator) * 2 / side for axis in (3, 2))
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([cos / width, (shear - sin) / width, dx], dim=1)
    second = torch.stack([sin / zoom, cos / zoom, dy], dim=1)
    return torch.stack([first, second], dim=1)


def _shift(x: Tensor, axis: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Pixels that each image moves towards the start of an axis, 2 (rows) or 3 (columns): (B,)."""
    shift = _uniform(x, recipe.shift_px, generator)
    if not recipe.shift_inside:
        return shift
    ink = x.amax((1, 5 - axis)) > 0  # (B, 28)
    before, after = ink.int().argmax(1), ink.flip(1).int().argmax(1)  # empty pixels on either side
    return torch.minimum(torch.maximum(shift, -after), before)


def _elastic(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """A smooth random displacement of about `elastic_px` pixels: (B, 28, 28, 2)."""
    side = x.shape[-1]
    noise = torch.randn(len(x), 2, side, side, generator=generator, device=x.device)
    at = torch.arange(side, device=x.device, dtype=noise.dtype)
    blur = torch.exp(-0.5 * ((at[:, None] - at) / recipe.elastic_sigma_px) ** 2)  # (28, 28)
    blur = blur / blur.square().sum(1, keepdim=True).sqrt()  # white noise keeps a deviation of 1, at the edge too
    field = blur @ noise @ blur.T  # along one axis, then along the other
    return field.permute(0, 2, 3, 1) * (2 * recipe.elastic_px / side)


def _thicken(x: Tensor, limit: float, generator: torch.Generator) -> Tensor:
    """Blend each image with its 3×3 maximum, which is thicker, or with its 3×3 minimum, which is thinner."""
    share = _uniform(x, limit, generator)[:, None, None, None]
    thicker, thinner = F.max_pool2d(x, 3, 1, 1), -F.max_pool2d(-x, 3, 1, 1)
    return torch.lerp(x, torch.where(share > 0, thicker, thinner), share.abs())


def _erase(x: Tensor, square_px: int, generator: torch.Generator) -> Tensor:
    """Set one square of each image to 0, at a random place."""
    side = x.shape[-1]
    pixels = torch.arange(side, device=x.device)
    corner = torch.randint(1 - square_px, side, (len(x), 2), generator=generator, device=x.device)  # (B, 2)
    inside = (pixels >= corner[..., None]) & (pixels < corner[..., None] + square_px)  # (B, 2, 28)
    return x * ~(inside[:, 0, None, :, None] & inside[:, 1, None, None, :])
