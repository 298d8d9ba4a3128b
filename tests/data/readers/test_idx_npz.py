"""IDX and `.npz`: round trips, and one clear error for each kind of broken file."""

from __future__ import annotations

import gzip
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inkdigit.data.readers.idx_npz import find_idx, read_idx, read_idx_folder, read_npz
from inkdigit.errors import DataError, MalformedFile, MissingData, UsageError

from ..conftest import draw, write_idx, write_idx_part

LABELS = np.arange(6) % 3


def header(*shape: int, magic: bytes | None = None) -> bytes:
    return (magic or bytes((0, 0, 8, len(shape)))) + b"".join(size.to_bytes(4, "big") for size in shape)


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=1) | array_shapes(min_dims=3, max_dims=3)), st.booleans())
def test_idx_comes_back_as_it_was_written(array, gzipped):
    with tempfile.TemporaryDirectory() as folder:
        path = write_idx(Path(folder) / ("x.gz" if gzipped else "x"), array)
        assert np.array_equal(read_idx(path), array)


def test_idx_is_read_without_a_copy(tmp_path):
    array = read_idx(write_idx(tmp_path / "x", draw(3)))
    assert array.base is not None
    assert not array.flags.writeable


def test_a_name_that_lies_about_gzip_does_not_matter(tmp_path):
    plain = write_idx(tmp_path / "x", draw(2)).rename(tmp_path / "y.gz")
    packed = write_idx(tmp_path / "x.gz", draw(2)).rename(tmp_path / "y")
    assert np.array_equal(read_idx(plain), read_idx(packed))


GOOD = header(2, 28, 28) + bytes(2 * 784)
BROKEN = {
    "empty": ("x", b"", "empty"),
    "three bytes": ("x", b"\0\0\x08", "byte 0"),
    "wrong magic": ("x", header(2, 28, 28, magic=b"\0\0\x0b\3") + bytes(99), "byte 0"),
    "text": ("x", b"label,pixel0\n5,0\n", "byte 0"),
    "two dimensions": ("x", header(2, 28) + bytes(56), "byte 0"),
    "cut header": ("x", header(2, 28, 28)[:12], "byte 12"),
    "truncated": ("x", GOOD[:-1], "bytes 4–15"),
    "one byte too many": ("x", GOOD + b"\0", "bytes 4–15"),
    "a count of 2^31": ("x", header(2**31, 28, 28) + bytes(784), "bytes 4–15"),
    "2^31 labels in gzip": ("x.gz", gzip.compress(header(2**31) + bytes(9)), "bytes 4–7"),
    "all counts absurd": ("x.gz", gzip.compress(header(2**32 - 1, 2**32 - 1, 2**32 - 1)), "bytes 4–15"),
    "gzip that is none": ("x.gz", b"no gzip at all", "its bytes are not gzip data"),
    "truncated gzip": ("x.gz", gzip.compress(GOOD)[:-12], "gzip"),
    "damaged gzip": ("x.gz", gzip.compress(GOOD)[:-8] + bytes(8), "gzip"),
    "gzip of nothing": ("x.gz", gzip.compress(b""), "empty"),
    "gzip header alone": ("x.gz", b"\x1f\x8b", "gzip"),
}


@pytest.mark.parametrize(("name", "data", "where"), BROKEN.values(), ids=BROKEN)
def test_a_broken_idx_file_is_one_clear_error(tmp_path, name, data, where):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match=name) as caught:
        read_idx(path)
    assert caught.value.exit_code == 4
    assert where.lower() in str(caught.value).lower()


@pytest.mark.parametrize("path", ["absent", "."])
def test_a_file_that_is_not_there_or_a_folder_is_missing_data(tmp_path, path):
    with pytest.raises(MissingData, match="Cannot read"):
        read_idx(tmp_path / path)


def test_a_small_gzip_does_not_unpack_to_much(tmp_path):
    zeros = np.zeros((2_000, 28, 28), np.uint8)
    packed_path = write_idx(tmp_path / "x.gz", zeros)
    assert read_idx(packed_path).shape == zeros.shape
    packed_path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 90_000, 28, 28)))
    with pytest.raises(MalformedFile, match=r"bytes 4–15: It unpacks to more than.*70,560,000 bytes.*gunzip x\.gz"):
        read_idx(packed_path)
    assert read_idx(write_idx(tmp_path / "x", zeros)).shape == zeros.shape


