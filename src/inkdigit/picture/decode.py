"""From anything that holds a picture to gray `uint8 (H, W)`.

In: a path, the bytes of a file, a PIL image or an array. Out: gray uint8 (H, W), turned as its EXIF says, its
transparent parts on white. Formats are allow-listed and pixels are counted from the header, before anything is decoded.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from inkdigit.errors import NotAPicture, PictureError, PictureTooLarge
from inkdigit.types import SIDE, Gray

Picture = str | Path | bytes | bytearray | memoryview | Image.Image | NDArray[Any]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MAX_BYTES = 64 * 2**20
USUAL_BYTES = 64 * 2**10  # what is read of a file at first
MAX_PIXELS = 64_000_000
MAX_SIDE = 20_000  # pixels
NARROWEST = 8  # pixels: in a batch (N, H, W); five to seven would be channels that no picture has
WORK_SIDE = 1024  # pixels: a JPEG is decoded at the smallest scale that is still this long
JPEG_SCALES = (8, 4, 2)  # how much smaller it can be decoded

ROUNDING = 1e-3  # how far beyond 0 and 1 floats may be that are meant to be within: resizing and float32 do that
LEAST_OF_255 = 2.0  # floats whose greatest is between 1 and this are neither within 0–1 nor a picture of 0–255
DEPTHS = (8, 10, 12, 14, 16)  # bits a pixel that whole numbers are stored with
ORIENTATION, UPRIGHT = 0x0112, 1  # an EXIF tag, and its value where nothing is turned
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)

# What Pillow raises on broken files, beside UnidentifiedImageError (which is an OSError).
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, OverflowError, struct.error, zlib.error)


class _Silence:
    """No warnings while any thread decodes.

    Broken EXIF is no reason to talk: what can be read is read. Pixels are counted here, not by Pillow's warning.
    `catch_warnings` alone is not for threads: two that overlap would leave the filters as one of them had set them.
    """

    def __init__(self) -> None:
        self._lock, self._filters, self._depth = Lock(), ExitStack(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._filters.close()


SILENCE = _Silence()


def decode(source: Picture) -> Gray:
    """Read one picture as gray uint8 (H, W).

    An array is gray (H, W), or colour with a last axis of 2 (gray, alpha), 3 (RGB) or 4 (RGBA); see `to_uint8` for its
    values.

    Raises:
        NotAPicture: the bytes are no picture of a known format.
        PictureTooLarge: more than 64 megapixels, 20,000 pixels a side or 64 MiB.
        PictureError: the picture is truncated or broken, or the array is no picture.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _load(source, "the picture")
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), "the bytes")
    if isinstance(source, str | Path):
        return _from_bytes(_read(Path(source)), str(source))
    raise PictureError(
        "This is nothing that a picture can be read from",
        expected="a path, bytes, a PIL image or an array",
        received=type(source).__name__,
    )


def check_pixels(data: bytes, *, most: int) -> int:
    """How many pixels a picture has in memory when it is decoded; its header tells. Fail if that is more than `most`.

    A JPEG is decoded at a smaller scale, if its shorter side is long enough for that; a progressive one is in memory
    whole. Of bytes that are no picture `decode` tells: they have none.

    Raises:
        PictureTooLarge: more pixels.
    """
    try:
        with SILENCE:
            image = _open(data, "the bytes")
    except PictureError:
        return 0
    scale = 1
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        scale = next((scale for scale in JPEG_SCALES if min(image.size) >= scale * WORK_SIDE), 1)
    pixels = math.ceil(image.width / scale) * math.ceil(image.height / scale)
    if pixels > most:
        raise PictureTooLarge(
            "the bytes: too many pixels",
            expected=f"at most {most / 10**6:g} megapixels, or a JPEG that is neither progressive nor thin",
            received=f"{image.width:,}×{image.height:,}",
            hint="Scale it down first.",
        )
    return pixels


