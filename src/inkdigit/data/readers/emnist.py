"""EMNIST as it is published (IDX) → a labelled data set: digits, letters with both cases in one class, or both.

In: the folder that holds the files. Out: a `Dataset` of prepared images. EMNIST differs from MNIST in two points (Cohen
et al. 2017, arXiv:1702.05373): rows and columns of each image are exchanged, and the labels of letters begin at 1.
In `balanced` and `bymerge` the two cases of a letter are one class where they look alike; in `byclass` they never are.
"""

from __future__ import annotations

import string
from pathlib import Path

from inkdigit.data.readers.arrays import LoadedSplit, read_arrays, to_dataset
from inkdigit.data.readers.idx_npz import find_idx, read_idx_pair
from inkdigit.errors import MissingData
from inkdigit.types import DIGITS, Dataset, Split

MERGED = (*DIGITS, *string.ascii_uppercase, *"abdefghnqrt")
CLASSES = {
    "emnist-digits": DIGITS,
    "emnist-letters": tuple(string.ascii_uppercase),
    "emnist-balanced": MERGED,
    "emnist-byclass": (*DIGITS, *string.ascii_uppercase, *string.ascii_lowercase),
    "emnist-bymerge": MERGED,
}
FIRST_LABEL = dict.fromkeys(CLASSES, 0) | {"emnist-letters": 1}  # in the files


def read_emnist(folder: Path, *, name: str, kind: str = "ink") -> Dataset:
    """Read the splits of one of the sets in `CLASSES`: files `<name>-train-images-idx3-ubyte` and so on.

    Raises:
        MissingData: images without labels, or labels without images.
        MalformedFile: a file that is broken, a label outside the classes, counts that disagree.
    """
    classes, loaded = CLASSES[name], dict[Split, LoadedSplit]()
    for split, (images, labels, _) in find_idx(folder, before=f"{name}-").items():
        if images is None or labels is None:
            raise MissingData(f"{images or labels} has no {'labels' if images else 'images'} beside it")
        pixels, numbers = read_idx_pair(images, labels, len(classes), first_label=FIRST_LABEL[name])
        loaded[split] = read_arrays(pixels.transpose(0, 2, 1), numbers, kind=kind)
    return to_dataset(name, classes, loaded, kind=kind)
