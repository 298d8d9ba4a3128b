"""Arrays that hold images: one or several, and what their numbers mean.

In: an array of any shape and type. Out: single images, brightness as uint8; or one `PictureError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import PictureError
from inkdigit.types import SIDE

MIN_WIDTH_PX = 8  # of a batch (N, H, W): a last axis of 5 to 7 would be more channels than images have
ROUNDING = 1e-3  # floats for 0 to 1 may be that far outside: resizing in float32 does that
MIN_OF_255 = 2.0  # floats with a maximum between 1 and this are neither within 0–1 nor an image of 0–255


def check_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """A plain array of the same numbers, whatever the class of `array`; nothing is copied.

    Raises:
        PictureError: its values are objects, text, complex numbers, dates or records, or some of them are masked.
    """
    if array.dtype.kind not in "buif":
        raise PictureError("These values are not brightness", expected="numbers", received=f"dtype {array.dtype}")
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        hint = "Fill them: array.filled(255), or another brightness."
        raise PictureError("Some pixels of the array are masked", hint=hint)
    return np.asarray(array)


def split_array(array: NDArray[Any]) -> NDArray[Any] | list[NDArray[Any]]:
    """Tell one image from several: a list of one image, or an array (N, H, W) or (N, H, W, C) as it is.

    An array of two axes is one gray image; of three, one colour image if the last axis is 2 to 4 long, else
    (N, H, W); of four, (N, H, W, C).

    Raises:
        PictureError: an array of another shape; of three axes whose last is 1 or 5 to 7 long, most likely one image
            with a needless axis or with too many channels; of rows that are flattened images; or of values that are
            not brightness.
    """
    array = check_numbers(array)
    shape = array.shape
    batch_of_colour = array.ndim == 4 and 1 <= shape[3] <= 4
    if array.ndim == 2 or (array.ndim == 3 and 2 <= shape[2] <= 4):
        if _is_flattened(array):
            raise PictureError(
                "These rows are flattened images of 28×28",
                expected="(N, 28, 28)",
                received=shape,
                hint="Use array.reshape(-1, 28, 28).",
            )
        return [array]
    if (array.ndim == 3 and shape[2] >= MIN_WIDTH_PX) or batch_of_colour:
        if shape[0] == 0:
            return []
        # The range of a float array is judged over all of its images.
        pixels = to_uint8(array)
        return pixels[..., 0] if batch_of_colour and shape[3] == 1 else pixels
    raise PictureError(
        "An array of this shape is not an image and not a batch of images",
        expected=f"(H, W), (H, W, 2..4), (N, H, W) with W of {MIN_WIDTH_PX} or more, or (N, H, W, 1..4)",
        received=shape,
    )


def _is_flattened(array: NDArray[Any]) -> bool:
    """Whether an image (N, 784) is a table of images: as 28×28, most rows with ink have an empty border."""
    if array.ndim != 2 or array.shape[1] != SIDE * SIDE or not array.any():
        return False
    ink = array[array.any(axis=1)].reshape(-1, SIDE, SIDE) != 0
    inside = ink[:, 1:-1, 1:-1].any(axis=(1, 2))
    border = ink[:, [0, -1]].any(axis=(1, 2)) | ink[:, :, [0, -1]].any(axis=(1, 2))
    return bool(np.mean(inside & ~border) > 0.5)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring the values of an array of any shape to uint8: bool, whole numbers 0–255, floats within 0–1 or 0–255.

    Raises:
        PictureError: a value that is not a number or outside these ranges, or an empty array.
    """
    array = check_numbers(array)
    if array.size == 0:
        raise PictureError("The image has no pixels", received=f"an array of shape {array.shape}")
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    is_float = array.dtype.kind == "f"
    scale = scale_of_numbers(array.min(), array.max(), is_float=is_float)
    pixels: NDArray[np.uint8] = (np.rint(np.clip(array * scale, 0, 255)) if is_float else array).astype(np.uint8)
    return pixels


def scale_of_numbers(low: Any, high: Any, *, is_float: bool) -> int:
    """The factor that makes brightness of numbers from `low` to `high`: 255 or 1.

    Raises:
        PictureError: they are neither within 0–1 nor within 0–255.
    """
    near = ROUNDING if is_float else 0.0
    if not (low >= -near and high <= 255) or (is_float and 1 + near < high < MIN_OF_255):  # NaN is never within
        raise PictureError(
            "The values of the image are out of range",
            expected="whole numbers 0 to 255, or floats within 0–1 or within 0–255",
            received=f"{low} to {high}" if np.isfinite(low) and np.isfinite(high) else "values that are not finite",
        )
    return 255 if is_float and high <= 1 + near else 1
