"""What `speed/answering.py` runs in another process, so that its own stays small.

`python -m benchmarks.speed.inside csv PATH [ROWS]` writes a test.csv in Kaggle's form from MNIST's training images;
`python -m benchmarks.speed.inside prepare` times the preprocessing in this process and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import machine, results
from inkdigit.data.sources import open_data
from inkdigit.picture.decode import decode
from inkdigit.picture.prepare import prepare

ROWS = 28_000  # as many as Kaggle's test.csv has
CLEAN = 2_000  # images a round
PHOTO_SIZE = (4000, 3000)  # 12 megapixels
PHOTO = machine.ROOT / "examples" / "7-pen-on-paper.png"


def write_csv(path: Path, rows: int) -> None:
    """Write the header and the first `rows` training images of MNIST, one a line."""
    images = open_data("mnist").train.images[:rows]
    text = np.arange(256).astype(str).astype(object)  # much faster than formatting each number
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(f"pixel{i}" for i in range(images[0].size)) + "\n")
        file.writelines(",".join(text[image.ravel()]) + "\n" for image in images)


def time_preprocessing() -> dict[str, dict[str, float]]:
    """Microseconds per clean image, called one by one; milliseconds a 12-megapixel photo, as a file and as pixels."""
    clean = open_data("mnist").part("test").images[:CLEAN]
    with Image.open(PHOTO) as photo:
        large = photo.convert("RGB").resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
    jpeg = BytesIO()
    large.save(jpeg, "JPEG", quality=90)
    pixels = np.asarray(large.convert("L"))
    return {
        "clean_us": _time(lambda: [prepare(image) for image in clean], per=CLEAN / 1e6),
        "photo_jpeg_ms": _time(lambda: prepare(decode(jpeg.getvalue())), per=1e-3),
        "photo_pixels_ms": _time(lambda: prepare(pixels), per=1e-3),
    }


def _time(call: Callable[[], object], *, per: float, runs: int = 20) -> dict[str, float]:
    """Median, minimum and maximum of `runs` calls after two warm-ups, in units of `per` seconds."""
    times = []
    for _ in range(runs + 2):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) / per)
    return {"n": runs, **results.summary(times[2:], 2)}


def main() -> None:
    """Do what the first argument says."""
    match sys.argv[1:]:
        case ["csv", path]:
            write_csv(Path(path), ROWS)
        case ["csv", path, rows]:
            write_csv(Path(path), int(rows))
        case ["prepare"]:
            print(json.dumps(time_preprocessing()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