def test_tiny_images_are_not_taken_by_the_million(tmp_path):
    write_idx_part(tmp_path, "", np.zeros((3_000, 1, 1), np.uint8), np.zeros(3_000), suffix="")
    assert len(read_idx_folder(tmp_path).train) == 3_000
    write_idx_part(tmp_path, "", np.zeros((90_000, 1, 1), np.uint8), np.zeros(90_000), suffix="")
    with pytest.raises(MalformedFile, match=r"images-idx3-ubyte: There are more images.*Received: 90,000"):
        read_idx_folder(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1), st.booleans())
def test_a_damaged_idx_file_is_an_array_or_one_error(mutations, gzipped):
    data = bytearray(gzip.compress(GOOD, mtime=0) if gzipped else GOOD)
    for place, written in mutations:
        at = int(place * min(len(data), 40))
        data[at : at + len(written) if written else None] = written
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").write_bytes(data)
        with suppress(MalformedFile):
            read_idx(Path(folder) / "x")


def test_a_folder_of_both_parts(tmp_path):
    write_idx_part(tmp_path, "train-", draw(6), LABELS)
    write_idx_part(tmp_path, "t10k-", draw(3, seed=1), LABELS[:3], suffix="")
    np.savez(tmp_path / "train-writers.npz", writer=np.arange(6))
    data = read_idx_folder(tmp_path)
    assert (len(data.train), len(data.test)) == (6, 3)
    assert data.name == tmp_path.name
    assert data.classes == tuple("0123456789")
    assert data.train.writers.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test.writers is None
    assert [k for k, _ in data.glimpses] == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(data.glimpses[0][1], draw(6)[0])


@pytest.mark.parametrize("prefix", ["train-", "t10k-", "test-", ""])
def test_a_folder_with_one_part_is_one_part(tmp_path, prefix):
    write_idx_part(tmp_path, prefix, draw(6, side=16), LABELS)
    data = read_idx_folder(tmp_path)
    assert len(data.train) == 6
    assert data.train.images.shape == (6, 28, 28)
    assert data.test is None


def test_names_with_a_dot_are_idx_too(tmp_path):
    write_idx(tmp_path / "train-images.idx3-ubyte", draw(2))
    write_idx(tmp_path / "train-labels.idx1-ubyte", LABELS[:2])
    assert set(find_idx(tmp_path)) == {"train"}
    assert len(read_idx_folder(tmp_path).train) == 2


@pytest.mark.parametrize(("present", "lacking"), [("images-idx3-ubyte", "labels"), ("labels-idx1-ubyte", "images")])
def test_images_need_labels_and_labels_images(tmp_path, present, lacking):
    write_idx(tmp_path / f"train-{present}", draw(2) if lacking == "labels" else LABELS)
    with pytest.raises(MissingData, match=f"{present} has no {lacking}"):
        read_idx_folder(tmp_path)


PAIRS = {
    "fewer labels": (draw(6), LABELS[:5], "Expected: 6. Received: 5"),
    "no images": (draw(0), LABELS[:0], "no images"),
    "images without pixels": (np.zeros((6, 0, 28), np.uint8), LABELS, "no images"),
    "labels as images": (LABELS, LABELS, "These are labels"),
    "images as labels": (draw(6), draw(6), "These are images"),
    "a label above 9": (
        draw(6),
        np.array([0, 1, 2, 17, 11, 0]),
        r"label 4 \(byte 11\).*0–9. Received: 17.*classes.txt",
    ),
}


@pytest.mark.parametrize(("images", "labels", "message"), PAIRS.values(), ids=PAIRS)
def test_images_and_labels_that_do_not_go_together(tmp_path, images, labels, message):
    write_idx_part(tmp_path, "train-", images, labels)
    with pytest.raises(MalformedFile, match=message) as caught:
        read_idx_folder(tmp_path)
    assert "train-" in str(caught.value)


def test_classes_txt_names_more_classes(tmp_path):
    write_idx_part(tmp_path, "", draw(3), np.array([0, 10, 11]))
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghijkl") + "\n\n", encoding="utf-8")
    data = read_idx_folder(tmp_path)
    assert data.classes == tuple("abcdefghijkl")
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghijk"), encoding="utf-8")
    with pytest.raises(MalformedFile, match=r"0–10. Received: 11"):
        read_idx_folder(tmp_path)


@pytest.mark.parametrize("writer", [np.arange(5), np.arange(6) / 2])
def test_writers_must_be_one_number_an_image(tmp_path, writer):
    write_idx_part(tmp_path, "train-", draw(6), LABELS)
    np.savez(tmp_path / "train-writers.npz", writer=writer)
    with pytest.raises(MalformedFile, match=r"train-writers\.npz, writer"):
        read_idx_folder(tmp_path)


