"""Files of others are read within bounds: an array, bytes, or one `DataError`, whatever the file."""

from __future__ import annotations

import bz2
import io
import os
import tempfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inkdigit.data.readers.bounded import load_npz, max_unpacked_bytes, unpack_bz2
from inkdigit.data.readers.folders import read_labels_csv
from inkdigit.data.readers.idx_npz import read_idx, read_npz
from inkdigit.data.readers.kaggle_csv import read_header, read_kaggle_csv, read_kaggle_test
from inkdigit.data.sources import open_data
from inkdigit.errors import DataError, MalformedFile, MissingData

from ..conftest import draw

MB = 10**6
PLAIN = st.sampled_from([np.uint8, np.int64, np.dtype(">i4"), np.float32, np.bool_, np.dtype("S3"), np.dtype("U2")])
Mutations = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=12)), min_size=1, max_size=6)


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


WHOLE = npz(X=draw(3), y=np.arange(3))
HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 28, 28), }"


def mutate(data: bytes, mutations: list[tuple[float, bytes]]) -> bytes:
    """Write other bytes over some places; no bytes cut the data off there."""
    changed = bytearray(data)
    for place, written in mutations:
        at = int(place * len(changed))
        changed[at : at + len(written) if written else None] = written
    return bytes(changed)


def zipped(content: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(header: bytes, data: bytes = b"", *, version: int = 1) -> bytes:
    return b"\x93NUMPY" + bytes((version, 0)) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data


@settings(max_examples=40, deadline=None)
@given(PLAIN.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0))), st.booleans(), st.booleans())
def test_arrays_come_back_as_they_were_saved(array, compressed, by_column):
    array = np.asfortranarray(array) if by_column else array
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        (np.savez_compressed if compressed else np.savez)(path, a=array, other=np.array([{}], object))
        (read,) = load_npz(path, "a")
    assert read.dtype == array.dtype
    assert read.tobytes() == array.tobytes()
    assert read.shape == array.shape


@settings(max_examples=100, deadline=None)
@given(Mutations)
def test_a_damaged_npz_is_a_data_set_or_one_error(mutations):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(mutate(WHOLE, mutations))
        with suppress(DataError):
            read_npz(path)


@settings(max_examples=100, deadline=None)
@given(Mutations, st.sampled_from([1, 2, 3, 4]))
def test_a_damaged_header_is_an_array_or_one_error(mutations, version):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        path.write_bytes(zipped({"X.npy": npy(mutate(HEADER, mutations), bytes(3 * 784), version=version)}))
        with suppress(MalformedFile):
            load_npz(path, "X")


