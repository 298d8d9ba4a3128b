"""Fuzzed inputs: images, arrays and data sets.

In: a folder of its own and a random generator. Out: a call that passes one input; `KINDS` by their names in the table.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.hardening.fuzz_kinds import Call, Kind, Make
from benchmarks.hardening.fuzz_mutate import EDGES, WORDS, mutate_bytes, mutate_text

SIDE = 28
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"),
    "WEBP": ("RGB", "RGBA"),
}
DTYPES = (
    "u1",
    "i1",
    ">u2",
    "i4",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "?",
    "c8",
    "O",
    "S3",
    "U2",
    "M8[s]",
    "m8[D]",
    "V5",
    "u1,f4",
)
NOT_ARRAYS: tuple[Any, ...] = (
    None,
    7,
    "",
    "x" * 5_000,
    "a\0b",
    b"",
    b"x",
    (),
    [[]],
    [None],
    {1: 2},
    {3},
    object(),
    Path("/"),
)
COMPRESSIONS = (None, "tiff_deflate", "tiff_lzw", "packbits", "jpeg")


def digits(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 28, 28), and labels uint8 (N,)."""
    from inkdigit.synth import drawn

    labels = np.arange(n, dtype=np.uint8) % 10
    rng = np.random.default_rng(0)
    return np.stack([drawn.digit(int(label), rng=rng, size_px=SIDE) for label in labels]), labels


def encode(image: Any, kind: str, **options: Any) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# Images and arrays ---------------------------------------------------------------------------------------------------


def intact_files() -> list[bytes]:
    """A file of each format, mode and compression."""
    from PIL import Image

    gray = Image.fromarray(255 - np.kron(digits(4)[0][3], np.ones((3, 3), np.uint8)))
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    files = []
    for kind, modes in MODES.items():
        for mode in modes:
            image = (
                deep if mode == "I;16" else gray.convert("RGB").convert(mode) if mode == "CMYK" else gray.convert(mode)
            )
            for compression in COMPRESSIONS if kind == "TIFF" and mode in ("L", "RGB", "1") else (None,):
                if compression != "jpeg" or mode != "1":
                    files.append(encode(image, kind, **({"compression": compression} if compression else {})))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    files += [encode(gray.convert("RGB"), kind, exif=exif) for kind in ("PNG", "JPEG", "TIFF", "WEBP")]
    files.append(encode(gray, "JPEG", progressive=True))
    files.append(encode(gray, "GIF", save_all=True, append_images=[gray.rotate(9 * i) for i in range(3)]))
    files.append(encode(gray.convert("P"), "PNG", transparency=3))
    return files


def pictures(_: Path) -> Make:
    """Files of six formats, changed, and small ones that cost much, through `Recognizer.predict`."""
    from benchmarks.serving import malformed_pictures
    from inkdigit.model.recognizer import Recognizer

    recognizer, files = Recognizer.load("tiny"), intact_files()
    for file in files:
        recognizer.predict(file)

    def make(rng: Random) -> Call:
        if rng.random() < 0.1:
            data = malformed_pictures.bomb(rng)
        elif rng.random() < 0.02:
            data = rng.choice(malformed_pictures.full())
        else:
            data = _mend_checksums(mutate_bytes(rng, rng.choice(files), others=files))
        source = data if rng.random() < 0.8 else memoryview(data)
        return lambda: recognizer.predict(source)

    return make


def _mend_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, so that more than the checksums is tested."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(data):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(out)


def arrays(_: Path) -> Make:
    """Arrays of any type and shape, views, masks, records, and what is not an array."""
    from inkdigit.model.recognizer import Recognizer

    recognizer, pen = Recognizer.load("tiny"), digits(8)[0]
    recognizer.predict(np.kron(255 - pen[0], np.ones((3, 3), np.uint8)))  # what a photo needs is imported now
    others = [*NOT_ARRAYS, pen[0].tolist()]

    def make(rng: Random) -> Call:
        if rng.random() < 0.15:
            thing = rng.choice(others)
            return lambda: recognizer.predict(thing)
        base = pen[rng.randrange(len(pen))] if rng.random() < 0.7 else pen
        shape = [rng.choice((0, 1, 2, 3, 4, 5, 7, 8, 28, 784)) for _ in range(rng.randrange(5))]
        array: Any = base if rng.random() < 0.5 else np.zeros(shape, np.uint8)
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(DTYPES)) if rng.random() < 0.8 else array
        if array.dtype.kind in "fc" and array.size and rng.random() < 0.3:
            array = array.copy()
            array.flat[0] = rng.choice((np.nan, np.inf, -1, 256, 1e30))
        match rng.randrange(6):
            case 0:
                array = np.ma.masked_array(array, np.full(array.shape, rng.random() < 0.5))
            case 1 if array.ndim:
                array = array[..., ::-1]
            case 2:
                array = array.T
            case 3 if array.dtype.kind not in "OMmV" and array.ndim:
                array = memoryview(array)
                if rng.random() < 0.3:
                    array.release()
            case 4:
                array = rng.choice(([array], (array, array), [[array]]))
        return lambda: recognizer.predict(array)

    return make


