"""Preprocessing: the identity on MNIST, golden images, and the laws that hold for any image.

The golden images are drawn here. When `prepare` is changed on purpose (and `VERSION` rises), write them again:
`python tests/picture/test_prepare.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from inkdigit.data.readers.idx_npz import read_idx
from inkdigit.errors import UsageError
from inkdigit.picture.prepare import (
    KINDS,
    TOGETHER,
    VERSION,
    find_ink,
    ink_box,
    is_clean,
    prepare,
    prepare_all,
    prepare_each,
)
from inkdigit.synth.drawn import digit

GOLDEN = Path(__file__).with_name("golden.npz")
NAMES = [f"{label}-{layout}" for label in range(10) for layout in ("12px", "20px", "28px", "36px", "corner", "inset")]
NOT_ITSELF = [19841]  # of MNIST's training images: its ink sits a pixel from where its centre of mass belongs

quick = settings(max_examples=50, deadline=None, derandomize=True)


def clean_digit(label: int, size_px: int, *, seed: int = 0) -> np.ndarray:
    return digit(label, rng=np.random.default_rng([seed, label]), size_px=size_px)


def golden_input(name: str) -> np.ndarray:
    """A clean image: a small or a larger one, one in a corner, or one of MNIST's size and not quite in its place."""
    label, layout = int(name[0]), name[2:]
    if layout == "corner":
        return np.pad(clean_digit(label, 20), ((0, 24), (24, 0)))
    if layout == "inset":
        return np.pad(clean_digit(label, 26)[2:24, 2:24], ((2, 4), (5, 1)))
    return clean_digit(label, int(layout.removesuffix("px")))


