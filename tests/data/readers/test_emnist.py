"""EMNIST: images stored with rows and columns exchanged, letters counted from 1, one archive for both sets."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from inkdigit.data.mirrors import PUBLISHED, PublishedFile, PublishedSet, fetch
from inkdigit.data.readers.emnist import read_emnist
from inkdigit.data.sources import find, has, open_data
from inkdigit.errors import ChecksumMismatch, MalformedFile, MissingData
from inkdigit.types import DIGITS

from .. import test_mirrors
from ..conftest import draw, write_idx_part

LETTERS = np.array([1, 26, 3])


def put(folder: Path, *, letters: np.ndarray = LETTERS, suffix: str = ".gz") -> Path:
    """Both sets as published: images transposed, letters from 1."""
    for part, seed in (("train", 0), ("test", 1)):
        images = draw(3, seed=seed).transpose(0, 2, 1)
        write_idx_part(folder, f"emnist-letters-{part}-", images, letters, suffix=suffix)
        write_idx_part(folder, f"emnist-digits-{part}-", images, np.array([9, 0, 5]), suffix=suffix)
    return folder


def test_images_stand_upright_and_letters_are_named(nowhere):
    put(nowhere / "data" / "emnist")
    letters, digits = open_data("emnist-letters", prepare="plain"), open_data("emnist-digits", prepare="plain")
    assert np.array_equal(letters.train.images, draw(3))
    assert np.array_equal(letters.test.images, draw(3, seed=1))
    assert [letters.classes[k] for k in letters.train.labels] == ["A", "Z", "C"]
    assert (len(letters.classes), letters.name) == (26, "emnist-letters")
    assert [digits.classes[k] for k in digits.train.labels] == ["9", "0", "5"]
    assert digits.classes == DIGITS
    assert open_data("emnist-letters").prepare == "ink"


@pytest.mark.parametrize(
    ("name", "labels", "read"),
    [
        ("emnist-balanced", [0, 10, 46], "0At"),
        ("emnist-bymerge", [9, 35, 36], "9Za"),
        ("emnist-byclass", [9, 35, 61], "9Zz"),
    ],
)
def test_digits_and_letters_together(nowhere, name, labels, read):
    for part in ("train", "test"):
        write_idx_part(nowhere / "data" / "emnist", f"{name}-{part}-", draw(3).transpose(0, 2, 1), np.array(labels))
    data = open_data(name, prepare="plain")
    assert np.array_equal(data.train.images, draw(3))
    assert [data.classes[k] for k in data.train.labels] == list(read)
    (archive,) = PUBLISHED[name].files
    assert len(archive.members) == 4
    assert PUBLISHED[name].folder == "emnist"


@pytest.mark.parametrize("place", ["data/emnist", "data", "../shared/data/emnist"])
def test_files_that_name_their_set_are_found_in_any_folder(nowhere, place):
    put(nowhere / place, suffix="")
    for name in ("emnist-digits", "emnist-letters"):
        assert find(name).resolve() == (nowhere / place).resolve()
    assert not has("mnist")


def test_one_set_of_the_two_may_be_there_alone(nowhere):
    put(nowhere / "data" / "emnist")
    for path in (nowhere / "data" / "emnist").glob("*digits*"):
        path.unlink()
    assert has("emnist-letters")
    assert not has("emnist-digits")


@pytest.mark.parametrize(
    ("label", "message"), [(0, "Expected: 1–26. Received: 0"), (27, "Expected: 1–26. Received: 27")]
)
def test_a_label_that_is_not_a_letter(tmp_path, label, message):
    put(tmp_path, letters=np.array([1, label, 3]))
    with pytest.raises(MalformedFile, match=rf"train-labels-idx1-ubyte\.gz, label 2 .*{message}") as caught:
        read_emnist(tmp_path, name="emnist-letters")
    assert caught.value.exit_code == 4


def test_images_without_labels(tmp_path):
    put(tmp_path)
    (tmp_path / "emnist-digits-test-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingData, match="has no labels beside it"):
        read_emnist(tmp_path, name="emnist-digits")


@pytest.fixture
def archive(tmp_path, monkeypatch) -> bytes:
    """A small archive in the published form, which the published checksum is changed to."""
    put(tmp_path / "files")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for path in (tmp_path / "files").iterdir():
            packed.write(path, f"gzip/{path.name}")
        packed.writestr("gzip/emnist-byclass-train-images-idx3-ubyte.gz", gzip.compress(b"another set of the archive"))
    publish(monkeypatch, buffer.getvalue())
    return buffer.getvalue()


def publish(monkeypatch: pytest.MonkeyPatch, served: bytes) -> None:
    """Serve these bytes as the archive, and let them be the published ones."""
    known = PUBLISHED["emnist-letters"].files[0]
    file = PublishedFile("gzip.zip", f"sha256:{hashlib.sha256(served).hexdigest()}", members=known.members)
    for name in ("emnist-digits", "emnist-letters"):
        monkeypatch.setitem(PUBLISHED, name, PublishedSet((file,), (), folder="emnist"))
    for bodies in (test_mirrors.RAW, test_mirrors.SERVED):
        monkeypatch.setitem(bodies, "gzip.zip", served)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.usefixtures("nowhere", "archive")
def test_one_download_brings_both_sets_and_leaves_no_archive(tmp_path, lines, log):
    with test_mirrors.mirror("good") as (url, requested):
        for name in ("emnist-letters", "emnist-digits"):
            assert fetch(name, mirrors=[url], log=log) == tmp_path / "cache" / "emnist"
    assert requested == ["gzip.zip"]
    assert lines == [f"Fetching {url}gzip.zip"]
    stored = sorted(path.name for path in (tmp_path / "cache" / "emnist").iterdir())
    assert stored == sorted(PUBLISHED["emnist-digits"].files[0].stored_names)
    assert len(stored) == 8
    assert np.array_equal(open_data("emnist-letters", prepare="plain", log=log).train.images, draw(3))
    assert len(lines) == 1  # it is there


@pytest.mark.usefixtures("nowhere", "archive")
@pytest.mark.parametrize("behaviour", ["wrong", "truncated", "absent"])
def test_an_archive_that_is_not_the_published_one_leaves_nothing(tmp_path, behaviour, log):
    with test_mirrors.mirror(behaviour) as (url, _), pytest.raises((ChecksumMismatch, MissingData)) as caught:
        fetch("emnist-letters", mirrors=[url], timeouts_s=(0.5, 0.5), log=log)
    assert caught.value.exit_code == 4
    assert "gzip.zip" in str(caught.value)
    assert list((tmp_path / "cache" / "emnist").iterdir()) == []


@pytest.mark.usefixtures("nowhere")
def test_without_a_mirror_the_error_names_the_files_that_count(tmp_path, log):
    with pytest.raises(MissingData, match=r"emnist-letters-train-images-idx3-ubyte\.gz") as caught:
        fetch("emnist-letters", mirrors=[], log=log)
    assert str(tmp_path / "cache" / "emnist") in str(caught.value)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("served", [b"no ZIP at all", None])
def test_an_archive_without_its_files(tmp_path, monkeypatch, log, served):
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    publish(monkeypatch, served or empty.getvalue())
    with test_mirrors.mirror("good") as (url, _), pytest.raises(ChecksumMismatch, match="not the published archive"):
        fetch("emnist-digits", mirrors=[url], log=log)
    assert list((tmp_path / "cache" / "emnist").iterdir()) == []
