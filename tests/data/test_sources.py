"""Names and paths: where a set is searched, which reader a path gets, and the error for an unknown name."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from inkdigit.data import mirrors
from inkdigit.data.mirrors import PUBLISHED, PublishedFile, PublishedSet
from inkdigit.data.sources import NAMES, find, has, open_data
from inkdigit.errors import MalformedFile, MissingData, MissingExtra, UsageError
from inkdigit.types import DIGITS

from . import test_mirrors
from .conftest import draw, kaggle_rows, write_idx_part, write_picture, write_rows

LABELS = np.arange(4)


def put(folder: Path) -> Path:
    """Both parts of a tiny set."""
    write_idx_part(folder, "train-", draw(4), LABELS)
    write_idx_part(folder, "t10k-", draw(2, seed=1), LABELS[:2])
    return folder


@pytest.mark.parametrize("place", ["data/mnist", "data", "../data/mnist", "shared/data/mnist", "../shared/data"])
def test_a_set_is_found_near_the_current_folder(nowhere, place):
    put(nowhere / place)
    assert find("mnist").resolve() == (nowhere / place).resolve()
    data = open_data("mnist")
    assert (data.name, len(data.train), len(data.test)) == ("mnist", 4, 2)


@pytest.mark.parametrize("place", ["mnist", "."])
def test_inkdigit_data_comes_first(nowhere, tmp_path, monkeypatch, place):
    put(nowhere / "data" / "mnist")
    put(tmp_path / "mine" / place)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "mine"))
    assert find("mnist").resolve() == (tmp_path / "mine" / place).resolve()


def test_when_inkdigit_data_holds_none_the_log_says_where_it_was_found(nowhere, tmp_path, monkeypatch, lines, log):
    put(nowhere / "data" / "mnist")
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "elsewhere"))
    open_data("mnist", log=log)
    assert lines == [f"INKDIGIT_DATA does not hold mnist; using {nowhere / 'data' / 'mnist'}"]


@pytest.mark.posix
def test_files_right_in_a_data_folder_are_not_taken_for_another_set(nowhere):
    put(nowhere / "data")
    assert has("mnist")
    assert not has("fashion-mnist")
    (nowhere / "data").rename(nowhere.parent / "kmnist")
    (nowhere / "data").symlink_to(nowhere.parent / "kmnist")
    assert has("kmnist")
    assert not has("mnist")


def test_images_without_labels_do_not_count(nowhere):
    put(nowhere / "data" / "mnist")
    for path in (nowhere / "data" / "mnist").glob("*labels*"):
        path.unlink()
    assert not has("mnist")


@pytest.mark.usefixtures("nowhere")
def test_in_the_cache_all_files_must_be_there(tmp_path):
    put(tmp_path / "cache" / "mnist")
    assert find("mnist") == tmp_path / "cache" / "mnist"
    (tmp_path / "cache" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find("mnist") is None


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("INKDIGIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mirrors.cache_folder() == tmp_path / "inkdigit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert mirrors.cache_folder() == Path.home() / ".cache" / "inkdigit"


@pytest.mark.usefixtures("nowhere")
def test_a_set_that_is_nowhere_is_fetched_into_the_cache(tmp_path, monkeypatch, lines, log):
    files = []
    for path in put(tmp_path / "served").iterdir():
        for bodies in (test_mirrors.RAW, test_mirrors.SERVED):
            monkeypatch.setitem(bodies, path.name, path.read_bytes())
        files.append(PublishedFile(path.name, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"))
    monkeypatch.setenv("NO_PROXY", "*")
    with test_mirrors.mirror("good") as (url, requested):
        monkeypatch.setitem(PUBLISHED, "mnist", PublishedSet(tuple(files), (url,)))
        assert len(open_data("mnist", log=log).train) == 4
    assert lines[0] == f"mnist is not on this machine: fetching it into {tmp_path / 'cache' / 'mnist'}"
    assert requested == [file.name for file in files]
    assert has("mnist")


def test_names_of_the_classes(nowhere):
    for name in ("fashion-mnist", "kmnist", "usps"):
        put(nowhere / "data" / name)
    assert open_data("fashion-mnist", prepare="plain").classes[::9] == ("T-shirt/top", "Ankle boot")
    assert open_data("kmnist", prepare="plain").classes[:3] == ("o", "ki", "su")
    assert open_data("usps").classes == DIGITS
    assert open_data("kmnist", prepare="plain").prepare == "plain"


def test_digits_that_need_no_download():
    pytest.importorskip("sklearn")
    data = open_data("sklearn-digits")
    assert has("sklearn-digits")
    assert (len(data.train), data.test, data.classes) == (1797, None, DIGITS)
    assert data.glimpses[0][1].shape == (8, 8)
    assert data.glimpses[0][1].max() > 200
    assert data.train.images.any((1, 2)).all()


def test_without_scikit_learn_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match="scikit-learn"):
        open_data("sklearn-digits")


def test_a_path_gets_the_reader_of_its_kind(tmp_path):
    put(tmp_path / "idx")
    rows = kaggle_rows(draw(4), LABELS)
    np.savez(tmp_path / "some.npz", X=draw(4), y=LABELS)
    shutil.copy(tmp_path / "some.npz", tmp_path / "unnamed")
    for k in range(4):
        write_picture(tmp_path / "pictures" / str(k) / "1.png", draw(4)[k])
    write_picture(tmp_path / "listed" / "1.png", draw(1)[0])
    (tmp_path / "listed" / "labels.csv").write_text("file,label\n1.png,2\n", encoding="utf-8")
    opened = [
        open_data(source)
        for source in (
            tmp_path / "idx",
            str(tmp_path / "idx"),
            write_rows(tmp_path / "train.csv", rows),
            tmp_path / "some.npz",
            tmp_path / "unnamed",
            tmp_path / "pictures",
            tmp_path / "listed",
            tmp_path / "listed" / "labels.csv",
        )
    ]
    assert [(data.name, len(data.train)) for data in opened] == [
        ("idx", 4),
        ("idx", 4),
        ("train.csv", 4),
        ("some", 4),
        ("unnamed", 4),
        ("pictures", 4),
        ("listed", 1),
        ("listed", 1),
    ]
    # The very same pixels by every road.
    assert all(np.array_equal(data.train.images, opened[0].train.images) for data in opened[1:6])


def test_a_name_comes_before_a_path_and_a_path_object_is_never_a_name(nowhere):
    write_idx_part(nowhere / "mnist", "", draw(1), LABELS[:1])
    put(nowhere / "data" / "mnist")
    assert len(open_data("mnist").train) == 4
    assert len(open_data("./mnist").train) == 1
    assert len(open_data(Path("mnist")).train) == 1


@pytest.mark.parametrize(("name", "hint"), [("mnits", "mnist"), ("MNIST", "mnist"), ("fashion_mnist", "fashion-mnist")])
@pytest.mark.usefixtures("nowhere")
def test_an_unknown_name_gets_a_suggestion(name, hint):
    with pytest.raises(UsageError, match=rf"Did you mean {hint}\?") as caught:
        open_data(name)
    assert caught.value.exit_code == 2
    assert all(known in str(caught.value) for known in NAMES)


@pytest.mark.parametrize("path", ["absent.csv", "some/where", "./absent"])
def test_a_path_that_is_not_there(nowhere, path):
    with pytest.raises(MissingData, match="There is no"):
        open_data(path if path != "./absent" else str(nowhere / "absent"))


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("a.csv", b"a,b\n1,2\n", MalformedFile, "not one of the two kinds of CSV"),
        ("a.csv", b"pixel0\n1\n", MalformedFile, "no column 'label'"),
        ("a.npz", b"text", MalformedFile, "not an .npz"),
        ("a.txt", b"text", UsageError, "not a data set"),
        ("train-images-idx3-ubyte", b"text", UsageError, "Name their folder"),
    ],
)
def test_a_file_of_no_known_kind(tmp_path, name, data, error, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message):
        open_data(tmp_path / name)


def test_unknown_names_are_unknown_everywhere():
    with pytest.raises(UsageError):
        has("mnits")
