"""Many images: in their order, some at a time, large ones in threads; and silence while several threads decode."""

from __future__ import annotations

import threading
import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import inkdigit.picture.batch as reading
from inkdigit.errors import NotAPicture, PictureError
from inkdigit.picture.decode import SILENCE, decode
from inkdigit.picture.prepare import prepare

SMALL = [np.pad(np.full((20, 4 + i), 255, np.uint8), 4) for i in range(7)]


def paper(i: int) -> np.ndarray:
    """A large image: a stroke on white."""
    gray = np.full((200, 200), 250, np.uint8)
    gray[40:160, 90 : 100 + i] = 20
    return gray


def bmp(gray: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(gray).save(file, "BMP")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["ink", "plain"])
@pytest.mark.parametrize("before", [0, *range(reading.AT_A_TIME - 9, reading.AT_A_TIME, 3)])  # the first step ends
def test_small_and_large_images_keep_their_order_and_errors_their_places(tmp_path, kind, before):
    file = tmp_path / "large.bmp"
    file.write_bytes(bmp(paper(3)))
    error = PictureError("no such image")
    first = [SMALL[3]] * before
    readable = [SMALL[0], paper(0), file, SMALL[1], Image.fromarray(paper(9)), bmp(paper(4)), str(file), SMALL[2]]
    pictures = [*first, *readable[:3], b"nothing", *readable[3:6], error, b"x" * reading.LARGE, *readable[6:]]

    images, errors, begin = [], {}, 0
    for some, unread in reading.read_each(iter(pictures), kind):
        images.append(some)
        errors |= {begin + i: exc for i, exc in unread.items()}
        begin += len(some) + len(unread)
    assert begin == len(pictures)
    expected = np.stack([prepare(decode(one), kind) for one in [*first, *readable]])
    assert np.array_equal(np.concatenate(images), expected)
    assert list(errors) == [before + i for i in (3, 7, 8)]
    assert errors[before + 7] is error
    assert all(isinstance(errors[before + i], NotAPicture) for i in (3, 8))


def test_no_images_are_nothing_to_read():
    assert list(reading.read_each([], "ink")) == []


def test_one_pil_image_may_be_given_twice(tmp_path):
    Image.fromarray(paper(3)).save(tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as image:
        ((images, errors),) = reading.read_each([image, image, paper(3)], "ink")
    assert not errors
    assert np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])


@pytest.mark.parametrize("nothing", [None, 5, object()])
def test_what_no_image_can_be_read_from_is_an_error_in_its_place(nothing):
    ((images, errors),) = reading.read_each([SMALL[0], nothing], "ink")
    assert len(images) == 1
    assert isinstance(errors[1], PictureError)


def test_large_images_are_read_by_several_threads_at_once(monkeypatch):
    meeting = threading.Barrier(2, timeout=30)  # which one thread alone would never pass

    class Waiting(bytes):
        def __bytes__(self) -> bytes:
            meeting.wait()
            return self[:]

    monkeypatch.setattr(reading, "cores", lambda: 2)
    ((images, errors),) = reading.read_each([Waiting(bmp(paper(i))) for i in range(4)], "ink")
    assert len(images) == 4
    assert not errors


def test_images_are_taken_as_they_are_needed():
    taken = []
    chunks = reading.read_each((taken.append(i) or SMALL[i % 7] for i in range(3 * reading.AT_A_TIME)), "ink")
    next(chunks)
    assert len(taken) == reading.AT_A_TIME
    chunks.close()


@pytest.mark.parametrize("at", [0, 2])
def test_a_bug_comes_out_and_leaves_no_thread(at):
    class Broken(bytes):
        def __bytes__(self) -> bytes:
            raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(reading.read_each([*SMALL[:at], Broken(reading.LARGE), Broken(reading.LARGE)], "ink"))
    assert threading.active_count() == before


def warn_as(module):
    """A warning as if the code of `module` gave it."""
    warnings.warn_explicit("of no use", UserWarning, "file.py", 1, module=module)


def test_only_warnings_of_pillow_are_not_heard_and_the_filters_are_as_before_when_the_last_thread_is_done():
    before, entered, left = list(warnings.filters), threading.Event(), threading.Event()

    def other():
        with SILENCE:
            entered.set()
            left.wait(30)

    thread = threading.Thread(target=other)
    with SILENCE:
        thread.start()
        entered.wait(30)
        warn_as("PIL.TiffImagePlugin")
        with pytest.raises(UserWarning):
            warn_as("inkdigit.picture.decode")
        warnings.filterwarnings("ignore", module="ours")  # what others set meanwhile stays
    warn_as("PIL.PngImagePlugin")  # the other one is still at it
    left.set()
    thread.join()
    with pytest.raises(UserWarning):
        warn_as("PIL.PngImagePlugin")
    warn_as("ours")
    assert warnings.filters[1:] == before