# Data sets -----------------------------------------------------------------------------------------------------------


def idx(folder: Path) -> Make:
    """IDX files, plain and gzipped, one of the pair changed; false counts; gzip that becomes large."""
    from inkdigit.data.sources import open_data

    images, labels = digits()
    good = {
        "train-images-idx3-ubyte": struct.pack(">IIII", 0x803, *images.shape) + images.tobytes(),
        "train-labels-idx1-ubyte": struct.pack(">II", 0x801, len(labels)) + labels.tobytes(),
    }
    zeros = gzip.compress(struct.pack(">IIII", 0x803, 200_000, SIDE, SIDE) + bytes(200_000 * SIDE * SIDE), 9)

    def make(rng: Random) -> Call:
        place = empty(folder / "idx")
        for name, data in good.items():
            changed = mutate_bytes(rng, data, others=list(good.values())) if rng.random() < 0.6 else data
            if rng.random() < 0.3:
                packed = zeros if "images" in name and rng.random() < 0.1 else gzip.compress(changed, 1)
                changed, name = (mutate_bytes(rng, packed) if rng.random() < 0.5 else packed), f"{name}.gz"
            write(place / name, changed, rng)
        if rng.random() < 0.2:
            write(place / "classes.txt", mutate_text(rng, "\n".join("0123456789")), rng)
        if rng.random() < 0.2:
            writers = _npz(writer=np.arange(len(labels), dtype=np.int32))
            write(place / "train-writers.npz", mutate_bytes(rng, writers) if rng.random() < 0.7 else writers, rng)
        return lambda: open_data(place)

    return make


def csv(folder: Path) -> Make:
    """Kaggle's train.csv and test.csv with words, lines and bytes changed."""
    from inkdigit.data.readers.kaggle_csv import read_kaggle_test
    from inkdigit.data.sources import open_data

    images, labels = digits(12)
    pixels = ",".join(f"pixel{i}" for i in range(SIDE * SIDE))
    rows = [",".join(map(str, row)) for row in images.reshape(len(images), -1).tolist()]
    train = f"label,{pixels}\n" + "".join(f"{label},{row}\n" for label, row in zip(labels, rows, strict=True))
    test = f"{pixels}\n" + "".join(f"{row}\n" for row in rows)

    def make(rng: Random) -> Call:
        is_train = rng.random() < 0.7
        path = write(empty(folder / "csv") / "data.csv", mutate_text(rng, train if is_train else test), rng)
        return (lambda: open_data(path)) if is_train else (lambda: read_kaggle_test(path))

    return make


def npz(folder: Path) -> Make:
    """`.npz` files: bytes changed, other arrays, false headers, members that become large."""
    from inkdigit.data.sources import open_data

    images, labels = digits()
    good = _npz(X=images, y=labels)
    others: list[Callable[[], Any]] = [
        lambda: np.array([{}], dtype=object),
        lambda: np.zeros((5, SIDE, SIDE), "u1,f4"),
        lambda: np.zeros((0, SIDE, SIDE), np.uint8),
        lambda: np.asfortranarray(images),
        lambda: images.astype(np.float64) / 255,
        lambda: np.zeros((300_000, 1, 1), np.uint8),
        lambda: np.zeros((1, 20_000, 3_000), np.uint8),
        lambda: np.zeros((200_000, SIDE, SIDE), np.uint8),
        lambda: np.array(["7", "ß", ""] * 10),
        lambda: np.arange(30) - 5,
        lambda: np.full(30, 2**62),
        lambda: np.float32(7),
    ]

    def make(rng: Random) -> Call:
        match rng.randrange(6):
            case 0:
                data = _npz(X=rng.choice((images, rng.choice(others)())), y=rng.choice((labels, rng.choice(others)())))
            case 1:
                data = _lying_npz(rng)
            case 2:
                names = rng.choice((("X",), ("y",), ("x", "Y"), (), ("X", "y", "z")))
                data = _npz(**{name: images if name == "X" else labels for name in names})
            case _:
                data = mutate_bytes(rng, good)
        path = write(empty(folder / "npz") / "data.npz", data, rng)
        return lambda: open_data(path)

    return make


def _npz(**members: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **members)
    return file.getvalue()


