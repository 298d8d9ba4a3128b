"""Pictures for the measurements of this folder, drawn by our own code.

In: a folder and a number. Out: tar shards and files: digits of 28 × 28 pixels as PNG, crops of forms, photos of twelve
megapixels. The same number gives the same bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.types import Gray

DIFFERENT = 500  # digits that are drawn: a larger number repeats them
PHOTO_PX = (3000, 4000)


def png(gray: Gray) -> bytes:
    """A PNG."""
    return _encoded(gray, "PNG")


def _encoded(gray: Gray, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, form, **options)
    return file.getvalue()


def digits() -> Iterator[bytes]:
    """Digits as MNIST has them, without end."""
    drawn = [digit(i % 10, rng=np.random.default_rng([i]), size_px=112, thickness=0.09) for i in range(DIFFERENT)]
    encoded = [png(prepare(image)) for image in drawn]
    while True:
        yield from encoded


def crops(text: str = "20417") -> Iterator[bytes]:
    """Crops of a form: a number, or with one character a digit, dark on lit paper, without end."""
    encoded = [png(on_paper(line(text, seed=i), (90, 60 + 60 * len(text)), seed=i)) for i in range(40)]
    while True:
        yield from encoded


def photos(text: str = "20417") -> Iterator[bytes]:
    """Photos of twelve megapixels of a number on a page, without end."""
    encoded = []
    for i in range(4):
        ink = np.asarray(Image.fromarray(line(text, seed=i)).resize((420 * len(text), 600)))
        encoded.append(_encoded(on_paper(ink, PHOTO_PX, seed=i), "JPEG", quality=92))
    while True:
        yield from encoded


def line(text: str, *, seed: int) -> Gray:
    """The digits of a number beside each other, ink 255 on 0: uint8 (80, 56 n)."""
    glyphs = [digit(int(label), rng=np.random.default_rng([seed, i]), size_px=80) for i, label in enumerate(text)]
    return np.concatenate([glyph[:, 12:68] for glyph in glyphs], axis=1)


def on_paper(ink: Gray, shape: tuple[int, int], *, seed: int) -> Gray:
    """Dark ink in the middle of lit paper with a shadow and grain."""
    rng = np.random.default_rng([7, seed])
    h, w = shape
    paper = 205 - 60 * (0.6 * np.linspace(0, 1, w)[None] + 0.4 * np.linspace(0, 1, h)[:, None])
    top, left = (h - ink.shape[0]) // 2, (w - ink.shape[1]) // 2
    cover = np.zeros(shape, np.float32)
    cover[max(top, 0) : top + ink.shape[0], max(left, 0) : left + ink.shape[1]] = ink[:h, :w] / 255
    photo = paper * (1 - cover) + 60 * cover + rng.normal(0, 4, shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


def write_tar(path: Path, pictures: Iterator[bytes], count: int) -> Path:
    """A shard of so many pictures."""
    with tarfile.open(path, "w") as tar:
        for i, content in enumerate(islice(pictures, count)):
            member = tarfile.TarInfo(f"{i:07}.png" if content[:4] == b"\x89PNG" else f"{i:07}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            tar.members = []  # else a million of them stay in memory
    return path
