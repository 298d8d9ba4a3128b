"""From anything that holds an image to gray `uint8 (H, W)`.

In: a path, the bytes of a file, a PIL image or an array. Out: gray uint8 (H, W), turned as its EXIF tag
demands, its transparent parts on white. Only the formats of a list are opened. The header of a file is read once,
before its pixels are decoded. There are bounds on the pixels of an image, on the bytes that are read for its header,
and on the pixels that all threads decode at a time.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Condition, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from inkdigit.errors import NotAPicture, PictureError, PictureTooLarge, reason_of
from inkdigit.picture.gray import WORK_SIDE_PX, to_gray
from inkdigit.picture.pixels import SupportsArray, check_numbers, one_image, split_array, to_array, to_uint8
from inkdigit.types import Gray

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MAX_BYTES = 64 * 2**20  # of a file: more than a photo of 64 megapixels has
NOT_WAITING = getattr(os, "O_NONBLOCK", 0)  # of POSIX systems: only they have pipes that make `open` wait
USUAL_BYTES = 64 * 2**10  # read of a file first: most small images have less
MAX_PIXELS = 64_000_000  # of an image, and of all that are decoded at a time: 200 MB in colour
MAX_SIDE_PX = 20_000  # a longer strip is not an image of a digit
# Copies of each pixel that a format needs while it is decoded; the others need one. 64 megapixels of WebP took 1 GB.
COPIES = {"WEBP": 3}
MAX_WEBP_PIXELS = MAX_PIXELS // 2  # for the same reason
JPEG_SIDE_PX = 512  # a JPEG of 12 megapixels has 1,000×750 then, and a digit of 120 px still 30
PAGE_SIDE_PX = 1400  # the same for a page with numbers: a digit of 40 px still has 20
MAX_READS = 200_000  # reads of a file. The largest PNG of ordinary blocks (8 kB) takes some 30,000
MAX_TIMES, FIRST_BYTES = 4, 2**20  # how often a file may be read, beside its first bytes: good ones are read twice

# What Pillow raises on broken files, beside UnidentifiedImageError (which is an OSError).
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    AssertionError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image whose header was read: its pixels are not decoded yet, but their number is known.

    It is decoded once and is closed then, unless the caller opened its PIL image.
    """

    image: Image.Image
    name: str  # for messages
    pixels: int  # in memory, while it is decoded
    size: tuple[int, int]  # its own width and height, however it is decoded
    is_ours: bool  # whether the PIL image was opened here


Picture = str | Path | bytes | bytearray | memoryview | Image.Image | NDArray[Any] | SupportsArray | list[Any] | Opened
Pictures = Picture | list[Any] | tuple[Any, ...]  # one or several: `split_pictures` says which

_FROM_PILLOW = re.compile(r"PIL\.")


class _Silence:
    """No warnings of Pillow while any thread decodes; other warnings are shown.

    Broken EXIF needs no warning: what can be read is read. Pixels are counted here, not by Pillow's warning.
    `catch_warnings` is not safe with threads: it restores the filters, also those that another thread has changed.
    """

    def __init__(self) -> None:
        self._lock, self._depth = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                warnings.filterwarnings("ignore", module=_FROM_PILLOW.pattern)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                with suppress(ValueError):  # other code has set the filters again
                    warnings.filters.remove(("ignore", None, Warning, _FROM_PILLOW, 0))  # type: ignore[attr-defined]


class PixelBudget:
    """The number of pixels that all threads of the process may decode at a time; a single image may have more."""

    def __init__(self, pixels: int) -> None:
        """Begin with `pixels`, none of them in use."""
        self._all = self._free = pixels
        self._turn, self._changed = Lock(), Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for `pixels` more, and hold it for the time of the block."""
        pixels = min(pixels, self._all)
        with self._turn, self._changed:  # a thread that needs much is not overtaken by those that need little
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify()


class _Source:
    """The bytes of a file as Pillow reads them: with a bound on the number of reads and on the bytes in all.

    A header may consist of a million empty blocks, or refer to the same million bytes a thousand times.
    """

    def __init__(self, data: bytes) -> None:
        file = BytesIO(data)
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self._reads, self._bytes = MAX_READS, MAX_TIMES * len(data) + FIRST_BYTES

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left.

        Raises:
            OSError: too many reads, or too many bytes in all.
        """
        data = self._read(size)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise OSError("it is made of too many pieces")
        return data