def test_npz_takes_images_of_any_size(tmp_path):
    np.savez(tmp_path / "some.npz", X=draw(6, side=40), y=LABELS)
    data = read_npz(tmp_path / "some.npz")
    assert data.train.images.shape == (6, 28, 28)
    assert (data.name, data.classes, data.test) == ("some", tuple("0123456789"), None)
    assert data.glimpses[0][1].shape == (40, 40)


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([b"b", b"a", b"b"], ("a", "b"), [1, 0, 1]),
        ([11, 3, 20], ("3", "11", "20"), [1, 0, 2]),
        (["10", "9", "10"], ("9", "10"), [1, 0, 1]),
    ],
)
def test_npz_labels_may_be_names(tmp_path, y, classes, labels):
    np.savez(tmp_path / "some.npz", X=draw(3), y=np.array(y))
    data = read_npz(tmp_path / "some.npz")
    assert data.classes == classes
    assert data.train.labels.tolist() == labels


@pytest.mark.parametrize("name", ["9" * 5000, "\ud800"])
def test_a_label_that_cannot_be_a_name(tmp_path, name):
    codes = np.array([[ord(letter)] * 2 for letter in name], "<u4").T  # NumPy itself writes no half of a character
    np.savez(tmp_path / "a.npz", X=draw(2), y=np.ascontiguousarray(codes).view(f"<U{len(name)}").ravel())
    with pytest.raises(MalformedFile, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_as_many_classes_as_images_are_an_error_soon(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((30_000, 2, 2), np.uint8), y=np.arange(30_000))
    begin = time.process_time()
    with pytest.raises(UsageError, match="2 to 256 classes"):
        read_npz(tmp_path / "a.npz")
    assert time.process_time() - begin < 2


def test_npz_follows_classes_txt(tmp_path):
    (tmp_path / "classes.txt").write_text("yes\nno\n", encoding="utf-8")
    np.savez(tmp_path / "a.npz", X=draw(2), y=np.array(["no", "yes"]))
    assert read_npz(tmp_path / "a.npz").train.labels.tolist() == [1, 0]
    np.savez(tmp_path / "b.npz", X=draw(2), y=np.array(["no", "maybe"]))
    with pytest.raises(MalformedFile, match=r"b.npz, label 2.*'maybe'"):
        read_npz(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", X=draw(2), y=np.array([0, 2]))
    with pytest.raises(MalformedFile, match=r"c.npz, y\[1\].*0–1. Received: 2"):
        read_npz(tmp_path / "c.npz")


NPZ = {
    "no y": ({"X": draw(2)}, "No array 'y'"),
    "float images": ({"X": draw(2) / 255, "y": [0, 1]}, "X: There are no gray images.*uint8"),
    "flat images": ({"X": draw(2).reshape(2, -1), "y": [0, 1]}, r"X: There are no gray images.*\(2, 784\)"),
    "no images": ({"X": draw(0), "y": []}, "X: There are no gray images"),
    "short y": ({"X": draw(2), "y": [0]}, "y: Not one label"),
    "float y": ({"X": draw(2), "y": [0.0, 1.0]}, "y: Not one label"),
    "pickle": ({"X": draw(2), "y": np.array([{}, {}], object)}, "pickled object"),
}


@pytest.mark.parametrize(("content", "message"), NPZ.values(), ids=NPZ)
def test_a_wrong_npz_is_one_clear_error(tmp_path, content, message):
    np.savez(tmp_path / "bad.npz", **{key: np.asarray(value) for key, value in content.items()})
    with pytest.raises(MalformedFile, match=rf"bad\.npz.*{message}"):
        read_npz(tmp_path / "bad.npz")


def test_a_broken_npz_is_one_clear_error(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, X=draw(9), y=np.arange(9))
    complete = path.read_bytes()
    np.save(tmp_path / "single.npy", draw(2))
    for data in (b"", b"text", complete[:200], complete[:-30], (tmp_path / "single.npy").read_bytes()):
        path.write_bytes(data)
        with pytest.raises(MalformedFile, match=r"bad\.npz"):
            read_npz(path)
    with pytest.raises(DataError):
        read_npz(tmp_path)


def test_the_real_mnist_comes_back(mnist):
    data = read_idx_folder(mnist)
    raw = [read_idx(mnist / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    assert (data.train.images != raw[0]).any((1, 2)).sum() <= 2  # those that `prepare` changes
    assert np.array_equal(data.test.images, raw[1])
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
