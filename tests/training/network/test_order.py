"""An epoch takes all images once, or those that are hard more often."""

from __future__ import annotations

import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.training.network.order import order_of
from inkdigit.training.recipe import Recipe

N = 400
IMAGES = torch.zeros(N, 28, 28, dtype=torch.uint8)
LABELS = torch.arange(N) % 2
IMAGES[LABELS == 1, 4:24, 4:24] = 200  # easy: the label is the brightness
HARD = torch.arange(N) >= N - 40
IMAGES[HARD] = 200 - IMAGES[HARD]  # and here it is the opposite


def order(steps: int, seed: int = 0, **fields: float) -> torch.Tensor:
    recipe = Recipe(batch=10, steps_per_epoch=steps, **fields)
    return order_of(IMAGES, LABELS, recipe, steps=steps, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prefer_hard", [0.0, 0.9])
def test_a_whole_epoch_sees_each_image_once(prefer_hard):
    seen = order(N // 10, prefer_hard=prefer_hard)
    assert sorted(seen.tolist()) == list(range(N))
    assert seen.tolist() != list(range(N))


def test_no_image_comes_twice_in_a_part_of_an_epoch():
    seen = order(20, prefer_hard=0.9).tolist()
    assert len(set(seen)) == len(seen) == 200


def test_hard_images_come_more_often():
    counts = {
        prefer: sum(int(HARD[order(10, seed, prefer_hard=prefer)[:100]].sum()) for seed in range(20))
        for prefer in (0.0, 0.9)
    }
    assert 150 < counts[0.0] < 250  # 10 of 100, twenty times
    assert counts[0.9] > 1.4 * counts[0.0]


def test_hard_and_easy_images_are_mixed():
    seen = HARD[order(20, prefer_hard=0.9)].float()
    assert abs(seen[:100].mean() - seen[100:].mean()) < 0.1


def test_the_seed_decides():
    assert torch.equal(order(10, 1, prefer_hard=0.9), order(10, 1, prefer_hard=0.9))
    assert not torch.equal(order(10, 1, prefer_hard=0.9), order(10, 2, prefer_hard=0.9))


def test_without_a_part_there_is_nothing_to_choose():
    with pytest.raises(UsageError, match="steps_per_epoch"):
        Recipe(prefer_hard=0.5)
