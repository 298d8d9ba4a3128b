"""The kinds of corruption: what each does to a picture, and that it always does the same."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.measure.corruptions import CHUNK, KINDS, Kind, corrupt

from ..conftest import template

NAMED = {  # as published
    "shot_noise": 3,
    "impulse_noise": 0.17,
    "glass_blur": (0.7, 1, 2),
    "motion_blur": (10, 3),
    "shear": 0.4,
    "scale": 0.7,
    "rotate": 0.4,
    "brightness": 0.5,
    "translate": 3,
    "stripe": 7,
    "fog": (3.0, 1.4),
    "spatter": (0.65, 0.3, 1, 0.65, 1.5),
    "dotted_line": None,
    "zigzag": None,
    "canny_edges": None,
}
DIGITS = np.stack([template(i) for i in range(10)])
BLANK = np.zeros((40, 28, 28), np.uint8)


def kind(name: str) -> Kind:
    return next(one for one in KINDS if one.name == name)


def at_named(name: str, images: np.ndarray = DIGITS) -> np.ndarray:
    return corrupt(images, kind(name), kind(name).named)


def box(side_x: int, side_y: int) -> np.ndarray:
    """Ten pictures with a white box in the middle."""
    images = np.zeros((10, 28, 28), np.uint8)
    images[:, 14 - side_y // 2 : 14 + side_y // 2, 14 - side_x // 2 : 14 + side_x // 2] = 255
    return images


def moments(image: np.ndarray) -> tuple[float, float, float]:
    """The variance of x, that of y, and their covariance over the ink."""
    y, x = np.mgrid[-13.5:14, -13.5:14]
    share = image / image.sum(dtype=float)
    return tuple(float((share * product).sum()) for product in (x * x, y * y, x * y))


def test_the_kinds_and_their_named_strengths_are_the_published_ones():
    assert {one.name: one.strengths[one.named - 1] for one in KINDS} == NAMED
    assert {one.name for one in KINDS if len(one.strengths) != 5} == {"stripe", "dotted_line", "zigzag", "canny_edges"}


@pytest.mark.parametrize("one", KINDS, ids=lambda one: one.name)
def test_the_same_pictures_come_out_the_same_and_changed(one):
    before = DIGITS.copy()
    found = corrupt(DIGITS, one, one.named)
    assert (found.dtype, found.shape) == (np.uint8, DIGITS.shape)
    assert np.array_equal(DIGITS, before)
    assert (found != DIGITS).any(axis=(1, 2)).all()
    assert np.array_equal(found, corrupt(DIGITS, one, one.named))
    assert np.array_equal(found[:3], corrupt(DIGITS[:3], one, one.named))  # whatever comes after them


def test_chances_differ_from_picture_to_picture_and_level_to_level():
    noise = kind("impulse_noise")
    many = corrupt(np.zeros((2 * CHUNK + 1, 28, 28), np.uint8), noise, 4)
    assert len({picture.tobytes() for picture in many}) == len(many)
    assert not np.array_equal(many[:9] > 0, corrupt(BLANK[:9], noise, 5) > 0)


@pytest.mark.parametrize(
    "name", ["shot_noise", "impulse_noise", "motion_blur", "shear", "scale", "rotate", "brightness"]
)
def test_a_higher_level_changes_more(name):
    one = kind(name)
    change = [np.abs(corrupt(DIGITS, one, level).astype(int) - DIGITS).mean() for level in range(1, 6)]
    assert change == sorted(change)
    assert change[4] > 1.3 * change[0]


@pytest.mark.parametrize("one", KINDS, ids=lambda one: one.name)
def test_black_and_white_pictures_and_none_at_all_can_be_corrupted(one):
    for level in (1, len(one.strengths)):
        for image in (BLANK[:1], 255 - BLANK[:1], BLANK[:0]):
            assert corrupt(image, one, level).shape == image.shape


def test_a_kind_says_what_it_does():
    assert all(one.about.endswith(".") for one in KINDS)
    assert kind("canny_edges").title == "canny edges"


def test_shot_noise_counts_photons():
    found = at_named("shot_noise")
    assert set(np.unique(found)) == {0, 85, 170, 255}
    assert not found[DIGITS == 0].any()


def test_impulse_noise_hits_a_share_of_the_pixels():
    found = at_named("impulse_noise", np.full((40, 28, 28), 100, np.uint8))
    assert [(found == value).mean() for value in (0, 255)] == pytest.approx([0.085, 0.085], abs=0.01)
    assert set(np.unique(found)) == {0, 100, 255}


def test_glass_blur_keeps_the_ink_and_spreads_it():
    found = at_named("glass_blur", box(8, 8))
    assert np.allclose(found.sum(axis=(1, 2)), box(8, 8).sum(axis=(1, 2)), rtol=0.03)
    assert (moments(found[0])[0] + moments(found[0])[1]) > 1.2 * sum(moments(box(8, 8)[0])[:2])


def test_motion_blur_draws_out_to_the_left():
    found = at_named("motion_blur", box(6, 6))
    assert np.allclose(found.sum(axis=(1, 2)), box(6, 6).sum(axis=(1, 2)), rtol=0.03)
    centres = found.sum(axis=1) @ np.arange(28) / found.sum(axis=(1, 2))
    assert (centres < 13).all()
    assert (found[:, :, 17:] == 0).all()


def test_shear_tilts_to_either_side():
    tilts = [xy / yy for _, yy, xy in map(moments, at_named("shear", box(4, 16)))]
    assert np.allclose(np.abs(tilts), np.sin(0.4), atol=0.02)
    assert min(tilts) < 0 < max(tilts)


def test_rotate_turns_to_either_side():
    turns = [0.5 * np.arctan2(2 * xy, yy - xx) for xx, yy, xy in map(moments, at_named("rotate", box(4, 16)))]
    assert np.allclose(np.abs(turns), 0.4, atol=0.02)
    assert min(turns) < 0 < max(turns)


def test_scale_shrinks_around_the_middle():
    found = at_named("scale", box(20, 20))
    assert np.allclose(found.sum(axis=(1, 2)) / (255 * 14 * 14), 1, atol=0.02)
    assert np.array_equal(found, found[:, ::-1, ::-1])


def test_brightness_lifts_all_alike():
    found = at_named("brightness").astype(int)
    assert np.abs(found - np.minimum(DIGITS.astype(int) + 127.5, 255)).max() <= 0.5


def test_translate_moves_both_ways_by_as_much():
    moves = [(y, x) for y in (-3, 3) for x in (-3, 3)]
    seen = set()
    for before, after in zip(DIGITS, at_named("translate"), strict=True):
        seen |= {move for move in moves if np.array_equal(np.roll(before, move, (0, 1)), after)}
    assert len(seen) > 2
    assert corrupt(255 - BLANK[:1], kind("translate"), 5).sum() == 255 * 23 * 23  # black comes in from outside


def test_stripe_inverts_both_sides():
    found = at_named("stripe")
    sides = [*range(7), *range(21, 28)]
    assert np.array_equal(found[:, :, sides], 255 - DIGITS[:, :, sides])
    assert np.array_equal(found[:, :, 7:21], DIGITS[:, :, 7:21])


def test_fog_lies_on_the_paper_and_dims_the_ink():
    chess = np.where(np.indices((40, 28, 28))[1:].sum(axis=0) % 2, 255, 0).astype(np.uint8)
    found = at_named("fog", chess)
    paper, ink = found[chess == 0].mean(), found[chess == 255].mean()
    assert ink - paper == pytest.approx(255 / 4, abs=3)  # so much of the contrast is left
    assert 50 < paper < 150
    assert np.std(found[:, ::2, ::2].mean(axis=(1, 2))) > 10  # no two clouds are alike


def test_spatter_is_mud_on_paper_and_ink():
    found = at_named("spatter", np.concatenate([BLANK, 255 - BLANK])).astype(int)
    on_paper, on_ink = found[:40], found[40:]
    assert on_paper.max() == on_ink.min() == 63
    assert 0.02 < (on_paper > 0).mean() < 0.5


def test_a_dotted_line_is_drawn_two_pixels_and_left_out_two():
    drawn = at_named("dotted_line", BLANK).any(axis=(0, 1))
    assert np.flatnonzero(drawn).tolist() == [x for x in range(27) if x // 2 % 2]


def test_a_zigzag_crosses_the_picture_in_teeth():
    found = at_named("zigzag", BLANK)
    whole = [ink for ink in found if ink[6:22].any() and not (ink[:5].any() or ink[23:].any())]
    assert whole
    for ink in whole:
        columns = ink.any(axis=0)
        assert columns[3:24].all()
        assert not columns[:1].any()
        assert not columns[26:].any()
        heights = (ink.astype(float) * np.arange(28)[:, None]).sum(axis=0)[3:24] / ink.sum(axis=0)[3:24]
        turns = np.diff(np.sign(np.diff(heights)[np.abs(np.diff(heights)) > 0.2]))
        assert 4 <= np.count_nonzero(turns) <= 8


def test_canny_edges_are_outlines():
    found = at_named("canny_edges")
    assert set(np.unique(found)) == {0, 255}
    assert ((found > 0).sum(axis=(1, 2)) > 15).all()
    assert not at_named("canny_edges", BLANK).any()
