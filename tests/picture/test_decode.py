"""Every kind of image ends as the same gray `uint8 (H, W)`, or as one clear error."""

from __future__ import annotations

import gc
import io
import os
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from inkdigit.errors import NotAPicture, PictureError, PictureTooLarge
from inkdigit.picture.decode import FORMATS, MAX_BYTES, USUAL_BYTES, PixelBudget, decode, open_picture, split_pictures
from inkdigit.picture.pixels import to_uint8
from inkdigit.picture.prepare import prepare

from ..conftest import drawn

INK = drawn(3, size_px=40)[:, 2:36]  # 40 × 34: a turn shows
PEN = 255 - INK  # black on white

# How each format keeps every gray level; JPEG cannot.
LOSSLESS = {"PNG": {}, "BMP": {}, "GIF": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95}}


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gray(pixels: np.ndarray = PEN) -> Image.Image:
    return Image.fromarray(pixels)


def transparent(colour: int) -> Image.Image:
    """A pen of one gray on nothing."""
    return Image.fromarray(np.dstack([np.full((*INK.shape, 3), colour, np.uint8), INK]))


def off(picture: object, expected: np.ndarray) -> int:
    """By how many gray levels an image is read wrongly."""
    pixels = decode(picture)
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    return int(np.abs(pixels.astype(int) - expected).max())


# Formats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(form, mode):
    data = encode(gray().convert(mode), form, **LOSSLESS[form])
    assert off(data, PEN) <= (8 if form == "JPEG" else 0)


def test_the_suffix_says_nothing(tmp_path):
    path = tmp_path / "really-a.jpg"
    path.write_bytes(encode(gray(), "PNG"))
    assert off(path, PEN) == 0


@pytest.mark.parametrize("hold", [str, Path, lambda p: p.read_bytes(), lambda p: bytearray(p.read_bytes())])
def test_path_bytes_and_image_are_the_same(tmp_path, hold):
    path = tmp_path / "ö 3.png"
    path.write_bytes(encode(gray(), "PNG"))
    assert off(hold(path), PEN) == 0
    assert off(memoryview(path.read_bytes()), PEN) == 0
    with Image.open(path) as image:
        assert off(image, PEN) == 0


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_one_bit(form):
    image = gray().convert("1", dither=Image.Dither.NONE)
    assert off(encode(image, form), np.where(PEN > 127, 255, 0)) == 0


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_from_their_full_range(form):
    assert off(encode(gray(PEN.astype(np.uint16) * 257), form), PEN) == 0


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_sixteen_are_scaled_from_theirs(bits):
    assert off(encode(gray((PEN.astype(np.uint16) << (bits - 8)) | (PEN >> (16 - bits))), "PNG"), PEN) <= 1


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_wider_type_alone_makes_no_image_black(dtype):
    assert off(encode(gray(PEN.astype(dtype)), "TIFF"), PEN) == 0
    assert off(gray(PEN.astype(dtype)), PEN) == 0


