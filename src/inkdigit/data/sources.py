"""Names and paths → labelled data sets: where the files are, of what kind they are, and which reader reads them.

In: `mnist`, `usps`, `fashion-mnist`, `kmnist`, `emnist-digits`, `emnist-letters`, `emnist-balanced`, `emnist-byclass`,
`emnist-bymerge`, `sklearn-digits`, or a path. Out: a `Dataset` of prepared images. A named set is searched in

1. the folder that INKDIGIT_DATA names,
2. `data`, `../data`, `shared/data` and `../shared/data`, seen from the current folder,
3. the cache: INKDIGIT_CACHE, else `$XDG_CACHE_HOME/inkdigit`, else `~/.cache/inkdigit`,

each time first in the sub-folder of its name (`emnist` for all EMNIST sets), then in the folder itself. If it is in
none of them, it is fetched into the cache (`mirrors.fetch`). A name comes before a path of the same name: write
`./mnist` for a folder that is called mnist.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from inkdigit.data.mirrors import PUBLISHED, cache_folder, fetch, folder_of
from inkdigit.data.readers import emnist, usps
from inkdigit.data.readers.arrays import open_given, read_arrays, to_dataset
from inkdigit.data.readers.corrections import read_corrections
from inkdigit.data.readers.corrections_file import is_sqlite
from inkdigit.data.readers.csv_layouts import LABEL, PIXELS
from inkdigit.data.readers.folders import FILE, LABELS_FILE, read_image_folder, read_labels_csv
from inkdigit.data.readers.idx_npz import find_idx, read_idx_folder, read_npz
from inkdigit.data.readers.kaggle_csv import CellProblem, read_header, read_kaggle_csv
from inkdigit.errors import (
    DataError,
    MalformedFile,
    MissingData,
    MissingExtra,
    OutputError,
    UsageError,
    did_you_mean,
)
from inkdigit.files import looking_up
from inkdigit.picture.prepare import prepare_all
from inkdigit.types import DIGITS, OPEN_ARRAYS, DataLike, Dataset, Log, Part, check_functions, silent

LOG = logging.getLogger(__name__)
SKLEARN_DIGITS = "sklearn-digits"
NAMES = (*PUBLISHED, SKLEARN_DIGITS)
NOT_BY_PATH = ("usps", *emnist.CLASSES)  # a path does not open the folder of their public files

_CLASSES = {
    "fashion-mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
PREPARE = {"fashion-mnist": "plain", "kmnist": "plain"}  # the kind of preprocessing, where it is not `ink`
_KINDS_OF_SOURCE = (
    "a folder of IDX files or images, a Kaggle CSV, a CSV with the columns file,label, an .npz, or corrections"
)


def open_data(
    source: str | Path,
    *,
    prepare: str | None = None,
    problems: list[CellProblem] | None = None,
    log: Log = silent,
) -> Dataset:
    """Open a data set by name or path; a named one that is not on this machine is fetched.

    `prepare` is the kind of preprocessing. The default is that of the source: `plain` for `fashion-mnist` and `kmnist`,
    `ink` for all others. A folder is read as IDX files if it has any, else as the images of its `labels.csv`, else as
    the splits `train` and `test`, else as one sub-folder for each class. A file of corrections is recognised by its
    bytes, not by its name. Bad cells of a Kaggle CSV are an error, unless there is a list `problems` to add them to. A
    `Path` is never a name.

    Raises:
        UsageError: neither a known name nor a path.
        DataError: the files are missing, broken or not the published ones.
        MissingExtra: a library that reading or fetching this source needs is not installed.
    """
    check_functions(log=log)
    prepare = prepare or PREPARE.get(str(source), "ink")
    if isinstance(source, Path) or source not in NAMES:
        return _open_path(Path(source).expanduser(), prepare, problems, log)
    if source == SKLEARN_DIGITS:
        return _open_sklearn_digits(prepare)
    folder = find(source)
    if folder is None:
        log(f"{source} is not on this machine: fetching it into {cache_folder() / folder_of(source)}")
        folder = fetch(source, log=log)
    elif "INKDIGIT_DATA" in os.environ and not folder.is_relative_to(Path(os.environ["INKDIGIT_DATA"]).expanduser()):
        log(f"INKDIGIT_DATA does not hold {source}; using {folder}")
    LOG.debug("%s is read from %s, prepared as %s.", source, folder, prepare)
    if source in emnist.CLASSES:
        return emnist.read_emnist(folder, name=source, kind=prepare)
    if not find_idx(folder) and usps.has_usps(folder):
        return usps.read_usps(folder, name=source, kind=prepare)
    return read_idx_folder(folder, name=source, kind=prepare, classes=_CLASSES.get(source, DIGITS))


def open_mnist_or_bundled(*, log: Log) -> Dataset:
    """Open MNIST or, where it cannot be fetched, the few digits that ship with scikit-learn.

    Raises:
        MissingExtra: scikit-learn, or what fetching needs, is not installed.
    """
    try:
        return open_data("mnist")
    except (DataError, OutputError):
        log("MNIST cannot be fetched: training on the 1,797 digits that ship with scikit-learn instead.")
        return open_data(SKLEARN_DIGITS)


def as_dataset(
    data: DataLike,
    *,
    prepare: str | None = None,
    test: bool = True,
    log: Log = silent,
) -> Dataset:
    """The data set that a SOURCE opens, one made of arrays, or a given one with every image prepared.

    Arrays are (images, labels), or these of a training and a test split: ((images, labels), (images, labels)).
    `prepare` is for a SOURCE, as in `open_data`, and for arrays. Images that are prepared already stay as they are.
    Without `test` the test split of a given data set is not touched: a run that only chooses must not see it.

    Raises:
        UsageError: no such source, an unknown kind of preprocessing, labels that do not fit the images, or neither a
            SOURCE nor a data set.
        DataError: the data cannot be used.
        PictureError: an image of the arrays cannot be read.
    """
    if isinstance(data, str | Path):
        return open_data(data, prepare=prepare, log=log)
    if isinstance(data, tuple) and len(data) == 2:
        return open_given(data, prepare=prepare or "ink")
    if not isinstance(data, Dataset):
        expected, received = "a name, a path, (images, labels) or a Dataset", type(data).__name__
        raise UsageError("This is not a data set", expected=expected, received=received, hint=OPEN_ARRAYS)
    train = _prepared(data.train, data.prepare)
    test_split = _prepared(data.test, data.prepare) if test and data.test is not None else data.test
    if train is data.train and test_split is data.test:
        return data
    log(f"The images of {data.name} were not prepared. They are now, like those of a file.")
    return replace(data, train=train, test=test_split)


def _prepared(part: Part, kind: str) -> Part:
    images = prepare_all(part.images, kind)
    return part if np.array_equal(images, part.images) else replace(part, images=images)


def has(name: str) -> bool:
    """Whether a named set can be opened without the network.

    Raises:
        UsageError: no such name.
    """
    if name == SKLEARN_DIGITS:
        return importlib.util.find_spec("sklearn") is not None
    return find(name) is not None


def find(name: str) -> Path | None:
    """The first folder that holds a named set, or None; see the top of this file for the places.

    A folder is taken if it holds images and labels of one split. In the cache all files must be there: an interrupted
    fetch may have left only some of them.

    Raises:
        UsageError: no such name.
    """
    if name not in PUBLISHED:
        raise _unknown(name)
    for root in _roots():
        own = root / folder_of(name)
        for folder in (own, root):
            if _holds(folder, name, nameless=folder == own or _may_be(root, name)):
                return folder
    cached = cache_folder() / folder_of(name)
    return None if PUBLISHED[name].missing(cached) else cached


def _roots() -> list[Path]:
    named = os.environ.get("INKDIGIT_DATA")
    here = Path.cwd()
    near = [here / "data", here.parent / "data", here / "shared" / "data", here.parent / "shared" / "data"]
    return [Path(named).expanduser(), *near] if named else near


def _may_be(root: Path, name: str) -> bool:
    """Whether files directly in `root` may be the set `name`: by the name of the folder, else they are MNIST."""
    folder = root.resolve().name
    return folder == folder_of(name) or (name == "mnist" and folder not in map(folder_of, PUBLISHED))


def _holds(folder: Path, name: str, *, nameless: bool) -> bool:
    """Whether a folder holds a set; files without its name in theirs, as MNIST has, count only if `nameless`."""
    if name == "usps" and usps.has_usps(folder):
        return True
    before = f"{name}-" if name in emnist.CLASSES else ""
    named = nameless or bool(before)
    return named and any(images and labels for images, labels, _ in find_idx(folder, before=before).values())


def _open_path(path: Path, kind: str, problems: list[CellProblem] | None, log: Log) -> Dataset:
    with looking_up(path):
        is_folder, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    if is_folder:
        return _open_folder(path, kind)
    if exists and not is_file:  # a pipe or a device has no known end
        raise MissingData(f"{path} is not a regular file", expected=_KINDS_OF_SOURCE)
    if not exists:
        if path.suffix or len(path.parts) > 1:
            raise MissingData(f"There is no {path}", expected=_KINDS_OF_SOURCE)
        raise _unknown(str(path))
    if path.suffix.lower() == ".csv":
        return _open_csv(path, kind, problems)
    if is_sqlite(path):  # before the check for a ZIP: the last image in it may end like one
        return read_corrections(path, kind=kind, log=log)
    if path.suffix.lower() == ".npz" or zipfile.is_zipfile(path):
        return read_npz(path, kind=kind)
    if "idx" in path.name:
        raise UsageError(f"{path} is one IDX file of several", hint=f"Name their folder: {path.parent}")
    raise UsageError(f"{path} is not a data set that can be read", expected=_KINDS_OF_SOURCE)


def _open_folder(folder: Path, kind: str) -> Dataset:
    with looking_up(folder):
        has_idx, has_list = bool(find_idx(folder)), (folder / LABELS_FILE).is_file()
    if has_idx:
        return read_idx_folder(folder, kind=kind)
    if has_list:
        return read_labels_csv(folder / LABELS_FILE, kind=kind)
    return read_image_folder(folder, kind=kind)


def _open_csv(path: Path, kind: str, problems: list[CellProblem] | None) -> Dataset:
    columns = set(read_header(path))
    if FILE in columns:
        return read_labels_csv(path, kind=kind)
    if LABEL in columns or columns & set(PIXELS):
        return read_kaggle_csv(path, kind=kind, problems=problems)
    raise MalformedFile(
        path,
        "This is not one of the two kinds of CSV",
        where="header",
        expected="label,pixel0…pixel783; 785 columns of numbers, the label first; or file,label",
        received=",".join(sorted(columns))[:80],
    )


def _open_sklearn_digits(kind: str) -> Dataset:
    """The 1,797 digits, 8×8 pixels of 0..16, that come with scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as exc:
        raise MissingExtra("Reading sklearn-digits needs scikit-learn", "train") from exc
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    loaded = read_arrays(images, digits.target.astype(np.int64), kind=kind)
    return to_dataset(SKLEARN_DIGITS, DIGITS, {"train": loaded}, kind=kind)


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"No data set and no path is called {name!r}",
        expected=f"{', '.join(NAMES)}, or {_KINDS_OF_SOURCE}",
        hint=did_you_mean(name.lower(), NAMES),
    )