def is_picture_name(path: Path) -> bool:
    """Whether a file of a folder is taken for a picture by its name: a known suffix, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def split_pictures(pictures: Picture | list[Picture] | tuple[Picture, ...]) -> Sequence[Picture]:
    """Tell one picture from several: the list of single pictures, or an array (N, H, W) as it is.

    An array of two axes is one gray picture; of three, one colour picture if the last axis is 2 to 4 long, else
    (N, H, W); of four, (N, H, W, C).

    Raises:
        PictureError: an array of another shape; of three axes whose last is 1 or 5 to 7 long, most likely one picture
            with a needless axis or with more channels than colours have; or of rows that are pictures laid flat.
    """
    if isinstance(pictures, np.ndarray):
        return _split_array(pictures)
    if isinstance(pictures, list | tuple):
        return pictures
    return [pictures]  # decode() says what is wrong with it


def _split_array(array: NDArray[Any]) -> Sequence[Picture]:
    shape = array.shape
    batch_of_colour = array.ndim == 4 and 1 <= shape[3] <= 4
    if array.ndim == 2 or (array.ndim == 3 and 2 <= shape[2] <= 4):
        if _is_laid_flat(array):
            raise PictureError(
                "These rows are pictures of 28×28 laid flat",
                expected="(N, 28, 28)",
                received=shape,
                hint="Use array.reshape(-1, 28, 28).",
            )
        return [array]
    if (array.ndim == 3 and shape[2] >= NARROWEST) or batch_of_colour:
        if shape[0] == 0:
            return []
        # The range of a float array is judged over all of its pictures.
        pixels = to_uint8(array)
        return pixels[..., 0] if batch_of_colour and shape[3] == 1 else pixels  # type: ignore[return-value]
    raise PictureError(
        "An array of this shape is no picture and no batch of pictures",
        expected=f"(H, W), (H, W, 2..4), (N, H, W) with W of {NARROWEST} or more, or (N, H, W, 1..4)",
        received=shape,
    )


def _is_laid_flat(array: NDArray[Any]) -> bool:
    """Whether a picture (N, 784) is a table of pictures: of most rows with ink, as 28×28, the rim is empty."""
    if array.ndim != 2 or array.shape[1] != SIDE * SIDE or not array.any():
        return False
    pictures = array[array.any(axis=1)].reshape(-1, SIDE, SIDE) != 0
    inner = pictures[:, 1:-1, 1:-1].any(axis=(1, 2))
    rim = pictures[:, [0, -1]].any(axis=(1, 2)) | pictures[:, :, [0, -1]].any(axis=(1, 2))
    return bool(np.mean(inner & ~rim) > 0.5)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring the values of an array of any shape to uint8: bool, whole numbers 0–255, floats within 0–1 or 0–255.

    Raises:
        PictureError: a value that is no number or outside these ranges, or an empty array.
    """
    if array.size == 0:
        raise PictureError("The picture has no pixels", received=f"an array of shape {array.shape}")
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise PictureError("These values are no brightness", expected="numbers", received=f"dtype {array.dtype}")
    low, high = array.min(), array.max()
    is_float = array.dtype.kind == "f"
    near = ROUNDING if is_float else 0.0
    if not (low >= -near and high <= 255) or (is_float and 1 + near < high < LEAST_OF_255):  # NaN is never within
        raise PictureError(
            "The values of the picture are out of range",
            expected="whole numbers 0 to 255, or floats within 0–1 or within 0–255",
            received=f"{low} to {high}" if np.isfinite(low) and np.isfinite(high) else "values that are not finite",
        )
    if is_float:
        array = np.rint(np.clip(array * 255 if high <= 1 + near else array, 0, 255))
    pixels: NDArray[np.uint8] = array.astype(np.uint8)
    return pixels