def test_floats_of_a_tiff_within_0_to_1():
    assert off(encode(gray((PEN / 255).astype(np.float32)), "TIFF"), PEN) == 0
    with pytest.raises(PictureError, match="not finite"):
        decode(encode(gray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_palette():
    assert off(encode(gray().convert("P"), "PNG"), PEN) == 0
    colour = gray().convert("RGB").quantize(256, dither=Image.Dither.NONE)
    assert off(encode(colour, "GIF"), PEN) <= 8


@pytest.mark.parametrize("form", ["PNG", "GIF"])
@pytest.mark.parametrize("colours", [((255, 0, 0), (0, 0, 0)), ((0, 0, 0), (0, 0, 0))])
def test_a_transparent_palette_colour_is_paper(form, colours):
    image = Image.fromarray((INK > 127).astype(np.uint8)).convert("P")
    image.putpalette([*colours[0], *colours[1]])
    assert off(encode(image, form, transparency=0), np.where(INK > 127, 0, 255)) == 0


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparent_lies_on_white_and_white_ink_on_black(form):
    assert off(encode(transparent(0), form, **LOSSLESS[form]), PEN) == 0
    assert off(encode(transparent(255), form, **LOSSLESS[form]), INK) == 0


def test_gray_with_alpha():
    image = Image.merge("LA", [Image.new("L", INK.shape[::-1]), gray(INK)])
    assert off(encode(image, "PNG"), PEN) == 0


def test_what_lies_under_full_transparency_stays_hidden():
    hidden = np.dstack([PEN, PEN, PEN, np.zeros_like(PEN)])
    assert np.unique(decode(hidden)).size == 1
    assert not prepare(decode(encode(Image.fromarray(hidden), "PNG"))).any()


def test_opaque_alpha_changes_nothing():
    assert off(encode(gray().convert("RGBA"), "PNG"), PEN) == 0
    faint = 250 - INK // 10  # less contrast than transparent ink must have
    assert off(encode(gray(faint).convert("RGBA"), "PNG"), faint) == 0


def test_cmyk():
    image = gray().convert("RGB").convert("CMYK")
    assert off(encode(image, "TIFF"), PEN) == 0
    assert off(encode(image, "JPEG", quality=95), PEN) <= 8


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "PA", "RGBa", "I", "F", "LA", "1"])
def test_every_mode_of_a_pil_image(mode):
    image = gray().convert(mode) if mode != "RGBa" else gray().convert("RGBA").convert("RGBa")
    assert off(image, np.asarray(image.convert("L")) if mode == "1" else PEN) <= 1


def test_yellow_ink_on_white_is_seen_in_the_blue():
    yellow = np.dstack([np.full_like(PEN, 255), np.full_like(PEN, 255), PEN])
    assert off(encode(Image.fromarray(yellow), "PNG"), PEN) == 0


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first(form):
    data = encode(gray(), form, save_all=True, append_images=[gray(INK), gray(INK)], **LOSSLESS[form])
    assert off(data, PEN) <= (1 if form == "WEBP" else 0)


TURNS = {
    1: PEN,
    2: PEN[:, ::-1],
    3: PEN[::-1, ::-1],
    4: PEN[::-1],
    5: PEN.T,
    6: np.rot90(PEN, -1),
    7: PEN[::-1, ::-1].T,
    8: np.rot90(PEN),
}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", TURNS)
def test_the_exif_turn_is_done(turn, form):
    exif = Image.Exif()
    exif[0x0112] = turn
    assert off(encode(gray(), form, exif=exif, **LOSSLESS[form]), TURNS[turn]) <= (8 if form == "JPEG" else 1)


def test_an_unknown_turn_is_none():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert off(encode(gray(), "PNG", exif=exif), PEN) == 0


def test_a_large_jpeg_is_decoded_smaller():
    image = Image.fromarray(np.kron(PEN, np.ones((100, 100), np.uint8)))
    pixels = decode(encode(image, "JPEG"))
    assert pixels.shape == (1000, 850)
    assert np.abs(pixels[12::25, 12::25].astype(int) - PEN).max() < 20


# Arrays ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        PEN,
        PEN.astype(np.int64),
        PEN.astype(">u2"),
        PEN.astype(np.float64),
        PEN.astype(np.float32) / 255,
        (PEN / 255).astype(np.float16),
        np.dstack([PEN] * 3),
        np.dstack([PEN] * 3).astype(float) / 255,
        np.dstack([PEN, np.full_like(PEN, 255)]),
        np.dstack([PEN] * 3 + [np.full_like(PEN, 255)]),
        np.dstack([np.zeros_like(INK), INK]),
        np.asfortranarray(PEN),
        np.ascontiguousarray(PEN[::-1, ::-1])[::-1, ::-1],
        np.dstack([PEN[::-1]] * 3)[::-1],
        np.repeat(PEN, 2, axis=1)[:, ::2],
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_an_array_is_read(array):
    assert off(array, PEN) == 0


