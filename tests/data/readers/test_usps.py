"""USPS as it is published: rows of text in bzip2, and one clear error for each kind of broken file."""

from __future__ import annotations

import bz2

import pytest

from inkdigit.data.sources import has, open_data
from inkdigit.errors import MalformedFile


def usps_row(label: int, value: float) -> str:
    return f"{label} " + " ".join(f"{i}:{value}" for i in range(1, 257))


def test_usps_is_read_from_its_public_files(nowhere):
    folder = nowhere / "data" / "usps"
    folder.mkdir(parents=True)
    rows = [usps_row(10, -1), usps_row(1, 1), "3 1:-1 2:0.5"]
    (folder / "usps.bz2").write_bytes(bz2.compress("\n".join(rows).encode()))
    (folder / "usps.t.bz2").write_bytes(bz2.compress(usps_row(4, 0).encode()))
    data = open_data("usps", prepare="plain")
    assert data.train.labels.tolist() == [9, 0, 2]
    assert data.test.labels.tolist() == [3]
    raw = dict(data.glimpses)
    assert (raw[9].max(), raw[0].min()) == (0, 255)
    assert raw[2][0, :3].tolist() == [0, 191, 128]
    assert not has("mnist")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no bzip2", "damaged"),
        (bz2.compress(b"1 1:0\n" * 9)[:-5], "damaged"),
        (bz2.compress(b""), "no images"),
        (bz2.compress(b"1 1:0\n11 1:0"), "row 2"),
        (bz2.compress(b"1 1:0\n1 1:7"), "row 2"),
        (bz2.compress(b"1 257:0"), "row 1"),
        (bz2.compress(b"text"), "row 1"),
    ],
)
def test_broken_usps_files(nowhere, data, message):
    folder = nowhere / "data" / "usps"
    folder.mkdir(parents=True)
    (folder / "usps.bz2").write_bytes(data)
    with pytest.raises(MalformedFile, match=rf"usps\.bz2.*{message}"):
        open_data("usps")
