"""Invented writers: each keeps its ways, two differ, and what they write is read as what it is."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.picture.prepare import prepare
from inkdigit.synth import drawn, writers
from inkdigit.synth.glyphs import NUMBER_DIGIT_GLYPHS
from inkdigit.synth.scenes.pens import skeleton
from inkdigit.types import Gray

from ..conftest import template

DIGITS = range(10)


def page(hand: writers.Writer, seed: int = 0) -> list[Gray]:
    rng = np.random.default_rng(seed)
    return [writers.write(hand, label, rng=rng, size_px=56) for label in DIGITS]


def likeness(a: Gray, b: Gray) -> float:
    """The overlap of two images when they are prepared, 0 to 1."""
    x, y = prepare(np.pad(a, 4)) / 255, prepare(np.pad(b, 4)) / 255
    return float(np.minimum(x, y).sum() / np.maximum(x, y).sum())


def test_a_seed_gives_the_same_writer_again_and_another_seed_another():
    one, same, other = (writers.writer(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert all(np.array_equal(a, b) for a, b in zip(page(one), page(same), strict=True))


def test_writers_of_numbers_have_more_forms():
    alone, of_numbers = (
        {form for seed in range(300) for form in writers.writer(np.random.default_rng(seed), of_numbers=more).forms}
        for more in (False, True)
    )
    added = {form for options in NUMBER_DIGIT_GLYPHS.values() for form in options}
    added |= {form.replace("!", "") for form in added}
    assert not alone & added
    assert of_numbers & added
    for label, options in NUMBER_DIGIT_GLYPHS.items():
        for form in options:
            hand = writers.writer(np.random.default_rng(label))
            assert writers.write_glyph(hand, form, rng=np.random.default_rng(0)).any()


def test_a_writer_writes_a_digit_more_alike_than_others_do():
    hands = [writers.writer(np.random.default_rng(seed)) for seed in range(12)]
    first, again = ([page(hand, seed) for hand in hands] for seed in (0, 1))
    own = [likeness(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True)]
    foreign = [
        likeness(a, b)
        for one, two in zip(first, again[1:] + again[:1], strict=True)
        for a, b in zip(one, two, strict=True)
    ]
    assert np.mean(own) > np.mean(foreign) + 0.15


def test_a_writer_writes_anything_else_in_the_same_hand():
    upright, steep = (writers.Writer(("",) * 10, slant, 0, 1, 0.08, 0, 0.01) for slant in (0, 40))
    rng = np.random.default_rng(0)
    bar = "50,0 50,100"
    assert np.ptp(np.nonzero(writers.write_glyph(upright, bar, rng=rng))[1]) < 20
    assert np.ptp(np.nonzero(writers.write_glyph(steep, bar, rng=rng))[1]) > 40


def test_a_fast_stroke_is_as_wide_whichever_way_it_goes():
    widths = []
    for bar in ("0,50 100,50", "100,50 0,50", "50,0 50,100"):
        ink = drawn.glyph(bar, rng=np.random.default_rng(0), jitter=0, thickness=0.2, shape=np.eye(2), speed=0.6) > 127
        widths.append(min(int(ink.any(axis).sum()) for axis in (0, 1)))
    assert max(widths) - min(widths) <= 1


def test_hands_lean_to_both_sides_and_are_narrow_or_wide():
    hands = [writers.writer(np.random.default_rng(seed)) for seed in range(300)]
    slants = [hand.slant_deg for hand in hands]
    assert min(slants) < -25
    assert 35 < max(slants) <= writers.STEEPEST_DEG
    assert np.ptp([hand.aspect for hand in hands]) > 0.7
    assert {len(set(forms)) > 5 for forms in zip(*(hand.forms for hand in hands), strict=True)} == {True}


def test_every_form_is_read_as_its_digit_by_the_default_model(default_model):
    """Upright and with a usual pen; a few are what only some people write."""
    rng = np.random.default_rng(0)
    wrong = []
    for label, forms in writers.FORMS.items():
        for form in forms:
            hand = writers.Writer((form,) * 10, 5, 0, 1, 0.08, 0, 0.01)
            images = [np.pad(writers.write(hand, label, rng=rng, size_px=84), 8) for _ in range(3)]
            if sum(answer.best == label for answer in default_model.predict(images)) < 2:
                wrong.append((label, form))
    assert len(wrong) <= 0.1 * sum(len(forms) for forms in writers.FORMS.values()), wrong


@pytest.mark.parametrize("label", DIGITS)
def test_bent_lines_stay_thin_and_are_another_digit_each_time(label):
    lines = skeleton(template(label))
    bent = [writers.bend(lines, label, rng=np.random.default_rng(seed)) for seed in range(6)]
    assert len({one.tobytes() for one in bent}) == 6
    for one in bent:
        assert set(np.unique(one)) == {0, 255}
        assert one.any(0)[[0, -1]].all()
        assert one.any(1)[[0, -1]].all()
        assert one.shape[1] <= 2.2 * one.shape[0]
        assert (one > 0).mean() < 0.35 or min(one.shape) < 14


def test_a_fast_pen_is_finer_where_it_goes_straight():
    hand = writers.writer(np.random.default_rng(4))
    slow, fast = (
        writers.write(
            writers.Writer(hand.forms, 0, 0, 1, 0.1, speed, 0.0), 7, rng=np.random.default_rng(0), size_px=112
        )
        for speed in (0.0, 0.6)
    )
    assert fast.sum() < 0.85 * slow.sum()