def test_bool_is_black_and_white():
    assert off(INK > 127, np.where(INK > 127, 255, 0)) == 0


def test_an_array_is_not_written_to_and_need_not_be_writable():
    array = PEN.copy()
    array.flags.writeable = False
    decode(array)
    assert np.array_equal(array, PEN)
    assert off(np.broadcast_to(np.uint8(7), (5, 6)), np.full((5, 6), 7)) == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), np.nan), "not finite"),
        (np.array([[0.5, np.inf]]), "not finite"),
        (np.array([[0.5, -np.inf]]), "not finite"),
        (np.array([[0, -1]]), "Received: -1 to 0"),
        (np.array([[0.0, -1e-2]]), "out of range"),
        (np.array([[0, 300]]), "Received: 0 to 300"),
        (np.array([[0.0, 255.5]]), "out of range"),
        (np.array([[0, 65535]], np.uint16), "Received: 0 to 65535"),
        (np.zeros((0, 5)), "no pixels"),
        (np.zeros((5, 0), np.uint8), "no pixels"),
        (PEN.astype(object), "dtype object"),
        (PEN.astype(str), "not brightness"),
        (PEN * 1j, "not brightness"),
        (PEN.astype("m8[s]"), "not brightness"),
        (np.array(3), "not one image"),
        (PEN[0], "not one image"),
        (PEN[None, None, None], "not one image"),
        (np.dstack([PEN] * 5), "not one image"),
    ],
    ids=str,
)
def test_an_array_that_is_not_an_image_is_an_error(array, message):
    with pytest.raises(PictureError, match=message) as caught:
        decode(array)
    assert caught.value.exit_code == 3
    assert caught.value.http_status == 422


@pytest.mark.parametrize(
    ("shape", "count", "each"),
    [
        ((9, 8), 1, (9, 8)),
        ((9, 8, 2), 1, (9, 8, 2)),
        ((9, 8, 3), 1, (9, 8, 3)),
        ((2, 8, 4), 1, (2, 8, 4)),
        ((3, 9, 8), 3, (9, 8)),
        ((1, 9, 8), 1, (9, 8)),
        ((3, 9, 28), 3, (9, 28)),
        ((3, 9, 8, 1), 3, (9, 8)),
        ((3, 9, 8, 2), 3, (9, 8, 2)),
        ((3, 9, 8, 3), 3, (9, 8, 3)),
        ((1, 9, 8, 4), 1, (9, 8, 4)),
    ],
)
def test_the_shape_of_an_array_says_how_many_images(shape, count, each):
    several = split_pictures(np.zeros(shape, np.uint8))
    assert len(several) == count
    assert {np.shape(one) for one in several} == {each}
    assert all(decode(one).shape == each[:2] for one in several)


