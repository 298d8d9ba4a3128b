"""A data set of arrays holds the images that a file of the same arrays gives, or it is one error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkdigit.data.readers.arrays import open_arrays
from inkdigit.data.sources import as_dataset, open_data
from inkdigit.errors import PictureError, UsageError
from inkdigit.measure.metrics import evaluate
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare, prepare_all
from inkdigit.types import DIGITS, Dataset, Gray, Part

from ...conftest import drawn, template

PREPARED = np.stack([template(i) for i in range(12)])
LABELS = np.arange(12, dtype=np.int64) % 10
CORNER = np.stack([np.roll(image, (-6, 5), axis=(0, 1)) for image in PREPARED])
RAW: dict[str, Any] = {
    "prepared": PREPARED,
    "black on white": 255 - PREPARED,
    "32 pixels": np.pad(PREPARED, ((0, 0), (4, 0), (0, 4))),
    "floats to 1": (255 - PREPARED) / 255,
    "floats to 255": PREPARED.astype(np.float32),
    "whole numbers": PREPARED.astype(np.int32),
    "in colour": np.repeat(PREPARED[..., None], 3, axis=3),
    "large": np.stack([drawn(i % 10, seed=i) for i in range(12)]),
    "of several sizes": [drawn(i % 10, seed=i, size_px=60 + 5 * i) for i in range(12)],
    "pictures": [Image.fromarray(255 - image) for image in PREPARED],
}


def part(images: Gray = PREPARED, labels: np.ndarray = LABELS, **more: Any) -> Part:
    return Part(images, labels, **more)


@pytest.mark.parametrize("images", RAW.values(), ids=RAW)
def test_arrays_are_prepared_as_files_are(images: Any, tiny: Recognizer, tmp_path: Path) -> None:
    dataset = open_arrays(images, LABELS)
    assert (dataset.classes, dataset.name, dataset.prepare, dataset.test) == (DIGITS, "arrays", "ink", None)
    assert np.array_equal(prepare_all(dataset.train.images), dataset.train.images)
    read = [answer.probs for answer in tiny.predict(images)]
    assert np.array_equal(read, [answer.probs for answer in tiny.predict(dataset.train.images)])
    glimpses = dataset.glimpses
    assert [label for label, _ in glimpses] == sorted(LABELS.tolist())
    if isinstance(images, np.ndarray) and images.dtype == np.uint8:
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "one.png")
            assert np.array_equal(dataset.train.images[i], prepare(decode(tmp_path / "one.png")))


@pytest.mark.parametrize("name", ["prepared", "black on white"])
def test_a_given_data_set_is_prepared_where_it_is_used(name: str, log: Callable[[str], None], lines: list[str]) -> None:
    raw = Dataset("mine", DIGITS, part(RAW[name]), part(CORNER))
    opened = as_dataset(raw, log=log)
    assert np.array_equal(opened.train.images, PREPARED)
    assert opened.test is not None
    assert np.array_equal(opened.test.images, prepare_all(CORNER))
    assert lines == ["The images of mine were not prepared. They are now, like those of a file."]
    assert as_dataset(opened, log=log) is opened
    assert len(lines) == 1
    closed = as_dataset(raw, test=False)
    assert np.array_equal(closed.train.images, PREPARED)
    assert closed.test is raw.test
    plain = replace(raw, prepare="plain")
    assert as_dataset(plain) is plain


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 20, 28, 33]), st.sampled_from(["ink", "plain"]), st.booleans())
def test_whatever_is_in_the_images_a_file_gives_the_same(seed: int, side: int, kind: str, inked: bool) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, side, side), dtype=np.uint8)
    if inked:  # a digit somewhere, bright or dim, on black or on paper
        y, x = rng.integers(-3, 4, 2)
        ink = np.roll(PREPARED[rng.integers(0, 12, 3)], (y, x), axis=(1, 2)) * rng.uniform(0.2, 1.0)
        images[:] = rng.choice([0, 0, 30])
        common = min(side, 28)
        images[:, :common, :common] = np.maximum(images[:, :common, :common], ink[:, :common, :common])
    labels = [0, 1, 2]
    expected = np.stack([prepare(image, kind) for image in images])
    assert np.array_equal(open_arrays(images, labels, prepare=kind).train.images, expected)
    if side == 28:
        made = Dataset("mine", DIGITS, Part(images, np.array(labels, np.int64)), prepare=kind)
        assert np.array_equal(as_dataset(made).train.images, expected)


def test_an_npz_of_the_same_arrays_is_the_same_data_set(tmp_path: Path) -> None:
    for name in ("black on white", "32 pixels", "large"):
        np.savez(tmp_path / "arrays.npz", X=RAW[name], y=LABELS)
        read, made = open_data(tmp_path / "arrays.npz"), open_arrays(RAW[name], LABELS)
        assert (read.sha256, read.classes, read.name) == (made.sha256, made.classes, made.name)
        assert len(read.glimpses) == len(made.glimpses)
        for (label, gray), (other, same) in zip(read.glimpses, made.glimpses, strict=True):
            assert label == other
            assert np.array_equal(gray, same)


@pytest.mark.parametrize(
    ("labels", "classes", "names", "indices"),
    [
        ([3, 1, 3], None, DIGITS, [3, 1, 3]),
        ([12, 10, 12], None, ("10", "12"), [1, 0, 1]),
        (["b", "a", "b"], None, ("a", "b"), [1, 0, 1]),
        (np.array(["b", "a", "b"], object), ("b", "a", "c"), ("b", "a", "c"), [0, 1, 0]),
        ([2, 0, 1], ["x", "y", "z"], ("x", "y", "z"), [2, 0, 1]),
        (np.array([2, 0, 1], np.uint8), range(3), ("0", "1", "2"), [2, 0, 1]),
    ],
)
def test_labels_are_numbers_or_names(labels: Any, classes: Any, names: tuple[str, ...], indices: list[int]) -> None:
    dataset = open_arrays(PREPARED[:3], labels, classes=classes)
    assert (dataset.classes, dataset.train.labels.tolist()) == (names, indices)


def test_a_test_part_has_the_same_classes() -> None:
    dataset = open_arrays(PREPARED[:2], ["a", "b"], test=(PREPARED[2:5], ["b", "c", "c"]), name="mine")
    assert dataset.test is not None
    assert (dataset.name, dataset.classes) == ("mine", ("a", "b", "c"))
    assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == ([0, 1], [1, 2, 2])


@pytest.mark.parametrize(
    ("words", "images", "labels", "more"),
    [
        ("12 labels for 12 images", PREPARED, [1, 2], {}),
        ("Not one label", PREPARED[:0], [], {}),
        ("whole numbers or names", PREPARED, LABELS / 2, {}),
        ("whole numbers or names", PREPARED, LABELS > 3, {}),
        ("whole numbers or names", PREPARED, LABELS[:, None], {}),
        ("unequal length", PREPARED[:2], [[1], [1, 2]], {}),
        ("outside the classes", PREPARED, LABELS, {"classes": ("a", "b")}),
        ("outside the classes", PREPARED[:2], ["a", "q"], {"classes": ("a", "b")}),
        ("not names of classes", PREPARED, LABELS, {"classes": 10}),
        ("two classes with the same name", PREPARED, LABELS % 2, {"classes": ("a", "a")}),
        ("Unknown kind of preprocessing", PREPARED, LABELS, {"prepare": "nothing"}),
        (r"\(images, labels\)", PREPARED, LABELS, {"test": PREPARED}),
    ],
)
def test_what_is_not_a_data_set_is_one_error(words: str, images: Any, labels: Any, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=words):
        open_arrays(images, labels, **more)


def test_images_laid_flat_or_out_of_range_are_one_error() -> None:
    with pytest.raises(PictureError, match=r"reshape\(-1, 28, 28\)"):
        open_arrays(PREPARED.reshape(12, 784), LABELS)
    with pytest.raises(PictureError, match="out of range"):
        open_arrays(PREPARED * 300.0, LABELS)


WAY_OUT = "inkdigit.open_arrays"


@pytest.mark.parametrize(
    ("words", "make"),
    [
        (WAY_OUT, lambda: part(RAW["32 pixels"])),
        (WAY_OUT, lambda: part(RAW["floats to 1"])),
        (WAY_OUT, lambda: part(PREPARED.tolist())),
        (WAY_OUT, lambda: part(np.ma.masked_equal(PREPARED, 0))),
        (WAY_OUT, lambda: part(labels=LABELS.astype(np.int32))),
        (WAY_OUT, lambda: part(labels=LABELS.tolist())),
        (WAY_OUT, lambda: part(labels=LABELS[:5])),
        ("files", lambda: part(files=("a.png",))),
        ("writers", lambda: part(writers=[1] * 12)),
        ("faults", lambda: part(faults={12: "cut short"})),
        (WAY_OUT, lambda: Dataset("mine", DIGITS, PREPARED)),
        (WAY_OUT, lambda: Dataset("mine", DIGITS, None)),
        ("outside its classes", lambda: Dataset("mine", DIGITS[:9], part())),
        ("a tuple of texts", lambda: Dataset("mine", tuple(range(10)), part())),
        ("a tuple of texts", lambda: Dataset("mine", list(DIGITS), part())),
        ("same name", lambda: Dataset("mine", (*DIGITS, "1"), part())),
        ("not a line of text", lambda: Dataset("mine", (*DIGITS, "\ud800"), part())),
        (WAY_OUT, lambda: as_dataset(PREPARED)),
        ("Unknown kind", lambda: as_dataset(Dataset("mine", DIGITS, part(), prepare="nothing"))),
    ],
)
def test_a_given_data_set_is_checked_and_the_next_step_is_named(words: str, make: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=words):
        make()


COLUMNS = st.one_of(
    st.none(),
    st.integers(-1, 3),
    st.text(max_size=2),
    st.lists(st.integers(-1, 12) | st.text(max_size=1) | st.none(), max_size=3),
    st.builds(
        lambda shape, dtype: np.ones(shape).astype(dtype),
        st.lists(st.sampled_from([0, 1, 2, 3, 28]), max_size=4),
        st.sampled_from(["u1", "i8", "f4", "?", "O", "U1", "c8", "M8[s]", "i1,i1"]),
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    COLUMNS | st.sampled_from(list(RAW.values())),
    COLUMNS | st.just(LABELS),
    COLUMNS | st.sampled_from([None, DIGITS, tuple("abcdefghij")]),
    st.sampled_from(["ink", "plain", "x", 3]),
)
def test_whatever_is_handed_over_is_a_data_set_or_one_error(images: Any, labels: Any, classes: Any, kind: Any) -> None:
    makers: list[Callable[[], Dataset]] = [
        lambda: open_arrays(images, labels, classes=classes, prepare=kind),
        lambda: as_dataset(Dataset("mine", classes, Part(images, labels), prepare=kind)),
    ]
    for make in makers:
        with suppress(UsageError, PictureError):
            dataset = make()
            assert np.array_equal(prepare_all(dataset.train.images, kind), dataset.train.images)


def test_arrays_are_data_wherever_data_are_asked_for(tiny: Recognizer) -> None:
    made = open_arrays(RAW["black on white"], LABELS, test=(CORNER, LABELS))
    opened = as_dataset((RAW["black on white"], LABELS))
    assert (opened.sha256, opened.test) == (made.sha256, None)
    both = as_dataset(((RAW["black on white"], LABELS), (CORNER, LABELS)))  # what `load_data` of Keras returns
    assert both.test is not None
    assert made.test is not None
    assert np.array_equal(both.test.images, made.test.images)
    assert as_dataset((PREPARED[:2], (0, 1))).test is None  # two labels are not a split
    assert as_dataset((CORNER, LABELS), prepare="plain").prepare == "plain"
    for data in ((CORNER, LABELS), made, Dataset("mine", DIGITS, part(RAW["black on white"]))):
        assert evaluate(tiny, data).accuracy > 0.8  # of raw images most would be wrong
    for wrong in (
        (PREPARED, LABELS[:3]),
        (PREPARED,),
        (PREPARED, LABELS, LABELS),
        (PREPARED, (CORNER, LABELS)),
        [1, 2],
    ):
        with pytest.raises(UsageError, match="Expected"):
            evaluate(tiny, wrong)  # type: ignore[arg-type]
