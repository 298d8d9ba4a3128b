"""The photo path on digits that are drawn, put on paper and photographed by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inkdigit.picture.photo.clean import WORK_SIDE, clean
from inkdigit.picture.prepare import ink_box, prepare

from ...conftest import drawn, on_paper

SIZE = 160  # pixels
INKS = {label: drawn(label, size_px=SIZE) for label in range(10)}
CLEAN = np.stack([prepare(ink).ravel() for ink in INKS.values()]).astype(float)  # (10, 784)


def likeness(gray: np.ndarray) -> np.ndarray:
    """How much a picture, once through the door, looks like each of the ten clean digits: (10,), 1 is the same."""
    return np.corrcoef(prepare(gray).ravel(), CLEAN)[0, 1:]


def assert_reads(gray: np.ndarray, label: int, *, at_least: float = 0.6) -> None:
    like = likeness(gray)
    assert like.argmax() == label
    assert like[label] >= at_least  # a pixel of shift costs 0.3


PAPERS = {
    "even": {"shadow": 0, "grain": 0},
    "a shadow": {},
    "a deep shadow": {"shadow": 120},
    "grain": {"grain": 15},
    "pencil": {"pen": 150, "shadow": 20, "grain": 3},
    "faint pencil": {"paper": 210, "pen": 185, "shadow": 5, "grain": 1},
    "dim light": {"paper": 90, "pen": 25, "shadow": 20, "grain": 2},
}


@pytest.mark.parametrize("label", range(10))
@pytest.mark.parametrize("paper", PAPERS)
def test_ink_on_paper_is_found_in_either_polarity(paper, label):
    photo = on_paper(INKS[label], seed=label, **PAPERS[paper])
    assert_reads(photo, label)
    assert_reads(255 - photo, label)


@pytest.mark.parametrize("label", range(10))
def test_what_comes_out_is_ink_on_exactly_nothing(label):
    out = clean(on_paper(INKS[label]))
    assert out.dtype == np.uint8
    assert out.max() == 255
    assert np.mean(out == 0) > 0.6
    assert not np.concatenate([out[0], out[-1], out[:, 0], out[:, -1]]).any()


@pytest.mark.parametrize("label", range(10))
def test_specks_are_dropped(label):
    ink = INKS[label].copy()
    rng = np.random.default_rng(label)
    for y, x in rng.integers(2, SIZE - 4, (15, 2)):
        ink[y : y + 2, x : x + 2] = 255
    ink[3:6, 3:6] = ink[-6:-3, -6:-3] = 255  # a box around the ink would be the whole picture
    assert_reads(on_paper(ink, seed=label), label)


@pytest.mark.parametrize("width", [2, 6, 14])
@pytest.mark.parametrize("label", range(10))
def test_a_frame_is_dropped(label, width):
    photo = np.pad(on_paper(INKS[label], seed=label), 4, mode="edge")
    assert_reads(np.pad(photo, width, constant_values=20), label)


@pytest.mark.parametrize("label", range(10))
def test_the_edge_of_the_desk_is_dropped(label):
    photo = np.pad(on_paper(INKS[label], seed=label), 10, mode="edge")
    photo[:, :12] = 25
    assert_reads(photo, label)


@pytest.mark.parametrize("label", range(10))
def test_a_page_on_a_dark_desk(label):
    desk = np.random.default_rng(label).normal(30, 4, (260, 300))
    desk[40:220, 60:240] = np.pad(on_paper(INKS[label], seed=label), 10, mode="edge")
    assert_reads(np.clip(desk, 0, 255).astype(np.uint8), label, at_least=0.5)


def five(gap: int) -> np.ndarray:
    """A 5 whose bar begins `gap` pixels right of its stem: (120, 200)."""
    image = Image.new("L", (200, 120))
    pen = ImageDraw.Draw(image)
    pen.line([(60, 22), (60, 55)], fill=255, width=8)
    pen.arc((40, 50, 90, 100), -120, 150, fill=255, width=8)
    pen.line([(64 + gap, 22), (90 + gap, 22)], fill=255, width=8)
    return np.asarray(image)


def test_a_detached_bar_belongs_to_the_5():
    box = ink_box(clean(on_paper(five(gap=8))))
    assert box is not None
    assert box[1].stop >= 97


def test_what_is_far_off_does_not():
    box = ink_box(clean(on_paper(five(gap=70))))
    assert box is not None
    assert box[1].stop <= 97


@pytest.mark.parametrize("thickness", [0.012, 0.03, 0.2])
@pytest.mark.parametrize("label", [1, 4, 7])
def test_hair_lines_and_broad_pens(label, thickness):
    ink = drawn(label, size_px=300, thickness=thickness)
    like = np.corrcoef(prepare(on_paper(ink)).ravel(), prepare(drawn(label, size_px=300)).ravel())[0, 1]
    assert like > 0.6
    assert prepare(on_paper(ink)).max() == 255


def grid(shape: tuple[int, int], step: int, *, slant: float = 0.05, width: int = 2) -> np.ndarray:
    """Slanted lines `step` pixels apart, across and upright: bool (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y + slant * x) % step < width) | ((x - slant * y) % step < width)


