"""Arrays that hold images: one or several, and what their numbers mean.

In: an array of any shape and type, a tensor, nested lists. Out: single images, brightness as uint8; or one
`PictureError`. What the axes mean:

    (H, W)                  one gray image
    (H, W, 1..4)            one image, its channels last
    (N, H, W)               several gray images
    (N, H, W, 1..4)         several images, their channels last
    (N, 1..4, H, W)         several images, their channels first, as in PyTorch

Where two lines fit, the upper one counts, and W is 8 or more where no channels follow it: (3, 28, 28) is three gray
images, (2, 3, 28, 4) two images of four channels. In a list each item is one image: there (1..4, H, W) has its channels
first. Lists of lists of numbers are the array that they make.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inkdigit.errors import PictureError
from inkdigit.types import SIDE

MIN_WIDTH_PX = 8  # of a batch (N, H, W): a last axis of 5 to 7 would be more channels than images have
ROUNDING = 1e-3  # floats for 0 to 1 may be that far outside: resizing in float32 does that
MIN_OF_255 = 2.0  # floats with a maximum between 1 and this are neither within 0–1 nor an image of 0–255


class SupportsArray(Protocol):
    """What NumPy can make an array of: a tensor, a table."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """The array."""


def to_array(thing: Any) -> Any:
    """The array that a tensor or nested lists of numbers hold; anything else as it is.

    Raises:
        PictureError: a tensor that cannot be read, or rows of unequal length.
    """
    is_rows = isinstance(thing, list | tuple) and bool(thing) and isinstance(thing[0], list | tuple) and bool(thing[0])
    if isinstance(thing, np.ndarray) or not (is_rows or hasattr(thing, "__array__")):
        return thing
    if hasattr(thing, "detach"):  # a tensor of PyTorch, with gradients or on a GPU
        thing = thing.detach().cpu()
        thing = thing.float() if "bfloat16" in str(thing.dtype) else thing  # NumPy does not have it
    try:
        return np.asarray(thing)
    except (TypeError, ValueError, RuntimeError) as exc:
        if is_rows and isinstance(thing[0][0], list | tuple):
            return thing  # several images of different sizes
        raise PictureError(f"No array can be made of this {type(thing).__name__}: {exc}") from exc


def one_image(array: NDArray[Any]) -> NDArray[Any]:
    """An array that is one image as (H, W) or (H, W, 2..4), wherever its channels are.

    Raises:
        PictureError: it is not one image.
    """
    shape = array.shape
    if array.ndim == 3 and not 1 <= shape[2] <= 4 and 1 <= shape[0] <= 4 and shape[2] >= MIN_WIDTH_PX:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2 or (array.ndim == 3 and 1 <= array.shape[2] <= 4):
        return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    raise PictureError(
        "This array is not one image", expected="(H, W), (H, W, 1..4) or (1..4, H, W)", received=array.shape
    )


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
    """Tell one image from several: a list of one image, or an array (N, H, W) or (N, H, W, 2..4).

    The top of this file says what the axes mean.

    Raises:
        PictureError: an array of another shape; of three axes whose last is 5 to 7 long, most likely one image with
            too many channels; of rows that are flattened images; or of values that are not brightness.
    """
    array = check_numbers(array)
    if array.ndim == 4 and not 1 <= array.shape[3] <= 4 and 1 <= array.shape[1] <= 4 and array.shape[3] >= MIN_WIDTH_PX:
        array = np.moveaxis(array, 1, -1)
    shape = array.shape
    batch_of_colour = array.ndim == 4 and 1 <= shape[3] <= 4
    if array.ndim == 2 or (array.ndim == 3 and 1 <= shape[2] <= 4):
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
        expected=f"(H, W), (H, W, 1..4), (N, H, W) with W from {MIN_WIDTH_PX}, (N, H, W, 1..4) or (N, 1..4, H, W)",
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
