"""`synth/drawn.py` and the images that `examples/draw.py` makes with it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import UsageError
from inkdigit.synth.drawn import Scribble, digit, letter, scribble, shape, sign
from inkdigit.synth.glyphs import (
    BLOB_GLYPHS,
    DIGIT_GLYPHS,
    EXTRA_DIGIT_GLYPHS,
    LETTER_GLYPHS,
    SHAPE_GLYPHS,
    SIGN_GLYPHS,
    STRAIGHT_DIGIT_GLYPHS,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = runpy.run_path(str(EXAMPLES / "draw.py"))
TABLES = (DIGIT_GLYPHS, EXTRA_DIGIT_GLYPHS, STRAIGHT_DIGIT_GLYPHS)
COUNTS = {label: sum(len(table[label]) for table in TABLES) for label in range(10)}
KINDS = get_args(Scribble)
SUMS = [145170, 52054, 102449, 119712, 131140, 113094, 102752, 88999, 126824, 130191]  # since the first release


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def faults_of(image: np.ndarray) -> list[str]:
    """What is wrong with a drawing of 112 px, by its pixels alone."""
    rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
    sides = (rows[0], rows[-1]), (columns[0], columns[-1])
    checks = {
        "not a gray image of 112 px": image.shape != (112, 112) or image.dtype != np.uint8,
        "no full ink": image.max() != 255,
        "ink in the margin": any(first < 10 or last > 101 for first, last in sides),
        "not in the middle": any(abs(first + last - 111) > 3 for first, last in sides),
        "too little or too much ink": not 0.02 < (image > 127).mean() < 0.3,
    }
    return [fault for fault, is_so in checks.items() if is_so]


def test_each_variant_of_a_digit_has_ink_inside_a_margin():
    failures = {
        (label, variant): faults
        for label, count in COUNTS.items()
        for variant in range(count)
        if (faults := faults_of(digit(label, rng=rng(), variant=variant, extra=True)))
    }
    assert not failures


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    again = [label for label in range(10) if not np.array_equal(digit(label, rng=rng(7)), digit(label, rng=rng(7)))]
    other = [label for label in range(10) if np.array_equal(digit(label, rng=rng(7)), digit(label, rng=rng(8)))]
    assert (again, other) == ([], [])


def test_without_a_variant_the_generator_picks_one():
    pictures = {digit(1, rng=rng(seed), jitter=0.0).tobytes() for seed in range(20)}
    assert len(pictures) == len(DIGIT_GLYPHS[1])
    pictures = {digit(1, rng=rng(seed), jitter=0.0, size_px=40, extra=True).tobytes() for seed in range(80)}
    assert len(pictures) == COUNTS[1]


def test_images_in_files_that_shipped_are_drawn_as_they_were():
    """The self tests of the bundled models are such images: rounding of a last bit may change them, no more."""
    sums = [int(digit(label, rng=rng(label), size_px=56).sum()) for label in range(10)]
    assert sums == pytest.approx(SUMS, abs=300)


def test_jitter_changes_the_image_and_none_leaves_the_copybook_shape():
    copybook = digit(3, rng=rng(1), variant=0, jitter=0.0)
    assert np.array_equal(copybook, digit(3, rng=rng(2), variant=0, jitter=0.0))
    differences = [
        np.abs(copybook.astype(int) - digit(3, rng=rng(2), variant=0, jitter=jitter)).mean()
        for jitter in (0.005, 0.02, 0.06)
    ]
    assert 0 < differences[0] < differences[1] < differences[2]


def test_thickness_is_a_fraction_of_the_size():
    thin, thick = (digit(1, rng=rng(), variant=0, jitter=0.0, thickness=t)[56] / 255 for t in (0.05, 0.15))
    assert thin.sum() == pytest.approx(0.05 * 112, abs=0.6)
    assert thick.sum() == pytest.approx(0.15 * 112, abs=0.6)


@pytest.mark.parametrize("at_a_time", [1, 10**9])
def test_it_does_not_matter_how_many_windows_are_measured_together(at_a_time, monkeypatch):
    picture = digit(8, rng=rng(), size_px=70)
    monkeypatch.setattr("inkdigit.synth.drawn.AT_A_TIME", at_a_time)
    assert np.array_equal(picture, digit(8, rng=rng(), size_px=70))


@pytest.mark.parametrize("size_px", [20, 28, 301])
def test_any_size_shows_the_same_shape(size_px):
    picture = digit(5, rng=rng(), size_px=size_px)
    assert picture.shape == (size_px, size_px)
    small = Image.fromarray(digit(5, rng=rng(), size_px=602)).resize((size_px, size_px), Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - picture).mean() < 4


def test_edges_are_soft():
    picture = digit(0, rng=rng())
    assert np.unique(picture).size > 50
    assert ((picture > 0) & (picture < 255)).mean() < 0.1


@pytest.mark.parametrize(
    ("draw", "names"),
    [(letter, LETTER_GLYPHS), (sign, SIGN_GLYPHS), (shape, SHAPE_GLYPHS)],
    ids=["letters", "signs", "shapes"],
)
def test_letters_signs_and_shapes_are_images_that_their_seed_decides(draw, names):
    failures = []
    for name in names:
        image, again, other = (draw(name, rng=rng(seed), size_px=64) for seed in (3, 3, 4))
        if image.shape != (64, 64) or image.max() != 255:
            failures.append(f"{name}: no full ink on 64 px")
        if not np.array_equal(image, again) or np.array_equal(image, other):
            failures.append(f"{name}: the seed does not decide")
    assert not failures


def test_a_filled_shape_is_its_outline_and_what_lies_inside():
    failures = []
    for name in SHAPE_GLYPHS:
        hollow, filled = (shape(name, rng=rng(3), size_px=64, filled=fill).astype(int) for fill in (False, True))
        if (filled < hollow).any():
            failures.append(f"{name}: the outline is lost")
        if (filled == 255).sum() <= 1.3 * (hollow == 255).sum():
            failures.append(f"{name}: nothing is filled")
        if filled[0].any():
            failures.append(f"{name}: it runs out")
    assert not failures


def test_a_filled_disc_has_no_hole():
    disc = shape("disc", rng=rng(), size_px=100, thickness=0.02, jitter=0.0, filled=True)
    y, x = np.mgrid[:100, :100] - 49.5
    assert (disc[np.hypot(x, y) < 36] == 255).all()
    assert not disc[np.hypot(x, y) > 40].any()


def test_a_blob_is_a_zero_while_it_is_hollow():
    assert all(shape(name, rng=rng(), size_px=32, filled=True).max() == 255 for name in BLOB_GLYPHS)
    with pytest.raises(UsageError, match=r"no such shape.*triangle.*Received: 'disc'"):
        shape("disc", rng=rng())


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_scribbles_are_alike(kind):
    pictures = [scribble(rng=rng(seed), size_px=48, kind=kind) for seed in range(20)]
    assert all(p.shape == (48, 48) and p.dtype == np.uint8 and p.max() == 255 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 20
    assert np.array_equal(pictures[4], scribble(rng=rng(4), size_px=48, kind=kind))


def test_a_kind_of_scribble_that_is_not_there_is_an_error():
    with pytest.raises(UsageError, match=r"Expected: strokes, hatching, loops, spiral, tangle\. Received: 'doodle'"):
        scribble(rng=rng(), kind="doodle")


@pytest.mark.parametrize("label", [-1, 10, "7"])
def test_a_label_that_is_not_a_digit_is_an_error(label):
    with pytest.raises(UsageError, match="0 to 9"):
        digit(label, rng=rng())


@pytest.mark.parametrize(("variant", "extra", "last"), [(-1, False, 2), (3, False, 2), (10, True, 9)])
def test_a_variant_that_is_not_there_is_an_error(variant, extra, last):
    with pytest.raises(UsageError, match=f"0 to {last}"):
        digit(3, rng=rng(), variant=variant, extra=extra)


@pytest.mark.parametrize(
    ("draw", "name", "known"), [(letter, "O", "A E F"), (letter, "", "A E F"), (sign, "0", r"\+ =")]
)
def test_what_is_not_there_is_an_error(draw, name, known):
    with pytest.raises(UsageError, match=known):
        draw(name, rng=rng())


def test_the_examples_show_every_digit_and_are_small_files():
    files = sorted(EXAMPLES.glob("*.png"))
    assert [file.stem for file in files] == sorted(SCRIPT["EXAMPLES"])
    assert {file.stem[:2] for file in files} == {f"{label}-" for label in range(10)}
    assert max(file.stat().st_size for file in files) < 120_000


def test_an_example_is_what_the_script_draws():
    failures = []
    for name in SCRIPT["EXAMPLES"]:
        drawn = SCRIPT["draw"](name)
        with Image.open(EXAMPLES / f"{name}.png") as stored:
            if (stored.mode, stored.size) != (drawn.mode, drawn.size):
                failures.append(f"{name}: {stored.mode} {stored.size}, drawn {drawn.mode} {drawn.size}")
                continue
            difference = np.asarray(stored.convert("RGBA")).astype(int) - np.asarray(drawn.convert("RGBA"))
        if np.abs(difference).mean() >= 2:  # another Pillow may choose another palette
            failures.append(f"{name}: {np.abs(difference).mean():.1f} gray levels apart")
    assert not failures


def test_the_script_writes_into_the_folder_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(SCRIPT["main"].__globals__, "EXAMPLES", {"0-mnist-like": SCRIPT["EXAMPLES"]["0-mnist-like"]})
    SCRIPT["main"](tmp_path / "new")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["0-mnist-like.png"]