HEADERS = {
    "brackets": b"{'shape': " + b"[" * 9000,
    "no end": b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 28",
    "digits": b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",)}",
    "negative": HEADER.replace(b"3,", b"-3,"),
    "more than there is": HEADER.replace(b"(3", b"(3000000000"),
    "less than there is": HEADER.replace(b"(3", b"(2"),
    "no such type": HEADER.replace(b"|u1", b"<i3"),
    "complex": HEADER.replace(b"|u1", b"<c8"),
    "structured": HEADER.replace(b"'|u1'", b"[('a', '|u1')]"),
    "an absurd type": HEADER.replace(b"|u1", b"<U999999999"),
    "too many axes": HEADER.replace(b"3, 28, 28", b"1, " * 100 + b"2352"),
    "nothing of very much": HEADER.replace(b"3, 28, 28", b"0, 9999999999, 9999999999"),
    "long": HEADER + b" " * 20_000,
    "code": b"{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (3, 28, 28)}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_not_of_a_plain_array(tmp_path, header):
    (tmp_path / "a.npz").write_bytes(zipped({"X.npy": npy(header, bytes(3 * 784))}))
    with pytest.raises(MalformedFile, match=r"a\.npz"):
        load_npz(tmp_path / "a.npz", "X")


@pytest.mark.parametrize("order", [("shape", "descr", "fortran_order"), ("fortran_order", "shape", "descr")])
def test_other_writers_order_the_header_as_they_like(tmp_path, order):
    fields = {"descr": "'<i2'", "fortran_order": "False", "shape": "(2L, 2)"}
    header = "{" + ",".join(f'"{name}":{fields[name]}' for name in order) + "}\n"
    (tmp_path / "a.npz").write_bytes(zipped({"X.npy": npy(header.encode(), bytes(range(8)), version=2)}))
    assert load_npz(tmp_path / "a.npz", "X")[0].tolist() == [[256, 770], [1284, 1798]]


def test_a_pickled_object_is_not_looked_into(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz(X=np.array([{}], object)))
    with pytest.raises(MalformedFile, match="pickled object"):
        load_npz(tmp_path / "a.npz", "X")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_does_not_write_is_an_error(tmp_path, how):
    (tmp_path / "a.npz").write_bytes(zipped({"X.npy": npy(HEADER, bytes(3 * 784))}, how))
    with pytest.raises(MalformedFile, match=r"X: It is compressed by a method.*np\.savez"):
        load_npz(tmp_path / "a.npz", "X")


def test_a_small_file_does_not_unpack_to_much(tmp_path):
    zeros = np.zeros((86_000, 784), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", X=zeros, y=np.arange(9), Z=zeros[:4_000])
    np.savez(tmp_path / "b.npz", X=zeros)
    assert load_npz(tmp_path / "a.npz", "Z")[0].shape == (4_000, 784)
    tracemalloc.start()
    with pytest.raises(MalformedFile, match=r"X: It unpacks to more than .*67,108,864 bytes.*np\.savez instead"):
        load_npz(tmp_path / "a.npz", "y", "X")
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()
    assert load_npz(tmp_path / "a.npz", "y")[0].tolist() == list(range(9))  # only what is asked for counts
    assert load_npz(tmp_path / "b.npz", "X")[0].shape == zeros.shape  # unpacked it is as large as it is
    assert max_unpacked_bytes(10 * MB) == 640 * MB


def test_a_size_that_lies_costs_nothing(tmp_path):
    data = bytearray(zipped({"X.npy": npy(HEADER, bytes(3 * 784))}, zipfile.ZIP_STORED))
    at = data.rfind(b"PK\x01\x02")
    data[at + 20 : at + 28] = (2**32 - 2).to_bytes(4, "little") * 2  # both sizes
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(MalformedFile, match="unpacks to more"):
        load_npz(tmp_path / "a.npz", "X")


def test_tiny_images_are_not_taken_by_the_million(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((2_000, 1, 1), np.uint8), y=np.zeros(2_000, np.int64))
    assert len(read_npz(tmp_path / "a.npz").train) == 2_000
    np.savez(tmp_path / "a.npz", X=np.zeros((99_999, 1, 1), np.uint8), y=np.zeros(99_999, np.uint8))
    with pytest.raises(MalformedFile, match=r"more images.*Received: 99,999"):
        read_npz(tmp_path / "a.npz")


def test_bzip2_is_unpacked_up_to_its_bound(tmp_path):
    path = tmp_path / "a.bz2"
    path.write_bytes(bz2.compress(b"one") + bz2.compress(b" two"))
    assert unpack_bz2(path) == b"one two"
    path.write_bytes(100 * bz2.compress(bytes(MB)))
    tracemalloc.start()
    with pytest.raises(MalformedFile, match="unpacks to more than"):
        unpack_bz2(path)
    assert tracemalloc.get_traced_memory()[1] < 80 * MB
    tracemalloc.stop()


@settings(max_examples=40, deadline=None)
@given(Mutations)
def test_damaged_bzip2_is_bytes_or_one_error(mutations):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bz2"
        path.write_bytes(mutate(bz2.compress(b"some text" * 100), mutations))
        with suppress(MalformedFile):
            unpack_bz2(path)


READERS = [read_idx, read_npz, read_header, read_kaggle_csv, read_kaggle_test, read_labels_csv, unpack_bz2, open_data]


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are files on POSIX systems alone")
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.db", "a"])
def test_a_pipe_or_a_device_is_not_read(tmp_path, read, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    for read in READERS:
        with pytest.raises(MissingData):
            read(tmp_path / "absent.csv")
