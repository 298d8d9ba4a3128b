"""Invalid image files: broken files of all formats, and bombs that are larger than they seem.

In: a random generator. Out: the bytes of a file.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO
from math import isqrt
from random import Random

import numpy as np
from PIL import Image

from inkdigit.serve.service import MAX_PIXELS
from inkdigit.synth import drawn
from inkdigit.types import Gray

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
PNG = b"\x89PNG\r\n\x1a\n"
FULL_SIDE = isqrt(MAX_PIXELS)  # pixels: squared, the maximum that is accepted of any image
JPEG_SIDE = 8_000  # pixels: a JPEG may be larger, since it is read at a smaller scale


def as_file(pixels: Gray | Image.Image, kind: str, **options: object) -> bytes:
    """An image as a file of that format, written with Pillow's `options`."""
    file = BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def intact(kind: str) -> bytes:
    """A valid file."""
    return as_file(drawn.digit(7, rng=np.random.default_rng(0), size_px=64), kind)


def broken(rng: Random) -> bytes:
    """A file of any format with some bytes changed, lost, doubled or put in."""
    data = bytearray(intact(rng.choice(FORMATS)))
    at = rng.randrange(len(data))
    damage = rng.randrange(5)
    if damage == 0:
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif damage == 1:
        del data[at:]
    elif damage == 2:
        data[at:at] = data[at : at + 100] * rng.choice([1, 50])
    elif damage == 3:
        data[at:at] = bytes(rng.choice([1, 10, 1_000]))
    else:  # the first bytes of one format, the rest of another
        data[:8] = intact(rng.choice(FORMATS))[:8]
    return bytes(data)


def bomb(rng: Random) -> bytes:
    """A small file that says that it is large, or becomes large when it is read."""
    side = rng.choice([20_001, 65_535, 65_536, 2**24, 2**31 - 1, 2**32 - 1])
    half = min(side, 65_535)
    return rng.choice(
        [
            lambda: png(side, side, idat=zlib.compress(bytes(1_000))),
            lambda: png(side, 1, idat=b""),
            lambda: png(FULL_SIDE + 1, FULL_SIDE, colour=6, idat=zlib.compress(bytes(1_000))),
            lambda: png(0, 0, idat=b""),
            lambda: png(28, 28, idat=zlib.compress(bytes(10_000_000), 9)),
            lambda: png(28, 28, idat=b"", extra=_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 9))),
            lambda: png(28, 28, idat=b"", extra=_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(20_000_000), 9))),
            lambda: png(28, 28, idat=b"", extra=_chunk(b"tEXt", b"a\0b") * 20_000),
            lambda: png(28, 28, idat=zlib.compress(bytes(29 * 28)), extra=_chunk(b"npTC", b"") * 300_000),
            lambda: png(28, 28, colour=3, idat=zlib.compress(bytes(29 * 28))),  # a palette that is not there
            lambda: intact("JPEG")[:2] + b"\xff\xfe\0\x02" * 800_000 + intact("JPEG")[2:],
            lambda: intact("GIF")[:13] + b"!\xfe\x01a\0" * 600_000 + intact("GIF")[13:],
            lambda: b"GIF89a" + struct.pack("<HHBBB", half, half, 0, 0, 0) + intact("GIF")[13:],
            lambda: _many_frames(500),
            lambda: (
                b"BM" + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, min(side, 2**31 - 1), -5, 1, 8, 0, 4, 0, 0, 0, 0)
            ),
            lambda: _tiff([(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8)]),
            lambda: _tiff([(256, 4, 28), (257, 4, 28)], following=8),
            lambda: _tiff([(tag, 4, 2**31) for tag in range(256, 2_000)]),
            lambda: _tiff_that_repeats_itself(40_000, 500_000),
            lambda: _large_jpeg(half),
            lambda: b"RIFF\x16\0\0\0WEBPVP8X\n\0\0\0\x10\0\0\0" + b"\xff" * 6,
        ]
    )()


@cache
def full() -> tuple[bytes, ...]:
    """As many pixels as an image may have, in a few kilobytes: each kind of pixel, and a larger JPEG."""
    side = FULL_SIDE
    deep = png(side, side, depth=16, idat=zlib.compress(bytes((1 + 2 * side) * side), 9))
    kinds = {"PNG": ("1", "RGB", "RGBA", "LA"), "TIFF": ("CMYK", "F"), "WEBP": ("RGBA",), "GIF": ("P",)}
    packed = {"TIFF": {"compression": "tiff_deflate"}, "PNG": {"compress_level": 9}}
    files = [
        as_file(Image.new(mode, (side, side)), kind, **packed.get(kind, {}))
        for kind, modes in kinds.items()
        for mode in modes
    ]
    palette = Image.new("P", (side, side))
    palette.info["transparency"] = 0
    photo = as_file(Image.new("L", (JPEG_SIDE, JPEG_SIDE), 255), "JPEG")
    return *files, deep, as_file(palette, "PNG"), photo


def png(w: int, h: int, *, depth: int = 8, colour: int = 0, idat: bytes, extra: bytes = b"") -> bytes:
    """A PNG with the given header and data, whether they fit or not."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0))
    return PNG + header + extra + _chunk(b"IDAT", idat) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def _many_frames(count: int) -> bytes:
    first, *rest = [Image.new("L", (64, 64), i % 256) for i in range(count)]
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest)
    return file.getvalue()


def _tiff(tags: list[tuple[int, int, int]], *, following: int = 0) -> bytes:
    """A TIFF of one directory of single values; `following` is the offset of the next one."""
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value % 2**32) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _tiff_that_repeats_itself(tags: int, size: int) -> bytes:
    """A TIFF each of whose tags says that its value is the same long row of bytes."""
    entries = b"".join(struct.pack("<HHII", tag, 1, size, 8) for tag in range(300, 300 + tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4 + size)


def _large_jpeg(side: int) -> bytes:
    data = bytearray(intact("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)
