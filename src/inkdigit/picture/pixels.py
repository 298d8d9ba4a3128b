"""Arrays that hold pictures: one or several, and what their numbers mean.

In: an array of any shape and type. Out: single pictures, brightness as uint8; or one `PictureError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import PictureError
from inkdigit.types import SIDE

NARROWEST = 8  # pixels: in a batch (N, H, W); five to seven would be channels that no picture has
ROUNDING = 1e-3  # how far beyond 0 and 1 floats may be that are meant to be within: resizing and float32 do that
LEAST_OF_255 = 2.0  # floats whose greatest is between 1 and this are neither within 0–1 nor a picture of 0–255


def check_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """A plain array of the same numbers, whatever the class of `array`; nothing is copied.

    Raises:
        PictureError: its values are not brightness: objects, text, complex numbers, dates, records; or some are masked.
    """
    if array.dtype.kind not in "buif":
        raise PictureError("These values are not brightness", expected="numbers", received=f"dtype {array.dtype}")
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        hint = "Say what is there with array.filled(255), or another brightness."
        raise PictureError("Some pixels of the array are masked", hint=hint)
    return np.asarray(array)


def split_array(array: NDArray[Any]) -> NDArray[Any] | list[NDArray[Any]]:
    """Tell one picture from several: a list of one picture, or an array (N, H, W) or (N, H, W, C) as it is.

    An array of two axes is one gray picture; of three, one colour picture if the last axis is 2 to 4 long, else
    (N, H, W); of four, (N, H, W, C).

    Raises:
        PictureError: an array of another shape; of three axes whose last is 1 or 5 to 7 long, most likely one picture
            with a needless axis or with more channels than colours have; of rows that are pictures laid flat; or of
            values that are not brightness.
    """
    array = check_numbers(array)
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
        return pixels[..., 0] if batch_of_colour and shape[3] == 1 else pixels
    raise PictureError(
        "An array of this shape is not a picture and not a batch of pictures",
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
        PictureError: a value that is not a number or outside these ranges, or an empty array.
    """
    array = check_numbers(array)
    if array.size == 0:
        raise PictureError("The picture has no pixels", received=f"an array of shape {array.shape}")
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    is_float = array.dtype.kind == "f"
    scale = scale_of_numbers(array.min(), array.max(), is_float=is_float)
    pixels: NDArray[np.uint8] = (np.rint(np.clip(array * scale, 0, 255)) if is_float else array).astype(np.uint8)
    return pixels


def scale_of_numbers(low: Any, high: Any, *, is_float: bool) -> int:
    """What numbers from `low` to `high` are multiplied by to be brightness: 255 or 1.

    Raises:
        PictureError: they are neither within 0–1 nor within 0–255.
    """
    near = ROUNDING if is_float else 0.0
    if not (low >= -near and high <= 255) or (is_float and 1 + near < high < LEAST_OF_255):  # NaN is never within
        raise PictureError(
            "The values of the picture are out of range",
            expected="whole numbers 0 to 255, or floats within 0–1 or within 0–255",
            received=f"{low} to {high}" if np.isfinite(low) and np.isfinite(high) else "values that are not finite",
        )
    return 255 if is_float and high <= 1 + near else 1