def write_golden() -> None:
    stored = {f"in-{name}": golden_input(name) for name in NAMES}
    stored |= {f"out-{name}": prepare(golden_input(name)) for name in NAMES}
    np.savez_compressed(GOLDEN, version=VERSION, **stored)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Gray images of 1×1 to 60×60 pixels: empty to full, black on white or white on black, two levels or 256."""
    h, w = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gray = rng.integers(0, 256, (h, w)).astype(np.uint8)
    if draw(st.booleans()):
        gray = np.where(gray > 127, np.uint8(draw(st.integers(1, 255))), np.uint8(0))
    gray[rng.random((h, w)) > draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))] = draw(st.sampled_from([0, 255]))
    if draw(st.booleans()):  # ink inside a margin
        gray = np.pad(gray, draw(st.integers(1, 12)))
    return gray


# MNIST ----------------------------------------------------------------------------------------------------------------


def test_every_mnist_test_image_comes_out_as_it_is(mnist):
    images = read_idx(mnist / "t10k-images-idx3-ubyte.gz")
    assert len(images) == 10_000
    assert np.array_equal(prepare_all(images), images)
    assert all(np.array_equal(prepare(image), image) for image in images)


def test_every_mnist_training_image_but_one_comes_out_as_it_is(mnist):
    images = read_idx(mnist / "train-images-idx3-ubyte.gz")
    out = prepare_all(images)
    changed = np.flatnonzero((out != images).any((1, 2)))
    assert len(images) == 60_000
    assert changed.tolist() == NOT_ITSELF
    for i in [*NOT_ITSELF, *range(0, 60_000, 20)]:
        assert np.array_equal(prepare(images[i]), out[i])


def test_the_one_exception_is_moved_by_a_pixel(mnist):
    image = read_idx(mnist / "train-images-idx3-ubyte.gz")[NOT_ITSELF[0]]
    out = prepare(image)
    assert np.array_equal(out[ink_box(out)], image[ink_box(image)])
    assert np.array_equal(prepare(out), out)


@pytest.mark.parametrize("strongest", [1, 31, 64, 128, 199])
@pytest.mark.parametrize("size_px", [16, 20, 28])
def test_dim_ink_is_made_as_strong_as_any(size_px, strongest):
    ink = np.pad(digit(3, rng=np.random.default_rng(2), size_px=size_px), (32 - size_px) // 2)
    dim = np.rint(ink * (strongest / ink.max())).astype(np.uint8)
    out = prepare(dim)
    assert out.max() == 255
    assert np.array_equal(prepare(out), out)
    assert np.array_equal(prepare_all(dim[None])[0], out)
    small = dim[2:-2, 2:-2]
    assert np.array_equal(prepare_all(small[None])[0], prepare(small))


# Golden ---------------------------------------------------------------------------------------------------------------


def test_clean_ink_comes_out_as_it_always_has():
    with np.load(GOLDEN) as stored:
        assert stored["version"] == VERSION, "prepare has a new version: write the golden images again"
        gaps = {name: np.abs(prepare(stored[f"in-{name}"]).astype(int) - stored[f"out-{name}"]).max() for name in NAMES}
    assert {
        name: gap for name, gap in gaps.items() if gap > 1
    } == {}  # another processor may round the resize otherwise


def test_the_golden_images_are_clean_and_the_ones_that_are_drawn_here():
    with np.load(GOLDEN) as stored:
        assert {name[3:] for name in stored.files if name.startswith("in-")} == set(NAMES)
        for name in NAMES:
            assert is_clean(stored[f"in-{name}"])
            assert np.abs(golden_input(name).astype(int) - stored[f"in-{name}"]).max() <= 1


# Laws -----------------------------------------------------------------------------------------------------------------


@quick
@given(pictures())
def test_prepare_gives_28x28_and_is_idempotent(gray):
    out = prepare(gray)
    assert out.dtype == np.uint8
    assert out.shape == (28, 28)
    assert np.array_equal(prepare(out), out)
    assert np.array_equal(prepare_all(np.stack([gray, gray])), np.stack([out, out]))


@quick
@given(pictures(), st.tuples(*[st.integers(0, 30)] * 4))
def test_zeros_around_a_clean_image_change_nothing(gray, margins):
    assume(is_clean(gray))
    top, bottom, left, right = margins
    padded = np.pad(gray, ((top, bottom), (left, right)))
    assert is_clean(padded)
    assert np.array_equal(prepare(padded), prepare(gray))


@quick
@given(pictures())
def test_an_input_is_left_as_it_was(gray):
    before = gray.copy()
    gray.flags.writeable = False
    prepare(gray)
    assert np.array_equal(gray, before)


@quick
@given(pictures(), st.sampled_from(KINDS))
def test_many_at_once_are_the_same_as_one_at_a_time(gray, kind):
    batch = np.stack([gray, gray[::-1], 255 - gray, np.zeros_like(gray)])
    assert np.array_equal(prepare_all(batch, kind), np.stack([prepare(one, kind) for one in batch]))


def test_images_that_are_only_moved_are_put_in_their_place_together(monkeypatch):
    rng = np.random.default_rng(0)
    inked = [prepare(clean_digit(label, 28))[ink_box(prepare(clean_digit(label, 28)))] for label in range(10)]
    images = np.zeros((60, 28, 28), np.uint8)
    for i, image in enumerate(images):
        ink = inked[i % 10]
        y, x = (int(rng.integers(0, 29 - side)) for side in ink.shape)
        image[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    expected = np.stack([prepare(image) for image in images])
    assert (expected != images).any((1, 2)).sum() > 50
    # One by one would be as right, and six times slower.
    monkeypatch.setattr("inkdigit.picture.prepare.prepare", None)
    assert np.array_equal(prepare_all(images), expected)
    assert np.array_equal(prepare_all(255 - images), expected)


def test_every_kind_of_28x28_image_goes_together_as_it_goes_alone():
    rng = np.random.default_rng(1)
    digit_ = prepare(clean_digit(5, 28))
    images = [np.zeros((28, 28)), np.full((28, 28), 255), digit_, 255 - digit_, np.roll(digit_, 9, 1), digit_ // 2 + 90]
    for side in range(1, 29):  # boxes of every size, touching none, one or two edges
        image = np.zeros((28, 28))
        image[:side, (28 - side) // 2 : (28 - side) // 2 + side] = rng.integers(0, 256, (side, side))
        images += [image, 255 - image, image.T, 255 - image[::-1]]
    for inked in (9, 10, 11, 12):  # of the border's 108 pixels: ten are clean, eleven are not
        image = digit_.copy()
        image[0, :inked] = 200
        images += [image, 255 - image]
    images += [np.where(rng.random((28, 28)) < share, 255, digit_) for share in (0.001, 0.01, 0.1)]
    batch = np.stack(images).astype(np.uint8)
    expected = np.stack([prepare(image) for image in batch])
    blank = np.zeros((TOGETHER - len(batch) // 2, 28, 28), np.uint8)  # so half of the others go together with the next
    assert np.array_equal(prepare_all(np.concatenate([blank, batch])), np.concatenate([blank, expected]))


def test_together_an_image_is_a_new_one_and_the_old_one_stays():
    images = np.stack([np.roll(prepare(clean_digit(k, 28)), k % 3, 1) for k in range(10)])
    before = images.copy()
    images.flags.writeable = False
    for kind in KINDS:
        out = prepare_all(images, kind)
        out[:] = 7
    assert np.array_equal(images, before)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_sizes_go_together_in_their_order(kind):
    grays = [clean_digit(i % 10, size, seed=i) for i, size in enumerate((28, 12, 28, 60, 112, 28, 28, 33))]
    grays += [255 - grays[0], np.zeros((5, 9), np.uint8), grays[3][:, :31]]
    expected = np.stack([prepare(gray, kind) for gray in grays])
    assert np.array_equal(prepare_each(iter(grays), kind), expected)
    assert prepare_each([], kind).shape == (0, 28, 28)


@pytest.mark.parametrize("size_px", [10, 20, 28, 40, 112, 300])
def test_black_on_white_is_read_as_white_on_black(size_px):
    failures = []
    for label in range(10):
        gray = clean_digit(label, size_px)
        white, black = prepare(gray), prepare(255 - gray)
        likeness = np.corrcoef(white.ravel(), black.ravel())[0, 1]
        if not np.array_equal(white, black) and (is_clean(gray) or likeness < 0.8):  # the ink network sees two pictures
            failures.append(f"{label}: {likeness:.3f} alike")
    assert not failures


@pytest.mark.parametrize("size_px", [12, 24, 36, 112])
def test_ink_is_20_px_long_and_centred_by_mass(size_px):
    failures = []
    for label in range(10):
        out = prepare(clean_digit(label, size_px))
        box = ink_box(out)
        assert box is not None
        if max(s.stop - s.start for s in box) not in (19, 20):
            failures.append(f"{label}: its ink is not 19 or 20 px long")
        centre = [float((out * place).sum() / out.sum()) for place in np.mgrid[:28, :28]]
        if max(abs(place - 14) for place in centre) > 1:
            failures.append(f"{label}: its centre of mass is at {centre}")
    assert not failures


@pytest.mark.parametrize("zoom", [2, 3])
def test_a_whole_number_zoom_keeps_the_shape(zoom):
    def likeness(label: int) -> float:
        gray = clean_digit(label, 56)
        zoomed = np.kron(gray, np.ones((zoom, zoom), np.uint8))
        return float(np.corrcoef(prepare(gray).ravel(), prepare(zoomed).ravel())[0, 1])

    assert {label: likeness(label) for label in range(10) if likeness(label) <= 0.8} == {}  # a pixel of shift costs 0.1


# Edges ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (28, 28), (20, 20), (100, 60), (700, 30)])
def test_one_colour_has_no_ink(shape):
    assert [value for value in (0, 1, 128, 254, 255) if prepare(np.full(shape, value, np.uint8)).any()] == []


def test_one_pixel_of_ink_becomes_a_full_square():
    gray = np.zeros((28, 28), np.uint8)
    gray[3, 5] = 1
    out = prepare(gray)
    assert ink_box(out) == (slice(4, 24), slice(4, 24))
    assert set(np.unique(out)) == {0, 255}


def test_a_hair_line_is_still_ink():
    gray = np.zeros((60, 60), np.uint8)
    gray[20:50, 30] = 255
    box = ink_box(prepare(gray))
    assert box is not None
    assert box[0].stop - box[0].start == 20


def test_ink_of_19_or_20_px_is_not_scaled():
    for side in (19, 20):
        gray = np.zeros((64, 64), np.uint8)
        gray[2 : 2 + side, 2:9] = np.random.default_rng(side).integers(1, 256, (side, 7))
        out = prepare(gray)
        assert np.array_equal(out[ink_box(out)], gray[ink_box(gray)])


@pytest.mark.parametrize(("inked", "clean"), [(0, True), (39, True), (41, False), (60, False)])
def test_a_small_image_may_be_cropped_tightly(inked, clean):
    gray = np.zeros((16, 16), np.uint8)
    gray[1:15, 7:9] = 255
    rim = [(0, x) for x in range(16)] + [(15, x) for x in range(16)] + [(y, x) for y in range(1, 15) for x in (0, 15)]
    for y, x in rim[:inked]:
        gray[y, x] = 90
    assert is_clean(gray) == clean


def test_ink_that_is_larger_than_small_images_are_takes_the_photo_path():
    assert is_clean(np.pad(np.full((32, 5), 255, np.uint8), 8))
    assert not is_clean(np.pad(np.full((33, 5), 255, np.uint8), 8))


def small(label: int, *, side: int = 28) -> np.ndarray:
    """A digit as MNIST has it, in the middle of a larger image."""
    margin = (side - 28) // 2
    return np.pad(prepare(clean_digit(label, 28)), margin)


def unlike(dirty: Mapping[int, np.ndarray], *, at_least: float) -> list[str]:
    """The small images (label → gray) that pass for clean, or come out too little like the clean one."""
    failures = []
    for label, gray in dirty.items():
        likeness = np.corrcoef(prepare(gray).ravel(), small(label).ravel())[0, 1]
        if is_clean(gray) or likeness <= at_least:
            failures.append(f"{label}: clean {is_clean(gray)}, {likeness:.2f} like the clean one")
    return failures


def test_salt_and_pepper_are_taken_away():
    noisy = {}
    for label in range(10):
        rng, gray = np.random.default_rng(label), small(label)
        gray[rng.random(gray.shape) < 0.06] = 255
        gray[rng.random(gray.shape) < 0.06] = 0
        noisy[label] = gray
    assert len(unlike(noisy, at_least=0.6)) <= 3  # a pixel of shift costs 0.3


@pytest.mark.parametrize("place", [0, 1])
def test_a_frame_around_a_small_digit_is_taken_away(place):
    framed = {label: small(label) for label in range(10)}
    for gray in framed.values():
        frame = np.ones((28 - 2 * place, 28 - 2 * place), bool)
        frame[1:-1, 1:-1] = False
        gray[np.pad(frame, place)] = 255
    assert len(unlike(framed, at_least=0.7)) == 0
    assert len(unlike({label: 255 - gray for label, gray in framed.items()}, at_least=0.7)) == 0


def test_faint_ink_beyond_soft_edges_is_looked_at_by_the_ink_network():
    gray = small(1, side=36)
    gray[14:17, 1:18] = np.maximum(gray[14:17, 1:18], 60)
    assert not is_clean(gray)


def test_ink_of_19_or_20_px_is_not_asked_for_specks():
    gray = small(3)
    gray[ink_box(gray)][0, 0] = 255
    assert is_clean(gray)
    assert np.array_equal(prepare(gray)[ink_box(prepare(gray))], gray[ink_box(gray)])


def test_a_stroke_that_fills_its_box_is_not_a_frame():
    for shape in ((24, 5), (11, 11), (5, 30)):
        assert is_clean(np.pad(np.full(shape, 255, np.uint8), 2))
    assert not is_clean(np.pad(np.full((24, 24), 255, np.uint8), 2))


def test_the_ink_of_a_clean_image_is_the_image():
    gray = clean_digit(4, 28)
    assert np.array_equal(find_ink(gray), gray)
    assert np.array_equal(find_ink(255 - gray), gray)


# Plain ----------------------------------------------------------------------------------------------------------------


def test_plain_leaves_28x28_as_it_is():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    assert all(np.array_equal(prepare(image, "plain"), image) for image in images)
    assert np.array_equal(prepare_all(images, "plain"), images)


@pytest.mark.parametrize("shape", [(1, 1), (56, 56), (10, 40), (40, 10), (1, 500), (29, 28)])
def test_plain_fits_the_longest_side_and_pads_with_zeros(shape):
    out = prepare(np.full(shape, 200, np.uint8), "plain")
    box = ink_box(out)
    assert box is not None
    sides = [s.stop - s.start for s in box]
    assert max(sides) == 28
    assert sides == [max(1, round(side * 28 / max(shape))) for side in shape]
    assert (out[box] == 200).all()


def test_plain_neither_inverts_nor_moves():
    gray = 255 - clean_digit(1, 56)
    expected = np.asarray(Image.fromarray(gray).resize((28, 28), Image.Resampling.BILINEAR))
    assert np.array_equal(prepare(gray, "plain"), expected)


@pytest.mark.parametrize("call", [prepare, lambda gray, kind: prepare_all(gray[None], kind)])
def test_an_unknown_kind_is_an_error(call):
    with pytest.raises(UsageError, match="Expected: ink or plain") as caught:
        call(np.zeros((28, 28), np.uint8), "letters")
    assert caught.value.exit_code == 2


def test_no_images_give_no_images():
    assert prepare_all(np.zeros((0, 28, 28), np.uint8)).shape == (0, 28, 28)


if __name__ == "__main__":
    write_golden()
