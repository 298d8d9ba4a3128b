"""Paper: whether ink is darker or lighter, and that shadows and edges go with it."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.photo.paper import cut_page, even_stripes, ink_above_paper, ink_is_light

from ...conftest import drawn, on_paper


@pytest.mark.parametrize("thickness", [0.04, 0.09, 0.16])
def test_dark_ink_is_dark_and_its_negative_light(thickness):
    photos = {k: on_paper(drawn(k, size_px=120, thickness=thickness), seed=k) for k in range(10)}
    assert [k for k, photo in photos.items() if ink_is_light(photo)] == []
    assert [k for k, photo in photos.items() if not ink_is_light(255 - photo)] == []


@pytest.mark.parametrize("light", [False, True])
def test_a_band_along_the_border_is_paper_and_a_stroke_is_ink(light):
    photo = np.full((200, 200), 200, np.uint8)
    photo[:, :30] = 40  # the table
    photo[60:140, 100:112] = 60
    ink, grain = ink_above_paper(255 - photo if light else photo, light=light)
    assert grain == 0
    assert ink[:, :25].max() < 10
    assert ink[100, 106] > 100


def test_ink_keeps_its_share_of_the_light_in_a_shadow():
    photo = np.full((200, 200), 200, np.uint8)
    photo[:, 120:] = 100
    photo[90:100, 20:180] = photo[90:100, 20:180] // 4
    ink, _ = ink_above_paper(photo, light=False)
    assert ink[95, 60] == pytest.approx(ink[95, 160], rel=0.05)


def test_a_page_on_a_desk_is_cut_out_also_when_it_lies_aslant():
    y, x = np.mgrid[:200, :200]
    page = (np.abs(y - 100 + 0.1 * (x - 100)) < 70) & (np.abs(x - 100 - 0.1 * (y - 100)) < 60)
    photo = np.where(page, 210, 30).astype(np.uint8)
    photo[60:140, 90:100] = 40
    cut = cut_page(photo)
    assert cut is not None
    assert max(cut.shape) < 180
    assert (cut < 100).sum() == pytest.approx(800, abs=100)  # the stroke, and no desk


@pytest.mark.parametrize("thickness", [0.05, 0.2])
def test_no_digit_is_a_page(thickness):
    photos = {k: on_paper(drawn(k, size_px=160, thickness=thickness)) for k in range(10)}
    cut = {k: photo[10:-10, 20:-20] for k, photo in photos.items()}
    for some in (photos, cut):
        assert [k for k, photo in some.items() if cut_page(photo) is not None] == []
        assert [k for k, photo in some.items() if cut_page(255 - photo) is not None] == []


def test_even_images_have_no_stripes():
    photo = on_paper(drawn(5, size_px=40))
    assert even_stripes(photo) is photo
    halves = np.full((28, 28), 10, np.uint8)
    halves[:, 14:] = 200  # a table and its paper are not negatives of each other
    assert even_stripes(halves) is halves
