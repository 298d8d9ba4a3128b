"""The kinds of corruption: what each does to an image, and that it always does the same."""

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


def find(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def levels(kind: Kind) -> range:
    return range(1, len(kind.strengths) + 1)


def at_named(name: str, images: np.ndarray = DIGITS) -> np.ndarray:
    return corrupt(images, find(name), find(name).named)


def box(side_x: int, side_y: int) -> np.ndarray:
    """Ten images with a white box in the middle."""
    images = np.zeros((10, 28, 28), np.uint8)
    images[:, 14 - side_y // 2 : 14 + side_y // 2, 14 - side_x // 2 : 14 + side_x // 2] = 255
    return images


def moments(image: np.ndarray) -> tuple[float, float, float]:
    """The variance of x, that of y, and their covariance over the ink."""
    y, x = np.mgrid[-13.5:14, -13.5:14]
    share = image / image.sum(dtype=float)
    return tuple(float((share * product).sum()) for product in (x * x, y * y, x * y))


def test_the_kinds_and_their_named_strengths_are_the_published_ones():
    assert {kind.name: kind.strengths[kind.named - 1] for kind in KINDS} == NAMED
    assert {kind.name for kind in KINDS if len(kind.strengths) != 5} == {
        "stripe",
        "dotted_line",
        "zigzag",
        "canny_edges",
    }


def test_the_same_images_are_corrupted_in_the_same_way_and_all_of_them_change():
    before = DIGITS.copy()
    for kind in KINDS:
        corrupted = corrupt(DIGITS, kind, kind.named)
        assert (corrupted.dtype, corrupted.shape) == (np.uint8, DIGITS.shape), kind.name
        assert np.array_equal(DIGITS, before), kind.name  # the input is not changed
        assert (corrupted != DIGITS).any(axis=(1, 2)).all(), kind.name
        assert np.array_equal(corrupted, corrupt(DIGITS, kind, kind.named)), kind.name
        assert np.array_equal(corrupted[:3], corrupt(DIGITS[:3], kind, kind.named)), kind.name  # whatever follows


def test_random_choices_differ_between_images_and_between_levels():
    noise = find("impulse_noise")
    many = corrupt(np.zeros((2 * CHUNK + 1, 28, 28), np.uint8), noise, 4)
    assert len({image.tobytes() for image in many}) == len(many)
    assert not np.array_equal(many[:9] > 0, corrupt(BLANK[:9], noise, 5) > 0)


def test_a_higher_level_changes_more():
    for name in ("shot_noise", "impulse_noise", "motion_blur", "shear", "scale", "rotate", "brightness"):
        change = [np.abs(corrupt(DIGITS, find(name), level).astype(int) - DIGITS).mean() for level in range(1, 6)]
        assert change == sorted(change), name
        assert change[4] > 1.3 * change[0], name


def test_blank_images_stay_blank_unless_a_kind_adds_ink():
    adds_ink = {name for name in NAMED if any(corrupt(BLANK, find(name), level).any() for level in levels(find(name)))}
    assert adds_ink == {"impulse_noise", "brightness", "stripe", "spatter", "dotted_line", "zigzag"}


def test_no_images_and_white_ones_can_be_corrupted():
    for kind in KINDS:
        for level in levels(kind):
            assert corrupt(BLANK[:0], kind, level).shape == (0, 28, 28), kind.name
            white = corrupt(255 - BLANK[:1], kind, level)
            untouched = kind.name in ("brightness", "dotted_line", "zigzag", "glass_blur", "motion_blur")
            assert (white == 255).all() == untouched, (kind.name, level)


def test_a_kind_has_a_title_and_a_sentence_about_it():
    assert find("canny_edges").title == "canny edges"
    assert find("canny_edges").about == "Only the edges of the ink."
    assert [kind.name for kind in KINDS if not kind.about.endswith(".") or "\n" in kind.about] == []


def test_shot_noise_counts_photons():
    corrupted = at_named("shot_noise")
    assert set(np.unique(corrupted)) == {0, 85, 170, 255}
    assert not corrupted[DIGITS == 0].any()


def test_impulse_noise_hits_a_share_of_the_pixels():
    corrupted = at_named("impulse_noise", np.full((40, 28, 28), 100, np.uint8))
    assert [(corrupted == value).mean() for value in (0, 255)] == pytest.approx([0.085, 0.085], abs=0.01)
    assert set(np.unique(corrupted)) == {0, 100, 255}


def test_glass_blur_preserves_the_ink_and_spreads_it():
    corrupted = at_named("glass_blur", box(8, 8))
    assert np.allclose(corrupted.sum(axis=(1, 2)), box(8, 8).sum(axis=(1, 2)), rtol=0.03)
    assert (moments(corrupted[0])[0] + moments(corrupted[0])[1]) > 1.2 * sum(moments(box(8, 8)[0])[:2])


def test_motion_blur_smears_to_the_left():
    corrupted = at_named("motion_blur", box(6, 6))
    assert np.allclose(corrupted.sum(axis=(1, 2)), box(6, 6).sum(axis=(1, 2)), rtol=0.03)
    centres = corrupted.sum(axis=1) @ np.arange(28) / corrupted.sum(axis=(1, 2))
    assert (centres < 13).all()
    assert (corrupted[:, :, 17:] == 0).all()


def test_shear_tilts_to_either_side():
    tilts = [xy / yy for _, yy, xy in map(moments, at_named("shear", box(4, 16)))]
    assert np.allclose(np.abs(tilts), np.sin(0.4), atol=0.02)
    assert min(tilts) < 0 < max(tilts)


def test_rotate_turns_to_either_side():
    turns = [0.5 * np.arctan2(2 * xy, yy - xx) for xx, yy, xy in map(moments, at_named("rotate", box(4, 16)))]
    assert np.allclose(np.abs(turns), 0.4, atol=0.02)
    assert min(turns) < 0 < max(turns)


def test_scale_shrinks_around_the_middle():
    corrupted = at_named("scale", box(20, 20))
    assert np.allclose(corrupted.sum(axis=(1, 2)) / (255 * 14 * 14), 1, atol=0.02)
    assert np.array_equal(corrupted, corrupted[:, ::-1, ::-1])


def test_brightness_raises_all_pixels_equally():
    corrupted = at_named("brightness").astype(int)
    assert np.abs(corrupted - np.minimum(DIGITS.astype(int) + 127.5, 255)).max() <= 0.5


def test_translate_moves_by_the_same_amount_on_both_axes():
    moves = [(y, x) for y in (-3, 3) for x in (-3, 3)]
    seen = set()
    for before, after in zip(DIGITS, at_named("translate"), strict=True):
        seen |= {move for move in moves if np.array_equal(np.roll(before, move, (0, 1)), after)}
    assert len(seen) > 2
    assert corrupt(255 - BLANK[:1], find("translate"), 5).sum() == 255 * 23 * 23  # black comes in from outside


def test_stripe_inverts_both_sides():
    corrupted = at_named("stripe")
    sides = [*range(7), *range(21, 28)]
    assert np.array_equal(corrupted[:, :, sides], 255 - DIGITS[:, :, sides])
    assert np.array_equal(corrupted[:, :, 7:21], DIGITS[:, :, 7:21])


def test_fog_brightens_the_paper_and_dims_the_ink():
    chess = np.where(np.indices((40, 28, 28))[1:].sum(axis=0) % 2, 255, 0).astype(np.uint8)
    corrupted = at_named("fog", chess)
    paper, ink = corrupted[chess == 0].mean(), corrupted[chess == 255].mean()
    assert ink - paper == pytest.approx(255 / 4, abs=3)  # a quarter of the contrast is left
    assert 50 < paper < 150
    assert np.std(corrupted[:, ::2, ::2].mean(axis=(1, 2))) > 10  # the clouds differ


def test_spatter_is_mud_on_paper_and_ink():
    corrupted = at_named("spatter", np.concatenate([BLANK, 255 - BLANK])).astype(int)
    on_paper, on_ink = corrupted[:40], corrupted[40:]
    assert on_paper.max() == on_ink.min() == 63
    assert 0.02 < (on_paper > 0).mean() < 0.5


def test_a_dotted_line_has_two_pixels_drawn_and_two_left_out():
    drawn = at_named("dotted_line", BLANK).any(axis=(0, 1))
    assert np.flatnonzero(drawn).tolist() == [x for x in range(27) if x // 2 % 2]


def test_a_zigzag_crosses_the_image_in_teeth():
    corrupted = at_named("zigzag", BLANK)
    complete = [ink for ink in corrupted if ink[6:22].any() and not (ink[:5].any() or ink[23:].any())]
    assert complete
    for ink in complete:
        columns = ink.any(axis=0)
        assert columns[3:24].all()
        assert not columns[:1].any()
        assert not columns[26:].any()
        heights = (ink.astype(float) * np.arange(28)[:, None]).sum(axis=0)[3:24] / ink.sum(axis=0)[3:24]
        turns = np.diff(np.sign(np.diff(heights)[np.abs(np.diff(heights)) > 0.2]))
        assert 4 <= np.count_nonzero(turns) <= 8


def test_canny_edges_are_outlines():
    corrupted = at_named("canny_edges")
    assert set(np.unique(corrupted)) == {0, 255}
    assert ((corrupted > 0).sum(axis=(1, 2)) > 15).all()
    assert not at_named("canny_edges", BLANK).any()
