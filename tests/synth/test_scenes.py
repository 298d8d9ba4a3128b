"""Scenes: repeatable, of any shape, with a truth that fits what is seen, and of every kind that is to be learned."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import tight
from inkdigit.synth.scenes import pens, rules, scanned, scene

from ..conftest import template

SHAPES = [(96, 96), (48, 160), (160, 64)]


@pytest.fixture(scope="module")
def bank() -> pens.Bank:
    digits = np.stack([template(i) for i in range(20)])
    return pens.bank(digits, rng=np.random.default_rng(0), size=64)


def drawn(bank: pens.Bank, seed: int, shape: tuple[int, int] = (96, 96)) -> scene.Scene:
    return scene.draw(bank, shape, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_scenes_are_repeatable_and_have_the_shape_that_is_asked_for(bank, shape):
    for seed in range(12):
        one, again = drawn(bank, seed, shape), drawn(bank, seed, shape)
        assert one.gray.shape == shape
        assert one.truth.shape == (3, *shape)
        assert one.gray.dtype == one.truth.dtype == np.uint8
        assert np.array_equal(one.gray, again.gray)
        assert np.array_equal(one.truth, again.truth)
    assert len({drawn(bank, seed, shape).gray.tobytes() for seed in range(12)}) == 12


def test_the_shares_of_a_pixel_are_never_more_than_the_whole(bank):
    for seed in range(40):
        assert drawn(bank, seed).truth.sum(0, dtype=int).max() <= 257  # each share is rounded


@pytest.mark.parametrize("kind", scene.KINDS)
def test_every_kind_of_scene_has_its_truth(bank, kind, monkeypatch):
    monkeypatch.setattr(scene, "SHARES", [float(kind == one) for one in scene.KINDS])
    number = np.mean([drawn(bank, seed).truth[1].max() > 200 for seed in range(10)])
    assert number == 0 if kind in ("empty", "other") else number > 0.5


def test_a_point_of_a_number_is_small():
    for name in pens.POINTS:
        covers = [pens.number_sign(name, np.random.default_rng(seed), thickness=0.1).cover for seed in range(20)]
        assert max(max(cover.shape) for cover in covers) <= pens.POINT_PX


def test_every_class_is_drawn(bank):
    shares = np.stack([drawn(bank, seed).truth.max(axis=(1, 2)) > 200 for seed in range(60)])
    assert (shares.mean(0) > 0.1).all()  # ruling, number, other
    assert 0.05 < np.mean(~shares[:, 1]) < 0.6  # without a number: empty, or only other writing


def test_what_is_written_can_be_seen(bank):
    """Where the truth has ink, the picture differs from what is around it, in most scenes."""
    seen = []
    for seed in range(80):
        one = drawn(bank, seed)
        ink = one.truth[1] > 200
        if 30 < ink.sum() < 0.4 * ink.size:
            around = one.truth.sum(0) == 0
            spread = max(float(one.gray[around].std()), 1.0)
            seen.append(abs(float(one.gray[ink].mean()) - float(one.gray[around].mean())) / spread)
    assert np.mean(np.array(seen) > 0.3) > 0.75


def test_nothing_hides_what_is_scanned(bank):
    """Every stroke is darker than the paper around it; some paper is white, some has fine print."""
    whites = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sheet, hand = scene.Sheet((64, 160)), scanned.pen(rng)
        for i in range(3):
            box = (8.0, 10 + 50.0 * i, 56.0, 45 + 50.0 * i)
            sheet.put(bank.digits[(seed + i) % len(bank.digits)], box, hand, rng, is_number=True)
        one = scanned.finish(sheet, (8, 10, 56, 145), hand, rng)
        ink, paper = one.truth[1] > 200, one.truth.sum(0) == 0
        assert one.gray[ink].mean() < one.gray[paper].mean() - 20
        assert one.truth.sum(0, dtype=int).max() <= 257
        whites.append(bool((one.gray[paper] > 250).mean() > 0.9))
    assert 0.1 < np.mean(whites) < 0.5


def test_a_skeleton_is_thin_and_in_one_piece():
    for label in range(10):
        lines = pens.skeleton(template(label)) > 0
        blocks = lines[:-1, :-1] & lines[1:, :-1] & lines[:-1, 1:] & lines[1:, 1:]
        assert 20 < lines.sum() < 600
        assert blocks.mean() < 0.01


@pytest.mark.parametrize("width", [0.02, 0.1, 0.2])
def test_a_pen_that_follows_a_skeleton_is_as_wide_as_it_says(width):
    lines = np.zeros((80, 9), np.uint8)
    lines[:, 4] = 255
    pen = pens.Pen(width=width, sharpness=3, alpha=1, uneven=0, grain=0)
    seen, truth = pens.write(pens.Ink(lines, is_skeleton=True), (100, 30), pen, np.random.default_rng(0), turn_deg=0)
    row = truth[len(truth) // 2]
    assert row.sum() == pytest.approx(max(100 * width, pens.FINEST_PX), rel=0.35)
    assert seen.max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", [(30, 20), (140, 90)])
def test_around_the_strokes_there_is_no_ink(bank, shape):
    rng = np.random.default_rng(2)
    for ink in [*bank.digits[:20], *bank.prints[:10], *bank.others[:10]]:
        for cover in pens.write(ink, shape, pens.pen(rng), rng, turn_deg=0):
            corners = cover[[0, 0, -1, -1], [0, -1, 0, -1]]
            assert corners.max() < 0.01


def test_a_hairline_is_paler_than_its_truth():
    pen = pens.Pen(width=0.005, sharpness=3, alpha=1, uneven=0, grain=0)
    ink = pens.Ink(pens.skeleton(template(0)), is_skeleton=True)
    seen, truth = pens.write(ink, (100, 60), pen, np.random.default_rng(0), turn_deg=0)
    assert seen.max() < 0.6 < truth.max()


def test_places_have_a_line_between_any_two_and_at_both_ends():
    for seed in range(12):
        _, cover = rules.places((60, 200), (10.0, 20.0, 50.0, 180.0), 4, np.random.default_rng(seed))
        marked = np.flatnonzero(cover[44] > 0.3)
        for x in (20, 60, 100, 140, 180):
            assert np.abs(marked - x).min() <= 3


@pytest.mark.parametrize("kind", rules.KINDS)
def test_each_kind_of_line_is_drawn_somewhere(kind):
    rng = np.random.default_rng(1)
    covers = [rules._DRAW[kind]((96, 120), (20.0, 30.0, 70.0, 60.0), 0.02, rng) for _ in range(8)]
    assert all(
        cover.shape == (96, 120) and cover.dtype == np.float32 and 0 <= cover.min() <= cover.max() <= 1
        for cover in covers
    )
    assert np.mean([cover.max() > 0.3 for cover in covers]) > 0.6


def test_words_are_letters(bank):
    ink = pens.word(np.random.default_rng(0), 20)
    assert ink.cover.shape[1] > ink.cover.shape[0]
    assert np.array_equal(tight(ink.cover), ink.cover)
    assert bank.others
