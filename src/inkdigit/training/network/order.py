"""Which images an epoch trains on, and in which order.

In: a split of the data, a recipe and a random generator. Out: the indices of the images. An epoch that is shorter than
the data need not take any images: those that are hard for a linear classifier teach more. For data pruning by how hard
an image is, see Sorscher et al. 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from inkdigit.training.recipe import Recipe

STRIDE = 3  # every third row and column is enough to tell easy images from hard ones
LEARNED_FROM = 10_000  # images; more make the classifier no better
RIDGE = 1.0


def order_of(images: Tensor, labels: Tensor, recipe: Recipe, *, steps: int, generator: torch.Generator) -> Tensor:
    """The indices of the images uint8 (N, 28, 28) of an epoch of so many steps, in random order."""
    order = torch.randperm(len(images), generator=generator, device=images.device)
    count = min(len(images), steps * recipe.batch)
    if not recipe.prefer_hard or count == len(images):
        return order
    ranks = _margins(images, labels, order[:LEARNED_FROM]).argsort().argsort()
    chances = 1 - recipe.prefer_hard * ranks / len(images)
    some = torch.multinomial(chances, count, generator=generator)
    return some[torch.randperm(count, generator=generator, device=images.device)]


def _margins(images: Tensor, labels: Tensor, some: Tensor) -> Tensor:
    """How far each image (N,) is on the right side for a linear classifier (ridge regression) that learned `some`."""
    pixels = images[:, 1::STRIDE, 1::STRIDE].flatten(1).float() / 255
    seen = F.pad(pixels, (0, 1), value=1.0)  # the last weight is a bias
    known = seen[some]
    wanted = F.one_hot(labels[some], int(labels.max()) + 1).float()
    gram = known.T @ known + RIDGE * torch.eye(seen.shape[1], device=seen.device)
    scores: Tensor = seen @ torch.linalg.solve(gram, known.T @ wanted)
    own = scores.gather(1, labels[:, None])[:, 0]
    return own - scores.scatter(1, labels[:, None], -torch.inf).amax(1)
