"""Compare the preprocessing of the examples with that of the package, picture by picture: a minute or two.

In: MNIST and USPS (INKDIGIT_DATA), scikit-learn's digits, node and g++. Out: a line a set, and
`results/preprocessing.json`: how many pictures there are, how many are clean, and in how many another program gave
other pixels, or another answer to whether they are clean. docs/preprocessing.md quotes the sums.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.common import results
from inkdigit.data import sources
from inkdigit.data.readers.idx_npz import read_idx
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import is_clean, prepare
from inkdigit.types import Gray

HERE = Path(__file__).parent
FILE = "preprocessing.json"
SOME = 3000  # of MNIST's test images, at each other size
NOISE = 1500  # pictures of each size
SIZES = ((32, 32), (24, 24), (40, 40), (12, 12), (31, 19), (20, 40))
NOISE_SIZES = ((1, 1), (1, 30), (7, 3), (30, 2), (28, 28), (33, 33), (50, 50))
COLOURS = ((20, 20), (9, 31), (65, 80), (130, 70))


def found(name: str) -> Path:
    """The folder of a data set."""
    if (folder := sources.find(name)) is None:
        raise SystemExit(f"{name} is not on this machine. Get it with: inkdigit data get {name}")
    return folder


def resized(images: Gray, height: int, width: int) -> Gray:
    return np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in images]
    )


def sets() -> Iterator[tuple[str, Gray, str]]:
    """Each set: its name, pictures (N, H, W) or (N, H, W, 4), and the kind of preprocessing."""
    mnist = [read_idx(found("mnist") / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    some = mnist[1][:SOME]
    yield "MNIST", np.concatenate(mnist), "ink"
    yield "MNIST, a third as strong", some // 3, "ink"
    yield "MNIST, black on white", 255 - some, "ink"
    yield "MNIST, 24×24, half as strong", resized(some, 24, 24) // 2, "ink"
    for h, w in SIZES:
        yield f"MNIST, {h}×{w}", resized(some, h, w), "ink"
    yield "MNIST, 40×31, plain", resized(some, 40, 31), "plain"
    usps = read_idx(found("usps") / "train-images-idx3-ubyte.gz")
    yield "USPS", usps, "ink"
    yield "USPS, plain", usps, "plain"
    yield "scikit-learn", np.rint(load_digits().images * (255 / 16)).astype(np.uint8), "ink"
    rng = np.random.default_rng(0)
    for h, w in NOISE_SIZES:
        noise = rng.integers(0, 256, (NOISE, h, w)).astype(np.uint8)
        share = rng.choice([0.02, 0.1, 0.3, 0.6, 0.9], NOISE)
        noise[rng.random(noise.shape) > share[:, None, None]] = 0
        yield f"noise, {h}×{w}", noise, "ink"
        yield f"noise, {h}×{w}, plain", noise, "plain"
    for h, w in COLOURS:
        yield f"colours, {h}×{w}", _coloured(rng, h, w), "gray"


def _coloured(rng: np.random.Generator, height: int, width: int) -> Gray:
    """Noise of one colour on another, some of it transparent: (N, H, W, 4)."""
    n = NOISE // 5
    cover = rng.random((n, height, width, 1)) * (rng.random((n, height, width, 1)) < 0.3)
    pen, paper = (rng.integers(0, 256, (n, 1, 1, 3)) for _ in range(2))
    paper[: n // 2] = 255
    alpha = np.where(np.arange(n)[:, None, None, None] % 2, 255, np.rint(255 * cover))
    return np.concatenate([np.rint(paper + cover * (pen - paper)), alpha], axis=3).astype(np.uint8)


def expected(pictures: Gray, kind: str) -> bytes:
    """What the package gives, as the other programs write it: one byte, whether it is clean, and the pixels."""
    rows = []
    for picture in pictures:
        gray = decode(picture)
        if kind == "gray":
            rows.append(b"\1" + gray.tobytes())
        elif kind == "plain" or is_clean(gray) or is_clean(255 - gray):
            rows.append(b"\1" + prepare(gray, kind).tobytes())
        else:
            rows.append(bytes(785))
    return b"".join(rows)


def different(file: Path, wanted: Gray) -> int | None:
    """In how many pictures a program differs; None if it does not take this set."""
    if not file.exists():
        return None
    return int((np.fromfile(file, np.uint8).reshape(wanted.shape) != wanted).any(1).sum())


def main() -> None:
    folder_of_results: Path = results.parser(__doc__).parse_args().results
    with tempfile.TemporaryDirectory() as name:
        folder, wanted = Path(name), []
        for i, (what, pictures, kind) in enumerate(sets()):
            n, h, w = pictures.shape[:3]
            size = h * w if kind == "gray" else 784
            head = np.array([n, h, w, pictures[0].size // (h * w), size, kind == "plain"], "<u4")
            (folder / f"{i:02}.in").write_bytes(head.tobytes() + pictures.tobytes())
            wanted.append((what, kind, np.frombuffer(expected(pictures, kind), np.uint8).reshape(n, 1 + size)))
        subprocess.run(["node", HERE / "compare.mjs", folder], check=True)
        options = ("-std=c++17", "-O2", "-ffp-contract=off")
        subprocess.run(["g++", *options, HERE / "compare.cpp", "-o", folder / "compare"], check=True)
        subprocess.run([folder / "compare", folder], check=True)
        rows = [
            {
                "set": what,
                "pictures": len(rows),
                "clean": None if kind == "gray" else int(rows[:, 0].sum()),
                "javascript_differs": different(folder / f"{i:02}.js", rows),
                "cpp_differs": different(folder / f"{i:02}.cpp", rows),
            }
            for i, (what, kind, rows) in enumerate(wanted)
        ]
    for row in rows:
        print(row)
    stamp = results.stamp(("inkdigit", "numpy", "pillow"), command="python -m benchmarks.preprocessing.compare")
    results.write(folder_of_results / FILE, {**stamp, "sets": rows})


if __name__ == "__main__":
    main()
