"""Any array gives images, or one error of ours."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inkdigit.errors import PictureError
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode, split_pictures

PEN = np.pad(np.full((20, 4), 255, np.uint8), ((4, 4), (12, 12)))  # (28, 28)
RECORDS = np.dtype([("red", "u1"), ("green", "u1")])
NOT_BRIGHTNESS = {
    "objects": PEN.astype(object),
    "records": np.zeros((28, 28), RECORDS),
    "text": PEN.astype(str),
    "bytes": PEN.astype("S3"),
    "complex": PEN * 1j,
    "durations": PEN.astype("m8[s]"),
    "dates": PEN.astype("M8[s]"),
    "void": np.zeros((28, 28), "V4"),
    "masked": np.ma.masked_array(PEN, PEN > 0),
    "rows of objects": np.array([[1, 2], [3]], dtype=object),
}


def released() -> memoryview:
    """Memory that was released."""
    view = memoryview(b"an image")
    view.release()
    return view


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny")


@pytest.mark.parametrize("array", NOT_BRIGHTNESS.values(), ids=NOT_BRIGHTNESS)
def test_what_is_not_brightness_is_an_error(recognizer, array):
    for ask in (decode, split_pictures, recognizer.predict):
        with pytest.raises(PictureError, match=r"not brightness|masked") as caught:
            ask(array)
        assert caught.value.exit_code == 3


def test_a_mask_that_hides_nothing_and_other_classes_of_arrays(recognizer, tmp_path):
    on_disk = np.memmap(tmp_path / "pen", np.uint8, "w+", shape=PEN.shape)
    on_disk[:] = PEN
    for same in (np.ma.masked_array(PEN), PEN > 0, PEN.astype(">u2"), on_disk, PEN[::-1][::-1]):
        assert np.array_equal(decode(same), PEN)
        assert recognizer.predict(same)[0].label == recognizer.predict(PEN)[0].label
        assert type(decode(same)) is np.ndarray


@pytest.mark.parametrize(
    "shape", [(), (0,), (784,), (0, 28), (28, 0), (0, 0, 3), (28, 0, 4), (5, 0, 28), (0, 28, 28, 9), (1,) * 7]
)
def test_shapes_without_an_image(recognizer, shape):
    with pytest.raises(PictureError):
        recognizer.predict(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "thing", [released(), memoryview(b""), memoryview(PEN), memoryview(PEN)[::2], memoryview(b"ab")[::-1]]
)
def test_views_of_memory(recognizer, thing):
    for pictures in (thing, [thing, thing]):
        with pytest.raises(PictureError):
            recognizer.predict(pictures)


KINDS = (arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.floating_dtypes(), arrays.complex_number_dtypes())
DTYPES = st.one_of(
    *KINDS, arrays.byte_string_dtypes(), arrays.datetime64_dtypes(), st.just(np.dtype(object)), st.just(RECORDS)
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9)


@given(DTYPES.flatmap(lambda dtype: st.tuples(st.just(dtype), SHAPES)), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_any_array_is_answered_or_an_error(recognizer, kind, value):
    dtype, shape = kind
    array = np.zeros(shape, dtype)
    if dtype.kind in "uifb":
        array[...] = np.minimum(value, 1 if dtype.kind == "b" else 127)
    with suppress(PictureError):
        assert all(answer.reason or answer.label for answer in recognizer.predict(array))


MANY = np.stack([np.roll(PEN, 2 * i, axis=1) for i in range(4)])
ONE = MANY[:1]
LAYOUTS = {
    "one with a last axis of 1": (ONE[0][..., None], ONE),
    "one in a list, channels first": ([np.repeat(ONE, 3, axis=0)], ONE),
    "one as nested lists": (ONE[0].tolist(), ONE),
    "several, channels last": (np.repeat(MANY[..., None], 3, axis=3), MANY),
    "several, gray, channels first": (MANY[:, None], MANY),
    "several, in colour, channels first": (np.repeat(MANY[:, None], 3, axis=1), MANY),
    "several as nested lists": (MANY.tolist(), MANY),
    "several as a tuple of nested lists": (tuple(MANY.tolist()), MANY),
    "of different sizes as nested lists": ([MANY[0].tolist(), np.pad(MANY[1], 4).tolist()], MANY[:2]),
    "three gray ones, not one of three channels": (MANY[:3], MANY[:3]),
}


@pytest.mark.parametrize(("given", "meant"), LAYOUTS.values(), ids=LAYOUTS)
def test_the_axes_of_an_array_have_one_meaning(recognizer, given, meant):
    expected = [answer.probs for answer in recognizer.predict(meant)]
    assert np.allclose([answer.probs for answer in recognizer.predict(given)], expected, atol=0.02)


def test_tensors_are_arrays(recognizer):
    torch = pytest.importorskip("torch")
    expected = [answer.label for answer in recognizer.predict(MANY)]
    tensor = torch.from_numpy(MANY.copy())
    unit = tensor[:, None].float() / 255
    for images in (tensor, unit, unit.bfloat16(), unit.clone().requires_grad_(), list(unit), [*tensor]):
        assert [answer.label for answer in recognizer.predict(images)] == expected
    assert decode(tensor[0]).tolist() == PEN.tolist()


@pytest.mark.parametrize("given", [[["a.png"], ["b.png"]], [1, 2, 3], [[[0, 0], [0]]], np.zeros((2, 5, 28, 28)), [[]]])
def test_lists_and_arrays_that_are_no_images_are_an_error(recognizer, given):
    with pytest.raises(PictureError):
        recognizer.predict(given)
