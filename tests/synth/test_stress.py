"""Stressed images: repeatable, of many sizes, and with the digit still in them, as ink and by its label."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import is_clean, prepare, tight
from inkdigit.synth import stress
from inkdigit.synth.scenes import pens, scene
from inkdigit.synth.stress import (
    ASPECT,
    COARSE_PX,
    CUT_PX,
    SIDE_PX,
    SMALL_SHARE,
    TIGHT_SHARE,
    coarse,
    dirty,
    photograph,
)
from inkdigit.types import Gray

from ..conftest import drawn, template

SEEDS = range(30)


@pytest.fixture(scope="module")
def bank() -> pens.Bank:
    digits = np.stack([template(i) for i in range(20)])
    return pens.bank(digits, rng=np.random.default_rng(0), size=32)


def stressed(ink: Gray, bank: pens.Bank, seed: int) -> tuple[Gray, Gray]:
    return photograph(pens.Ink(tight(ink)), bank, rng=np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_image_and_another_seed_another(bank):
    images = [stressed(template(3), bank, seed)[0] for seed in SEEDS]
    for seed, image in zip(SEEDS, images, strict=True):
        assert np.array_equal(image, stressed(template(3), bank, seed)[0])
    assert len({image.tobytes() for image in images}) == len(SEEDS)


def test_images_are_gray_small_or_large_and_some_are_cut_around_the_digit(bank):
    images = [stressed(drawn(8), bank, seed) for seed in range(200)]
    assert all(gray.dtype == truth.dtype == np.uint8 and gray.shape == truth.shape for gray, truth in images)
    shapes = [gray.shape for gray, _ in images]
    assert np.mean([shape == (28, 28) for shape in shapes]) == pytest.approx(SMALL_SHARE, abs=0.1)
    assert all(CUT_PX[0] <= h <= SIDE_PX[1] and w <= ASPECT[1] * SIDE_PX[1] for h, w in shapes)
    filled = [truth.any(1).mean() > 0.97 or truth.any(0).mean() > 0.97 for _, truth in images]
    assert np.mean(filled) > 0.4 * TIGHT_SHARE  # the others have a margin


@pytest.mark.parametrize("ink", [np.full((1, 1), 255, np.uint8), np.full((40, 2), 1, np.uint8), template(1)])
def test_any_ink_will_do(bank, ink):
    for seed in range(8):
        assert stressed(ink, bank, seed)[0].size


def test_the_truth_covers_the_ink(bank):
    """Where it says that there is ink, the image differs from what is around it."""
    seen = []
    for seed in SEEDS:
        gray, truth = stressed(template(seed), bank, seed)
        ink, paper = truth > 200, truth == 0
        if ink.any() and paper.any():
            seen.append(abs(float(gray[ink].mean()) - float(np.median(gray[paper]))) > 8)
    assert np.mean(seen) > 0.8


def test_the_label_is_still_recognised(default_model, bank):
    """The bundled model reads most: the rest is pale, small or crossed by lines."""
    pictures = [stressed(drawn(i % 10, seed=i), bank, i)[0] for i in range(150)]
    found = [(i, image) for i, image in enumerate(pictures) if prepare(image).any()]
    predictions = default_model.predict([image for _, image in found])
    right = [prediction.best == i % 10 for prediction, (i, _) in zip(predictions, found, strict=True)]
    assert len(found) > 110
    assert np.mean(right) >= 0.7


def test_a_coarse_digit_has_few_pixels_and_is_still_read(default_model):
    """Some fill a square, some are only black and white; some of 7 pixels nobody can read."""
    images = [coarse(drawn(i % 10, seed=i), rng=np.random.default_rng(i)) for i in range(150)]
    assert all(image.dtype == np.uint8 and image.any() for image in images)
    heights = [tight(image).shape[0] for image in images]
    assert min(heights) < 9
    assert max(heights) <= COARSE_PX[1] + 1
    assert 0.15 < np.mean([set(np.unique(image)) == {0, 255} for image in images]) < 0.5
    right = [answer.best == i % 10 for i, answer in enumerate(default_model.predict(images))]
    assert np.mean(right) > 0.8


def test_a_coarse_digit_may_fill_a_square(monkeypatch):
    monkeypatch.setattr(stress, "STRETCHED_SHARE", 1.0)
    shapes = [tight(coarse(drawn(1, seed=i), rng=np.random.default_rng(i))).shape for i in range(40)]
    assert all(0.6 < w / h < 1.6 for h, w in shapes)


def test_a_digit_with_dirt_around_it_is_clean_and_still_read(default_model):
    """It is as an image whose paper was taken away: no network looks at it again."""
    images = [dirty(drawn(i % 10, seed=i), rng=np.random.default_rng(i)) for i in range(150)]
    assert all(is_clean(image) and max(tight(image).shape) in (19, 20) for image in images)
    undisturbed = [prepare(drawn(i % 10, seed=i)) for i in range(150)]
    assert np.mean([np.array_equal(a, b) for a, b in zip(map(prepare, images), undisturbed, strict=True)]) < 0.1
    right = [answer.best == i % 10 for i, answer in enumerate(default_model.predict(images))]
    assert np.mean(right) > 0.8


def test_a_cut_around_a_digit_has_pieces_of_others_that_are_not_its_truth(bank, monkeypatch):
    ink = pens.Ink(tight(template(4)))
    seen = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr(scene, "INTRUDERS_SHARE", share)
        seen[share] = [scene.show(ink, bank, (60, 48), np.random.default_rng(seed), fill=True) for seed in SEEDS]
    without, beside = ([truth[:, [0, -1]].mean() for _, truth in seen[share]] for share in (0.0, 1.0))
    assert np.mean(beside) == pytest.approx(np.mean(without), rel=0.5)  # the truth has the digit alone
    assert any(not np.array_equal(a, b) for (a, _), (b, _) in zip(seen[0.0], seen[1.0], strict=True))
