"""Which strokes belong together: on shares that are painted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.photo.groups import groups
from inkdigit.picture.photo.network import NUMBER, OTHER, PAPER, RULING


def shares(*boxes: tuple[int, int, int, int], other: tuple[int, ...] = ()) -> np.ndarray:
    """Shares (4, 100, 200) with full ink in boxes (top, left, bottom, right); those at `other` are marks."""
    out = np.zeros((4, 100, 200), np.float32)
    out[PAPER] = 1
    for i, (top, left, bottom, right) in enumerate(boxes):
        out[PAPER, top:bottom, left:right] = 0
        out[OTHER if i in other else NUMBER, top:bottom, left:right] = 1
    return out


def boxes(*painted: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    things, _, _ = groups(shares(*painted))
    return sorted((thing.top, thing.left, thing.bottom, thing.right) for thing in things)


def test_nothing_is_written_on_blank_paper():
    assert groups(shares())[0] == []


@pytest.mark.parametrize(
    ("name", "bar"),
    [("near", (20, 48, 26, 70)), ("above", (6, 40, 12, 60)), ("overlapping", (30, 30, 36, 44))],
)
def test_a_bar_belongs_to_the_digit_that_it_is_near_to(name, bar):
    assert len(boxes((20, 40, 80, 46), bar)) == 1, name


@pytest.mark.parametrize(
    ("name", "second"),
    [("beside", (20, 52, 80, 58)), ("nearly touching", (22, 48, 78, 80)), ("far", (20, 150, 80, 156))],
)
def test_what_is_as_high_is_a_digit_of_its_own(name, second):
    assert len(boxes((20, 40, 80, 46), second)) == 2, name


def test_a_broken_stroke_is_one_thing():
    assert boxes((10, 40, 35, 46), (37, 40, 60, 46), (62, 41, 90, 47)) == [(10, 40, 90, 47)]


def test_specks_are_left_out():
    assert boxes((20, 40, 80, 50), (5, 150, 6, 152)) == [(20, 40, 80, 50)]


def test_a_thing_knows_what_it_is_and_whether_the_border_cuts_it():
    things, labels, _ = groups(shares((20, 40, 80, 50), (0, 150, 40, 170), other=(1,)))
    by_left = {thing.left: thing for thing in things}
    assert (by_left[40].number, by_left[150].number) == (1, 0)
    assert (by_left[40].height, by_left[40].width, by_left[40].mass) == (60, 10, 600)
    assert not by_left[40].touches(labels.shape)
    assert by_left[150].touches(labels.shape)
    assert np.isin(labels[20:80, 40:50], by_left[40].labels).all()


def test_the_heaviest_comes_first():
    things, _, _ = groups(shares((20, 10, 60, 16), (20, 100, 80, 130)))
    assert [thing.left for thing in things] == [100, 10]


def with_ruling(place: tuple[slice, slice], out: np.ndarray) -> np.ndarray:
    """The same shares, with a ruled line at a place."""
    out[:, *place] = 0
    out[RULING, *place] = 1
    return out


def test_a_level_stroke_that_looks_like_a_line_is_a_part_of_its_digit():
    half = with_ruling(np.s_[20:26, 20:40], shares((26, 34, 90, 40), (20, 40, 26, 50)))
    (thing,), _, ink = groups(half)
    assert (thing.top, thing.left) == (20, 20)
    assert ink[20:26, 20:40].min() == 1
    assert 0.1 < thing.ruling < 0.5


def test_a_line_that_goes_on_to_the_border_and_a_frame_stay_lines():
    line = with_ruling(np.s_[50:54, :], shares((20, 40, 50, 46)))
    assert groups(line)[0][0].bottom == 50
    frame = shares((30, 90, 70, 96))
    for place in (np.s_[10:14, 40:160], np.s_[86:90, 40:160], np.s_[10:90, 40:44], np.s_[10:90, 156:160]):
        with_ruling(place, frame)
    (thing,), _, ink = groups(frame)
    assert (thing.left, thing.right) == (90, 96)
    assert ink.sum() == 40 * 6
