"""Stressed images: repeatable, of many sizes, and with the digit still in them, as ink and by its label."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import prepare, tight
from inkdigit.synth import stress
from inkdigit.synth.stress import CANVAS_SHARE, LARGE_PX, SMALL_SHARE, photograph
from inkdigit.types import Gray

from ..conftest import drawn, template

SEEDS = range(30)


def stressed(ink: Gray, seed: int) -> np.ndarray:
    """A stressed image as whole numbers, so that differences do not wrap around."""
    return photograph(ink, rng=np.random.default_rng(seed)).astype(int)


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    images = [stressed(template(3), seed) for seed in SEEDS]
    assert all(np.array_equal(image, stressed(template(3), seed)) for seed, image in zip(SEEDS, images, strict=True))
    assert len({image.tobytes() for image in images}) == len(SEEDS)


@pytest.fixture
def _never_cut(monkeypatch):
    monkeypatch.setattr(stress, "TIGHT_SHARE", 0)


@pytest.mark.usefixtures("_never_cut")
def test_images_are_square_gray_and_small_or_large_in_their_shares():
    rng = np.random.default_rng(0)
    images = [photograph(drawn(i % 10), rng=rng) for i in range(150)]
    assert all(image.dtype == np.uint8 and image.shape == (len(image), len(image)) for image in images)
    small = [len(image) == 28 for image in images]
    assert np.mean(small) == pytest.approx(SMALL_SHARE, abs=0.1)  # some three standard deviations
    assert all(LARGE_PX[0] <= len(image) < LARGE_PX[1] for image in images if len(image) != 28)
    on_nothing = [2 * np.isin(image, (0, 255)).sum() > image.size for image in images]
    assert np.mean(on_nothing) == pytest.approx(CANVAS_SHARE, abs=0.1)


@pytest.mark.parametrize("ink", [np.full((1, 1), 255, np.uint8), np.full((40, 2), 1, np.uint8), template(1)])
def test_any_ink_will_do(ink):
    for seed in range(8):
        assert stressed(ink, seed).size


def test_some_are_cut_around_the_digit():
    rng = np.random.default_rng(0)
    shapes = [photograph(drawn(8), rng=rng).shape for _ in range(200)]
    cut = [shape for shape in shapes if shape[0] != shape[1]]
    large = [shape for shape in shapes if shape[0] != 28]
    assert len(cut) / len(large) == pytest.approx(stress.TIGHT_SHARE, abs=0.08)
    assert all(h > w for h, w in cut)  # an 8 is higher than wide


@pytest.mark.usefixtures("_never_cut")
def test_ink_is_darker_or_lighter_than_its_paper_and_nothing_else_changes():
    """The same seed without ink gives the same paper: what differs is the ink, on one side of it and in one place."""
    failures = []
    for seed in SEEDS:
        ink = tight(template(seed))
        difference = stressed(ink, seed) - stressed(np.zeros_like(ink), seed)
        darker, lighter = -difference[difference < 0].sum(), difference[difference > 0].sum()
        if abs(difference).max() < 20:
            failures.append(f"seed {seed}: the ink cannot be seen")
        if max(darker, lighter) < 0.9 * (darker + lighter):
            failures.append(f"seed {seed}: the ink is darker here and lighter there")
        if not 0.01 < (abs(difference) > 12).mean() < 0.3:
            failures.append(f"seed {seed}: more or less than a digit has changed")
    assert len(failures) <= 3  # out of focus, a stroke is fainter than that, and JPEG rings


@pytest.mark.usefixtures("_never_cut")
def test_stronger_ink_stands_out_more():
    """What differs from the paper grows with the ink's strength, seed by seed."""
    failures = []
    for seed in SEEDS:
        ink = tight(template(seed))
        paper = stressed(np.zeros_like(ink), seed)
        faint, full = (abs(stressed((ink * share).astype(np.uint8), seed) - paper).sum() for share in (0.1, 1.0))
        if faint >= full:
            failures.append(f"seed {seed}: {faint} gray levels in all, and {full} with ten times the ink")
    assert not failures


def test_the_label_is_still_recognised(default_model):
    """The bundled model reads 9 of 10: the rest is what a person would guess, too."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    predictions = default_model.predict([photograph(drawn(int(k), seed=i), rng=rng) for i, k in enumerate(labels)])
    right = [prediction.best == label for prediction, label in zip(predictions, labels, strict=True)]
    assert np.mean(right) >= 0.8


def test_prepare_finds_most_of_the_digit_again():
    """The overlap with the digit as it was: a shift, a turn and another pen leave most of it."""
    rng = np.random.default_rng(3)
    overlaps = []
    for i in range(60):
        before, after = template(i % 10) / 255, prepare(photograph(template(i % 10), rng=rng)) / 255
        overlaps.append(np.minimum(before, after).sum() / max(before.sum(), 1e-6))
    assert np.median(overlaps) > 0.5
