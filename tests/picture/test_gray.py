"""Large images are reduced before anything is made of them, and what is small on them stays as it is."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkdigit.picture.decode import decode
from inkdigit.picture.gray import STRIP_PIXELS, WORK_SIDE_PX, to_gray
from inkdigit.picture.prepare import prepare
from inkdigit.synth import drawn

DIGIT = drawn.digit(4, rng=np.random.default_rng(4), size_px=28)  # ink on 0
SHEETS = {
    "L": 255,
    "1": 1,
    "RGB": (255, 255, 255),
    "RGBA": (0, 0, 0, 0),
    "LA": (0, 0),
    "I;16": 65535,
    "I": 65535,
    "F": 1.0,
}
INK = {"L": 0, "1": 0, "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255), "LA": (0, 255), "I;16": 0, "I": 0, "F": 0.0}


def sheet(mode: str, size: tuple[int, int], ink: tuple[int, int, int, int]) -> Image.Image:
    """A sheet of paper with a stroke."""
    image = Image.new(mode, size, SHEETS[mode])
    image.paste(INK[mode], ink)
    return image


@pytest.mark.parametrize("mode", SHEETS)
def test_a_large_image_is_about_1024_pixels_a_side_whatever_its_mode(mode):
    gray = to_gray(sheet(mode, (3000, 2500), (1200, 500, 1500, 2000)))
    assert WORK_SIDE_PX**2 <= gray.size < 4 * WORK_SIDE_PX**2
    assert gray.shape == (1250, 1500)
    assert gray[0, 0] == 255
    assert gray[500, 650] == 0


@pytest.mark.parametrize("size", [(20_000, 300), (300, 20_000), (2049, 2049), (4099, 1031)])
def test_every_row_and_column_is_there(size):
    gray = np.zeros(size[::-1], np.uint8)
    gray[-1], gray[:, -1] = 200, 200  # the last of them
    reduced = decode(gray)
    assert reduced[-1].all() == reduced[:, -1].all() == (reduced.max() > 0)
    factor = round(size[0] / reduced.shape[1])
    assert reduced.shape == (-(-size[1] // factor), -(-size[0] // factor))


@given(st.integers(0, 2500), st.integers(0, 2500), st.sampled_from(["L", "RGB", "RGBA", "I;16"]))
@settings(max_examples=12, deadline=None)
def test_a_small_drawing_on_a_large_even_sheet_stays_what_it_is(left, top, mode):
    gray = Image.fromarray(255 - DIGIT)
    if mode == "RGBA":  # the ink is what is not transparent
        image = Image.new("RGBA", (2600, 2550))
        image.paste((0, 0, 0, 255), (left, top), Image.fromarray(DIGIT))
    elif mode == "I;16":
        pixels = np.full((2550, 2600), 65535, np.uint16)
        h, w = (min(28, 2550 - top), min(28, 2600 - left))
        pixels[top : top + h, left : left + w] = (255 - DIGIT.astype(np.uint16))[:h, :w] * 257
        image = Image.fromarray(pixels)
    else:
        image = Image.new(mode, (2600, 2550), SHEETS[mode])
        image.paste(gray.convert(mode), (left, top))
    expected = np.zeros((2550 + 28, 2600 + 28), np.uint8)
    expected[top : top + 28, left : left + 28] = DIGIT
    seen = expected[:2550, :2600][top : top + 28, left : left + 28]
    if seen.any():
        assert np.array_equal(prepare(to_gray(image)), prepare(np.pad(seen, 40)))


@pytest.mark.parametrize("orientation", range(10))
def test_an_image_is_turned_as_pillow_turns_it(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(file, "PNG", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    assert np.array_equal(decode(file.getvalue()), np.asarray(turned))


def test_16_bits_are_read_by_a_table_as_they_were_by_arithmetic():
    for bits in (8, 10, 12, 14, 16):
        values = np.linspace(0, (1 << bits) - 1, 60_000).astype(np.uint16).reshape(200, 300)
        assert np.array_equal(
            decode(as_png(values)), (values.astype(np.int64) * 255 // ((1 << bits) - 1)).astype(np.uint8)
        )


def as_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


MEASURE = """
import sys
from inkdigit.picture.decode import decode
import PIL.PngImagePlugin
def peak_kb():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
data = open(sys.argv[1], "rb").read()
open("/proc/self/clear_refs", "w").write("5")
before = peak_kb()
decode(data)
print((peak_kb() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is counted on Linux alone")
@pytest.mark.parametrize(("mode", "most_mb"), [("RGBA", 110), ("LA", 110), ("I;16", 60), ("L", 40)])
def test_a_file_of_16_megapixels_takes_little_more_than_its_pixels(tmp_path, mode, most_mb):
    path = tmp_path / "large.png"
    sheet(mode, (4000, 4000), (1800, 800, 2200, 3200)).save(path, compress_level=1)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, encoding="utf-8", check=True)
    assert int(done.stdout) <= most_mb


def test_strips_are_a_matter_of_memory_alone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2300, 2200)).astype(np.uint8))
    assert image.width * image.height > 4 * STRIP_PIXELS
    assert np.array_equal(to_gray(image), np.asarray(image.reduce(2)))