def _lying_npz(rng: Random) -> bytes:
    """An `.npz` whose members have headers of our own."""
    shape = rng.choice(
        ("(3, 28, 28)", f"({rng.choice(EDGES)}, 28, 28)", "(" * 2_000 + ")" * 2_000, "(-1, 28, 28)", rng.choice(WORDS))
    )
    kind = rng.choice(
        ("'|u1'", "'|O'", "[('a', '|u1')]", "'>f8'", "'|S9999999'", "('|u1', (9, 9))", f"'{rng.choice(WORDS)}'")
    )
    header = f"{{'descr': {kind}, 'fortran_order': {rng.choice(('False', 'True', '3'))}, 'shape': {shape}, }}"
    raw = header.encode(errors="replace") + b"\n"
    magic = b"\x93NUMPY" + bytes(rng.choice(((1, 0), (2, 0), (3, 0), (9, 9))))
    length = struct.pack("<H" if magic[6] == 1 else "<I", min(rng.choice((len(raw), len(raw), 60_000)), 65_535))
    member = magic + length + raw + bytes(rng.choice((0, 3 * 784, 10**7)))
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    ) as out:
        out.writestr("X.npy", member)
        out.writestr("y.npy", _npy(np.arange(3)))
    return file.getvalue() if rng.random() < 0.7 else mutate_bytes(rng, file.getvalue())


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def usps(folder: Path) -> Make:
    """USPS as published: LIBSVM text in bzip2, changed before and after it is packed, and large when it is unpacked."""
    import bz2

    from inkdigit.data.readers.usps import read_usps

    line = "7 " + " ".join(f"{i}:{(i % 5 - 2) / 2}" for i in range(1, 257)) + "\n"
    text, zeros = line * 8, bz2.compress(b"\0" * 300_000_000)

    def make(rng: Random) -> Call:
        packed = zeros if rng.random() < 0.02 else bz2.compress(mutate_text(rng, text), 1)
        place = empty(folder / "usps")
        write(place / "usps.bz2", mutate_bytes(rng, packed) if rng.random() < 0.4 else packed, rng)
        return lambda: read_usps(place)

    return make


def labels_csv(folder: Path) -> Make:
    """Folders of images: a labels.csv with words changed, names that are pipes, devices and folders, odd trees."""
    from inkdigit.data.sources import open_data

    images, labels = digits(6)
    files = [encode_png(image) for image in images]
    good = "file,label,source\n" + "".join(f"{i}.png,{label},us\n" for i, label in enumerate(labels))
    names = (
        "pipe.png",
        "/dev/zero",
        "/dev/random",
        "/dev/stdin",
        "..",
        "",
        "folder.png",
        "gone.png",
        "loop.png",
        "/proc/self/mem",
        "/etc/passwd",
    )

    def make(rng: Random) -> Call:
        place = empty(folder / "pictures")
        inside = place / rng.choice(("", "train", "7"))
        inside.mkdir(exist_ok=True)
        for i, file in enumerate(files):
            write(inside / f"{i}.png", mutate_bytes(rng, file) if rng.random() < 0.2 else file, rng)
        os.mkfifo(inside / "pipe.png")
        (inside / "folder.png").mkdir()
        (inside / "loop.png").symlink_to("loop.png")
        (inside / "device.png").symlink_to("/dev/zero")
        if rng.random() < 0.8:
            text = good
            for _ in range(rng.randrange(3)):
                text += f"{rng.choice(names)},{rng.choice(('7', 'x', ''))},us\n"
            write(place / "labels.csv", mutate_text(rng, text) if rng.random() < 0.7 else text.encode(), rng)
        return lambda: open_data(place)

    return make


def encode_png(image: np.ndarray) -> bytes:
    """A gray image as PNG."""
    from PIL import Image

    return encode(Image.fromarray(image), "PNG")


def write(path: Path, data: bytes, rng: Random) -> Path:
    """The file; sometimes a pipe, a device, a folder or nothing is in its place."""
    odd = rng.random()
    if odd < 0.004:
        os.mkfifo(path)
    elif odd < 0.008:
        path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/full", path.name)))
    elif odd < 0.010:
        path.mkdir()
    elif odd < 0.990:
        path.write_bytes(data)
    elif odd < 0.995:
        path.write_bytes(b"")
    return path


def empty(folder: Path) -> Path:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


KINDS = {
    "pictures": Kind(pictures, 1_800, "files of six formats in all their modes, and small files that cost much"),
    "arrays": Kind(arrays, 900, "types, shapes, masks, views, and what is not an array"),
    "IDX": Kind(idx, 800, "plain and gzipped, false counts, class names, writers"),
    "Kaggle's CSV": Kind(csv, 800, "train.csv and test.csv"),
    ".npz": Kind(npz, 800, "bytes, false headers, members that become large, four kinds of packing"),
    "USPS": Kind(usps, 250, "text in bzip2, before and after packing"),
    "folders and labels.csv": Kind(labels_csv, 500, "rows, names of pipes, devices and folders"),
}