@pytest.mark.parametrize("line", [140, 60])  # gray levels: fainter than the pen, and as dark
@pytest.mark.parametrize("label", range(10))
def test_squared_paper_is_taken_away(label, line):
    photo = on_paper(np.pad(INKS[label], 30), seed=label)
    photo[grid(photo.shape, 45)] = np.minimum(photo[grid(photo.shape, 45)], line)
    assert_reads(photo, label, at_least=0.4)


@pytest.mark.parametrize("label", range(10))
def test_ruled_paper_is_taken_away(label):
    photo = on_paper(np.pad(INKS[label], 30), seed=label, shadow=20)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    photo[(y + 0.04 * x).astype(int) % 70 < 3] = 60
    assert_reads(photo, label, at_least=0.4)


@pytest.mark.parametrize("inset", [30, 34])  # the frame is away from the digit, or near it
@pytest.mark.parametrize("label", range(10))
def test_a_box_around_the_digit_is_taken_away(label, inset):
    photo = on_paper(np.pad(INKS[label], 40), seed=label)
    rng = np.random.default_rng(label)
    image = Image.fromarray(photo)
    corners = [(inset, inset), (240 - inset, inset), (240 - inset, 240 - inset), (inset, 240 - inset)]
    drawn_by_hand = [(x + int(rng.integers(-3, 4)), y + int(rng.integers(-3, 4))) for x, y in corners]
    ImageDraw.Draw(image).line([*drawn_by_hand, drawn_by_hand[0]], fill=50, width=4)
    assert_reads(np.asarray(image), label)


@pytest.mark.parametrize("label", range(10))
def test_the_hard_edge_of_a_shadow_across_the_digit(label):
    photo = on_paper(INKS[label], seed=label, shadow=0).astype(float)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    photo[x + 0.4 * y < 110] *= 0.45
    assert_reads(photo.astype(np.uint8), label)


@pytest.mark.parametrize("label", range(10))
def test_a_neighbour_that_the_border_cuts_off_is_dropped(label):
    photo = on_paper(np.hstack([np.pad(INKS[label], ((0, 0), (8, 8))), INKS[8][:, 40:70]]), seed=label, shadow=20)
    assert_reads(photo, label)


def small_digits() -> np.ndarray:
    return np.stack([prepare(ink) for ink in INKS.values()])


@pytest.mark.parametrize("across", [True, False])
def test_stripes_that_are_inverted_are_turned_back(across):
    for image in small_digits():
        striped = image.copy()
        for stripe in (np.s_[:7], np.s_[21:]):
            place = (slice(None), stripe) if across else stripe
            striped[place] = 255 - striped[place]
        assert np.array_equal(prepare(striped), image)


def test_small_pictures_in_fog_keep_their_strokes():
    y, x = np.mgrid[:28, :28] / 28
    for label, image in enumerate(small_digits()):
        fog = 90 + 40 * np.sin(5 * x + label) * np.cos(6 * y - label)
        foggy = (fog + image / 4).astype(np.uint8)
        assert_reads(foggy, label, at_least=0.5)
        assert_reads(255 - foggy, label, at_least=0.5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "paper", [{}, {"grain": 0}, {"grain": 2}, {"grain": 15}, {"grain": 30, "shadow": 0}, {"shadow": 150}]
)
def test_blank_paper_has_no_ink(paper, seed):
    blank = on_paper(np.zeros((120, 160), np.uint8), seed=seed, **paper)
    assert not clean(blank).any()
    assert not prepare(255 - blank).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 90), (33, 40)])
@pytest.mark.parametrize("seed", range(3))
def test_any_shape_comes_through(shape, seed):
    noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    assert clean(noise).dtype == np.uint8
    assert clean(noise).ndim == 2


def test_a_large_photo_is_worked_on_small_and_read_the_same():
    photo = on_paper(drawn(2, size_px=900), grain=0)
    out = clean(photo[:, 100:800])
    assert max(out.shape) <= WORK_SIDE + 40  # hair lines may grow a little
    assert_reads(photo, 2, at_least=0.4)


def test_a_photo_is_left_as_it_was():
    photo = on_paper(INKS[3])
    photo.flags.writeable = False
    before = photo.copy()
    clean(photo)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("gap", [0.2, 1.0, 2.5])
def test_two_digits_stay_two(gap):
    three, five = drawn(3, size_px=100), drawn(5, size_px=100)
    paper = on_paper(np.concatenate([three, np.zeros((100, int(100 * gap)), np.uint8), five], axis=1))
    columns = np.nonzero(clean(paper))[1]
    assert columns.max() - columns.min() > 0.6 * (2 + gap) * 100 * min(1, 512 / paper.shape[1])