@pytest.mark.parametrize("shape", [(), (9,), (9, 8, 5), (9, 8, 7), (3, 9, 8, 5), (3, 9, 8, 0), (1, 3, 9, 8, 3)])
def test_an_array_of_another_shape_is_an_error(shape):
    with pytest.raises(PictureError, match=r"Expected: \(H, W\)"):
        split_pictures(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("bad", [np.zeros((5, 0, 28)), np.full((2, 9, 9), 256)])
def test_a_batch_is_judged_whole(bad):
    with pytest.raises(PictureError):
        split_pictures(bad)


def test_floats_of_a_batch_share_one_range():
    batch = np.stack([np.full((9, 9), 1.0), np.full((9, 9), 200.0)])
    assert [int(one[0, 0]) for one in split_pictures(batch)] == [1, 200]
    assert to_uint8(np.array([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]


def test_floats_a_hair_beyond_their_range_are_within_it():
    assert to_uint8(np.array([-1e-4, 0.5, 1.0005])).tolist() == [0, 128, 255]
    assert to_uint8(np.array([-1e-4, 127.6, 255.0])).tolist() == [0, 128, 255]
    for bad in ([0.0, 1.5], [-0.1, 1.0], [0.0, 255.5], [0.0, np.nan]):
        with pytest.raises(PictureError, match="out of range"):
            to_uint8(np.array(bad))


def test_flattened_images_are_told_from_a_wide_one():
    flat = np.zeros((5, 28, 28), np.uint8)
    flat[:, 5:20, 9:12] = 255
    for table in (flat.reshape(5, 784), flat[:1].reshape(1, 784), flat.reshape(5, 784) / 255):
        with pytest.raises(PictureError, match=r"reshape\(-1, 28, 28\)"):
            split_pictures(table)
    wide = np.zeros((40, 784), np.uint8)
    wide[5:30, 300:420] = 255
    assert len(split_pictures(wide)) == len(split_pictures(255 - wide)) == len(split_pictures(wide * 0)) == 1


def test_one_thing_is_one_image_and_a_list_is_itself():
    assert split_pictures("a.png") == ["a.png"]
    assert split_pictures(b"png") == [b"png"]
    several = ["a.png", PEN]
    assert split_pictures(several) is several
    assert len(split_pictures(tuple(several))) == 2
    assert split_pictures([]) == []


# Bad input ------------------------------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def lying_png(width: int, height: int, *, data: bytes = b"") -> bytes:
    """A PNG that claims a size and holds what it holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello", "Größe: 3\n".encode() * 500, bytes(range(256)) * 40, b"%PDF-1.7\n"]
)
def test_bytes_that_are_not_an_image(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(NotAPicture) as caught:
            decode(source)
        assert caught.value.exit_code == 3
        assert caught.value.http_status == 415
    with pytest.raises(NotAPicture, match=r"a\.png"):
        decode(path)


@pytest.mark.parametrize("form", ["ICO", "PPM", "TGA", "PCX"])
def test_other_formats_are_not_opened(form):
    with pytest.raises(NotAPicture, match="Expected: PNG, JPEG, BMP, GIF, TIFF or WebP"):
        decode(encode(gray(), form))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_cut_short(form, share):
    options = LOSSLESS[form] if form != "JPEG" else {"quality": 95, "exif": Image.Exif()}
    data = encode(gray().convert("RGB"), form, **options)
    with pytest.raises(PictureError):
        decode(data[: int(len(data) * share)])


def test_an_image_that_is_cut_short_is_found_when_pil_opens_it_first():
    data = encode(gray(), "PNG")
    with Image.open(io.BytesIO(data[: len(data) // 2])) as image, pytest.raises(PictureError, match="cut short"):
        decode(image)


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_bytes_are_an_image_or_an_error_of_ours(form):
    good = encode(gray().convert("RGB"), form, **LOSSLESS[form])
    rng = np.random.default_rng(FORMATS.index(form))
    for _ in range(60):
        data = bytearray(good)
        for place in rng.integers(0, min(len(data), int(rng.choice([60, 10_000]))), 4):
            data[place] = rng.integers(256)
        try:
            assert decode(bytes(data)).ndim == 2
        except PictureError:
            continue


def test_a_directory_and_a_missing_file(tmp_path):
    with pytest.raises(NotAPicture, match="is a directory"):
        decode(tmp_path)
    with pytest.raises(PictureError, match="no file"):
        decode(tmp_path / "nothing.png")
    with pytest.raises(PictureError, match="cannot be opened"):
        decode("n" * 5000)
    with pytest.raises(PictureError, match="not a file name"):
        decode("a\0b.png")
    (tmp_path / "plain").write_text("", encoding="utf-8")
    with pytest.raises(PictureError):
        decode(tmp_path / "plain" / "inside.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(gray(), "PNG"))
    path.chmod(0)
    with pytest.raises(PictureError, match="Permission denied"):
        decode(path)


def test_a_file_with_too_many_bytes(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: nothing is written
    with pytest.raises(PictureTooLarge, match="at most 64 MiB"):
        decode(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_a_device_has_too_many_bytes():
    with pytest.raises(PictureTooLarge, match="at most 64 MiB"):
        decode("/dev/zero")


@pytest.mark.parametrize("length", [USUAL_BYTES - 1, USUAL_BYTES, USUAL_BYTES + 1, 3 * USUAL_BYTES])
def test_a_file_is_read_to_its_end_whatever_its_length(tmp_path, length):
    before = PngInfo()
    before.add(b"teSt", bytes(length - len(encode(gray(), "PNG")) - 12))  # the pixels come after it
    path = tmp_path / "long.png"
    path.write_bytes(encode(gray(), "PNG", pnginfo=before))
    assert path.stat().st_size == length
    assert np.array_equal(decode(path), PEN)


@pytest.mark.parametrize(
    "size", [(100_000, 10), (10, 100_000), (9_000, 9_000), (10_000, 10_000), (20_001, 1), (2**31 - 1, 2**31 - 1)]
)
def test_too_many_pixels_are_refused_by_the_header(size):
    with pytest.raises(PictureTooLarge, match="at most 64 megapixels and 20,000 pixels a side") as caught:
        decode(lying_png(*size))
    assert caught.value.http_status == 413


def test_a_decompression_bomb_is_not_unpacked():
    bomb = lying_png(15_000, 15_000, data=bytes(15_001 * 1_000))  # would be 225 MB
    assert len(bomb) < 20_000
    with pytest.raises(PictureTooLarge):
        decode(bomb)


def test_a_header_that_promises_more_than_there_is():
    with pytest.raises(PictureError, match="cut short"):
        decode(lying_png(2_000, 100, data=bytes(1_500)))


def test_a_pil_image_or_an_array_may_be_too_large_as_well():
    with pytest.raises(PictureTooLarge):
        decode(Image.new("1", (30_000, 1)))
    with pytest.raises(PictureTooLarge):
        decode(np.zeros((1, 30_000, 3), np.uint8))


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels(size):
    with pytest.raises(PictureError, match="no pixels"):
        decode(Image.new("L", size))


@pytest.mark.parametrize("thing", [None, 3, 2.5, ["a.png"], {"a": 1}, io.BytesIO(b"")])
def test_what_holds_no_image(thing):
    with pytest.raises(PictureError, match="Expected: a path, bytes, a PIL image or an array"):
        decode(thing)


@pytest.mark.parametrize("colour", [0, 90, 255])
@pytest.mark.parametrize("form", FORMATS)
def test_one_colour_is_an_image_without_ink(form, colour):
    data = encode(Image.new("RGB", (50, 40), (colour, colour, colour)), form)
    assert not prepare(decode(data)).any()


@pytest.mark.parametrize("size", [(50, 40), (2047, 3000), (2049, 4001), (5001, 4096), (1024, 9000)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_pixels_that_are_counted_are_those_in_memory(size, form):
    opened = open_picture(encode(Image.new("L", size, 200), form))
    opened.image.load()
    assert opened.pixels == opened.image.width * opened.image.height


def test_a_thin_jpeg_has_as_many_pixels_as_it_has():
    thin = encode(Image.new("L", (20_000, 900), 200), "JPEG")
    assert open_picture(encode(Image.new("L", (6000, 5000), 200), "JPEG"), max_pixels=10_000_000).pixels < 10_000_000
    with pytest.raises(PictureTooLarge, match="20,000×900"):
        open_picture(thin, max_pixels=10_000_000)


# Files that are small and cost much ----------------------------------------------------------------------------------


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


HEAD = (b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
BODY = (b"IDAT", zlib.compress(bytes(29 * 28)))
END = (b"IEND", b"")


def tiff_of(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4) + tail


def empty_chunks() -> bytes:
    return png_of(HEAD) + chunk(b"npTC", b"") * 700_000 + png_of(BODY, END)[8:]


def data_in_crumbs() -> bytes:
    packed = zlib.compress(bytes(29 * 28)) + bytes(400_000)
    return png_of(HEAD) + b"".join(chunk(b"IDAT", packed[i : i + 1]) for i in range(len(packed))) + chunk(*END)


def segments() -> bytes:
    good = encode(gray(), "JPEG")
    return good[:2] + b"\xff\xfe\0\x02" * 2_000_000 + good[2:]


def comments() -> bytes:
    good = encode(gray(), "GIF")
    at = good.index(b",")
    return good[:at] + b"!\xfe\x01a\0" * 1_000_000 + good[at:]


def tags_that_share_their_data() -> bytes:
    size = [(256, 4, 1, 28), (257, 4, 1, 28), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    return tiff_of(sorted(size + [(tag, 1, 900_000, 8) for tag in range(1_000, 60_000)]), bytes(900_000))


COSTLY = [empty_chunks, data_in_crumbs, segments, comments, tags_that_share_their_data]


@pytest.mark.parametrize("make", COSTLY)
def test_a_file_is_read_in_so_many_pieces_and_no_more(make):
    data, began = make(), time.process_time()
    with suppress(PictureError):
        decode(data)
    assert time.process_time() - began < 4  # it was up to a minute


def test_a_palette_that_is_not_there():
    header = struct.pack(">IIBBBBB", 28, 28, 8, 3, 0, 0, 0)
    with pytest.raises(PictureError, match="do not fit together"):
        decode(png_of((b"IHDR", header), BODY, END))


def test_an_error_holds_no_pixels():
    errors = []
    large = encode(Image.new("RGBA", (1500, 1500), (9, 9, 9, 255)), "PNG")
    for _ in range(5):
        with pytest.raises(PictureError) as caught:
            decode(large[: len(large) // 2])
        errors.append(caught.value)
    gc.collect()
    cores = [getattr(one, "_im", None) for one in gc.get_objects() if issubclass(type(one), Image.Image)]
    assert not any(type(core).__name__ == "ImagingCore" and core.size == (1500, 1500) for core in cores)
    assert len(errors) == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_without_a_writer_is_empty_and_one_with_a_writer_is_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NotAPicture, match="empty"):
        decode(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer need not wait
    with pipe.open("wb") as writer:
        writer.write(encode(gray(), "PNG"))
        writer.flush()
        thread = threading.Timer(0.3, writer.close)
        thread.start()
        assert np.array_equal(decode(pipe), PEN)
        thread.join()
    os.close(reader)


def test_all_threads_together_decode_so_many_pixels_at_a_time():
    room, highest, inside, lock = PixelBudget(10), [0], [0], threading.Lock()

    def work(pixels):
        with room.hold(pixels):
            with lock:
                inside[0] += min(pixels, 10)
                highest[0] = max(highest[0], inside[0])
            time.sleep(0.002)
            with lock:
                inside[0] -= min(pixels, 10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 4, 9, 10, 25, 3, 3, 3, 10, 1] * 4))
    assert 4 < highest[0] <= 10


def test_what_was_opened_is_decoded_once():
    data = encode(gray(), "PNG")
    opened = open_picture(data)
    assert (opened.pixels, np.array_equal(decode(opened), PEN)) == (PEN.size, True)
    with pytest.raises(PictureError):
        decode(opened)
    with pytest.raises(PictureTooLarge, match=r"at most 0\.0007 megapixels"):
        decode(data, max_pixels=700)
    for array in (np.zeros((28, 28)), np.zeros((28, 28, 3), np.uint8)):
        with pytest.raises(PictureTooLarge):
            decode(array, max_pixels=700)