def _from_array(array: NDArray[Any]) -> Gray:
    if array.ndim == 2:
        return np.ascontiguousarray(to_uint8(array))
    if array.ndim == 3 and 2 <= array.shape[2] <= 4:
        mode = {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
        return _load(Image.fromarray(np.ascontiguousarray(to_uint8(array)), mode), "the array")
    raise PictureError("This array is not one picture", expected="(H, W) or (H, W, 2..4)", received=array.shape)


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise NotAPicture(f"{path} is a directory", expected="a picture file")
        with path.open("rb") as file:
            # A device has no size, and no end. Room for MAX_BYTES is not made for every small picture: that is slow.
            data = file.read(USUAL_BYTES)
            if len(data) == USUAL_BYTES:
                data += file.read(MAX_BYTES + 1 - USUAL_BYTES)
    except FileNotFoundError as exc:
        raise PictureError(f"There is no file {path}") from exc
    except OSError as exc:
        raise PictureError(f"{path} cannot be opened: {exc.strerror or exc}") from exc
    except ValueError as exc:  # a NUL in the name
        raise PictureError(f"{str(path)!r} is no file name ({exc})") from exc
    if len(data) > MAX_BYTES:
        raise PictureTooLarge(f"{path} is too large", expected=f"at most {MAX_BYTES >> 20} MiB")
    return data


def _from_bytes(data: bytes, name: str) -> Gray:
    if not data:
        raise NotAPicture(f"{name}: empty, no picture in it")
    with SILENCE:
        return _load(_open(data, name), name, ours=True)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as exc:
        raise _too_large(name, "more than that") from exc
    except UnidentifiedImageError as exc:
        raise NotAPicture(
            f"{name}: no picture that can be opened", expected="PNG, JPEG, BMP, GIF, TIFF or WebP"
        ) from exc
    except _BROKEN as exc:
        raise PictureError(f"{name}: the picture is broken ({exc})") from exc


def _load(image: Image.Image, name: str, *, ours: bool = False) -> Gray:
    """Decode an opened image that is not too large, and translate what Pillow raises on a broken one.

    An image that the caller opened is left as it is; `ours` may be decoded at a smaller scale.
    """
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise _too_large(name, f"{image.width:,}×{image.height:,}")
    if 0 in image.size:
        raise PictureError(f"{name}: no pixels in it", received=f"{image.width}×{image.height}")
    try:
        with SILENCE:
            if ours:
                image.draft("RGB", (WORK_SIDE, WORK_SIDE))  # JPEG alone: 12 megapixels in a tenth of the time
            image.load()
            return _gray(image)
    except _BROKEN as exc:
        raise PictureError(f"{name}: the picture is cut short or broken ({exc})") from exc


def _too_large(name: str, received: str) -> PictureTooLarge:
    limit = f"at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE:,} pixels a side"
    return PictureTooLarge(f"{name}: too many pixels", expected=limit, received=received, hint="Scale it down first.")


def _gray(image: Image.Image) -> Gray:
    """Turn, flatten and reduce a PIL image of any mode to gray uint8 (H, W)."""
    if image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:  # upright, `exif_transpose` would copy it for nothing
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep(np.asarray(image))
    if image.mode in ("1", "L"):
        return np.array(image if image.mode == "L" else image.convert("L"), np.uint8)
    if image.has_transparency_data:
        image = _on_paper(image.convert("RGBA"))
    return _one_channel(image if image.mode == "RGB" else image.convert("RGB"))  # which would copy it for nothing


def _from_deep(pixels: NDArray[Any]) -> Gray:
    """16-bit and float pixels (H, W): floats as `to_uint8` has it, 16 bits from the full range.

    Whole numbers that stay within 0–255 are what they say: a wider type alone makes no picture black. 10, 12 or 14 bits
    that a scanner stores in 16 are taken from the full range of their own.
    """
    if pixels.dtype.kind == "f":
        return to_uint8(pixels)
    bits = next((bits for bits in DEPTHS if pixels.max() < 1 << bits), DEPTHS[-1])
    full = (1 << bits) - 1
    gray: Gray = (np.clip(pixels, 0, full).astype(np.int64) * 255 // full).astype(np.uint8)
    return gray


def _on_paper(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white, or on black if nothing would show on white."""
    on_white, on_black = (Image.alpha_composite(Image.new("RGBA", image.size, p), image) for p in ("white", "black"))
    return on_black if _contrast(on_white) < 40 <= _contrast(on_black) else on_white


def _contrast(image: Image.Image) -> int:
    low, high = image.convert("L").getextrema()
    return int(high - low)  # type: ignore[operator]


def _one_channel(image: Image.Image) -> Gray:
    """Luminance, unless one colour channel shows clearly more: yellow ink on white is plain to see in blue."""
    luminance: Gray = np.asarray(image.convert("L"), np.uint8)
    small = np.asarray(image.resize((64, 64), Image.Resampling.BOX) if min(image.size) > 64 else image, np.float32)
    spread = small.std((0, 1))  # (3,)
    best = int(spread.argmax())
    if spread[best] > 1.5 * (small @ LUMINANCE).std():
        return np.array(image, np.uint8)[..., best]
    return luminance