SILENCE = _Silence()
BUDGET = PixelBudget(MAX_PIXELS)


def decode(source: Picture, *, max_pixels: int = MAX_PIXELS) -> Gray:
    """Read one image as gray uint8 (H, W); one of more than 4 megapixels becomes about 1,024 px a side.

    An array is gray (H, W), or has one axis more: 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA) long, the last or the
    first. See `to_uint8` for its values. Tensors and nested lists are arrays.

    Raises:
        NotAPicture: the bytes are not an image of a known format.
        PictureTooLarge: more pixels in memory than `max_pixels`; more than 64 megapixels, 20,000 pixels a side, 64 MiB.
        PictureError: the image is truncated or broken, or the array is not an image.
    """
    source = _tensor_or_lists(source)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    return _load(open_picture(source, max_pixels=max_pixels))


def decode_page(source: Picture, *, max_pixels: int = MAX_PIXELS) -> tuple[Gray, tuple[int, int]]:
    """Read one image in which small writing is looked for: gray uint8 (H, W), nothing cut off, with more pixels.

    The second is the height and width of the picture itself, turned as `gray` is. Raises the errors of `decode`.
    """
    source = _tensor_or_lists(source)
    if isinstance(source, np.ndarray):
        source = one_image(source)
        gray = _from_array(source, max_pixels, whole=True)
        h, w = source.shape[:2]
    else:
        opened = open_picture(source, max_pixels=max_pixels, side_px=PAGE_SIDE_PX)
        gray = _load(opened, whole=True)
        w, h = opened.size
    is_turned = (gray.shape[0] > gray.shape[1]) != (h > w)
    return gray, (w, h) if is_turned else (h, w)


def open_picture(source: Picture, *, max_pixels: int = MAX_PIXELS, side_px: int = JPEG_SIDE_PX) -> Opened:
    """Read the header of an image; `decode` does the rest. A JPEG will have at least `side_px` pixels a side.

    Raises:
        NotAPicture: the bytes are not an image of a known format.
        PictureTooLarge: more pixels in memory than `max_pixels`; more than 64 megapixels, 20,000 pixels a side, 64 MiB.
        PictureError: the header is broken, or `source` is of another type.
    """
    match source:
        case Opened():
            opened = source
        case Image.Image():
            opened = Opened(source, "the image", source.width * source.height, source.size, is_ours=False)
        case bytes() | bytearray() | memoryview():
            opened = _open(_bytes_of(source), "the bytes", side_px)
        case str() | Path():
            opened = _open(_read(Path(source)), str(source), side_px)
        case _:
            raise PictureError(
                "This is not something that an image can be read from",
                expected="a path, bytes, a PIL image or an array",
                received=type(source).__name__,
            )
    if opened.pixels > max_pixels:
        limit = f"at most {max_pixels / 10**6:g} megapixels, or a JPEG that is neither progressive nor thin"
        raise _too_large(opened.name, opened.image.size, limit)
    return opened


def split_pictures(pictures: Pictures) -> Sequence[Picture]:
    """Tell one image from several: the list of single images, or an array (N, H, W) as it is.

    A list is one of images, unless it is one of lists of numbers: these are an array. See `pixels` for the axes.

    Raises:
        PictureError: an array that is neither; see `split_array`.
    """
    pictures = _tensor_or_lists(pictures)
    if isinstance(pictures, np.ndarray):
        return split_array(pictures)  # type: ignore[return-value]
    if isinstance(pictures, list | tuple):
        return pictures
    return [pictures]  # `decode` raises the error


def _tensor_or_lists(source: Any) -> Any:
    """The array of a tensor or of nested lists; what `decode` has other ways for, as it is."""
    if isinstance(source, np.ndarray | Image.Image | bytes | bytearray | memoryview | str | Path):
        return source
    return to_array(source)


def _from_array(array: NDArray[Any], max_pixels: int, *, whole: bool = False) -> Gray:
    array = one_image(check_numbers(array))
    pixels = np.ascontiguousarray(to_uint8(array))
    if array.ndim == 2 and array.size < min(4 * WORK_SIDE_PX**2, max_pixels + 1):  # nothing to convert or to reduce
        return pixels
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]] if array.ndim == 3 else "L"
    return _load(open_picture(Image.fromarray(pixels, mode), max_pixels=max_pixels), whole=whole)


def _bytes_of(source: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(source)
    except ValueError as exc:
        raise PictureError("The memory of the image was released", hint="Pass a copy of its bytes.") from exc


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise NotAPicture(f"{path} is a directory", expected="an image file")
        # `open` waits for the writer of a pipe, unless a flag says otherwise.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NOT_WAITING)) as file:
            if NOT_WAITING and sys.platform != "win32":
                os.set_blocking(file.fileno(), True)
            # A device has no size and no end. To allocate MAX_BYTES for every small image would be slow.
            data = file.read(USUAL_BYTES)
            if len(data) == USUAL_BYTES:
                data += file.read(MAX_BYTES + 1 - USUAL_BYTES)
    except FileNotFoundError as exc:
        raise PictureError(f"There is no file {path}") from exc
    except OSError as exc:
        raise PictureError(f"{path} cannot be opened: {reason_of(exc)}") from exc
    except ValueError as exc:  # a NUL in the name
        raise PictureError(f"{str(path)!r} is not a file name ({exc})") from exc
    if len(data) > MAX_BYTES:
        raise PictureTooLarge(f"{path} is too large", expected=f"at most {MAX_BYTES >> 20} MiB")
    return data


def _open(data: bytes, name: str, side_px: int) -> Opened:
    """Open the bytes of a file; a JPEG will be decoded at the smallest scale with `side_px` pixels a side."""
    if not data:
        raise NotAPicture(f"{name}: empty, no image in it")
    try:
        with SILENCE:
            image = Image.open(_Source(data), formats=FORMATS)  # type: ignore[arg-type]
            _check_size(image, name)
            size, full_pixels = image.size, image.width * image.height
            image.draft("RGB", (side_px, side_px))  # only JPEG: 12 megapixels in a tenth of the time
    except Image.DecompressionBombError as exc:
        raise _too_large(name, "more than that", _limit(MAX_PIXELS)) from exc
    except UnidentifiedImageError as exc:
        raise NotAPicture(
            f"{name}: not an image that can be opened", expected="PNG, JPEG, BMP, GIF, TIFF or WebP"
        ) from exc
    except _BROKEN as exc:
        raise PictureError(f"{name}: the image is broken ({exc})") from exc
    progressive = bool(image.info.get("progressive"))  # such a JPEG needs memory for all of its pixels
    return Opened(image, name, full_pixels if progressive else image.width * image.height, size, is_ours=True)


def _load(opened: Opened, *, whole: bool = False) -> Gray:
    """Decode an opened image, and translate what Pillow raises where it is broken."""
    image, name = opened.image, opened.name
    try:
        with SILENCE, BUDGET.hold(opened.pixels * COPIES.get(image.format or "", 1)):
            _check_size(image, name)
            image.load()
            return to_gray(image, whole=whole)
    except _BROKEN as exc:
        reason = str(exc) or "its parts do not fit together"
    finally:
        if opened.is_ours:
            image.close()
    # Not `from exc`: its traceback would hold the pixels for as long as the error is held.
    raise PictureError(f"{name}: the image is cut short or broken ({reason})")


def _check_size(image: Image.Image, name: str) -> None:
    max_pixels = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > max_pixels or max(image.size) > MAX_SIDE_PX:
        raise _too_large(name, image.size, _limit(max_pixels))
    if 0 in image.size:
        raise PictureError(f"{name}: no pixels in it", received=f"{image.width}×{image.height}")


def _limit(pixels: int) -> str:
    return f"at most {pixels // 10**6} megapixels and {MAX_SIDE_PX:,} pixels a side"


def _too_large(name: str, size: tuple[int, int] | str, limit: str) -> PictureTooLarge:
    received = size if isinstance(size, str) else f"{size[0]:,}×{size[1]:,}"
    return PictureTooLarge(f"{name}: too many pixels", expected=limit, received=received, hint="Scale it down first.")
