"""The reader: numbers of a picture in order, with boxes, patterns, and reasons where there is none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import inkdigit
import inkdigit.reading.reader as module
from inkdigit.errors import NotAPicture, OtherTask, PictureError, UsageError
from inkdigit.reading import ctc
from inkdigit.reading.finder import find
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import LEANS, leaning
from inkdigit.types import NO_INK, NOT_A_NUMBER, UNSURE

from .conftest import page, write


def test_a_number_is_read_with_its_place_and_that_of_each_digit(reader):
    sheet = page((120, 400))
    top, left, bottom, right = write(sheet, "20417", 40, 60)
    (reading,) = reader.read(sheet)
    assert (reading.text, reading.reason) == ("20417", None)
    (number,) = reading.numbers
    assert reading.confidence == number.confidence > 0.5
    assert [digit.label for digit in number.digits] == [*"20417"]
    lefts = [digit.box[1] for digit in number.digits]
    assert lefts == sorted(lefts)
    assert number.box[0] <= top
    assert number.box[1] <= left
    assert number.box[2] >= bottom
    assert number.box[3] >= right
    assert all(number.box[1] - 4 <= digit.box[1] < digit.box[3] <= number.box[3] + 4 for digit in number.digits)


def test_the_numbers_of_a_page_are_joined_in_the_order_of_reading(reader):
    sheet = page((500, 800))
    for i, (text, top, left) in enumerate([("305", 60, 50), ("8842", 70, 480), ("96203", 300, 90)]):
        write(sheet, text, top, left, height=50, seed=i)
    (reading,) = reader.read(sheet)
    assert reading.text == "305 8842 96203"
    assert [number.text for number in reading.numbers] == ["305", "8842", "96203"]
    assert reading.confidence == pytest.approx(np.prod([number.confidence for number in reading.numbers]))


def test_a_pattern_holds_while_it_is_decoded(reader):
    sheet = page((120, 400))
    write(sheet, "20417", 40, 60)
    assert reader.read(sheet, expect=r"\d{5}")[0].text == "20417"
    four = reader.read(sheet, expect=r"\d{4}")[0]
    assert len(four.text or four.numbers[0].text) == 4
    assert four.confidence < 0.5
    assert set(reader.read(sheet, alphabet="0-3")[0].numbers[0].text) <= set("0123")


@pytest.mark.parametrize(
    ("expect", "alphabet", "text"),
    [
        ("[", None, "is not a regular expression"),
        ("abc", None, "No number fits"),
        (None, "0-9A", "does not know A"),
        ("", None, "is empty"),
        (None, ".,", "has no digit"),
        (r"\d{5000}", None, "too large"),
        (r"((\d?){400})*", None, "too large"),
        ("(" * 60 + "1" + ")*" * 60, None, "nested too deep"),
        ("(){0,100000000}", None, "too large"),
        ("((((){9}){9}){9}){9}" * 20, None, "too large"),
    ],
)
def test_a_pattern_that_cannot_be_is_one_error_before_anything_is_read(reader, expect, alphabet, text):
    with pytest.raises(UsageError, match=text):
        reader.read(b"no picture", expect=expect, alphabet=alphabet)


def test_without_a_number_there_is_a_reason(reader):
    empty, word = reader.read([page((80, 300)), _word("Hamburg")])
    assert (empty.text, empty.reason, empty.numbers) == ("", NO_INK, ())
    assert word.text == ""
    assert word.reason in (NOT_A_NUMBER, UNSURE)


@pytest.fixture
def doubtful(monkeypatch):
    """A number whose ink looks like a word, and of which the reader is so sure."""

    def read(text: str, confidence: float, **limits: str):
        sheet = page((120, 400))
        write(sheet, text.replace(".", ""), 40, 60)
        monkeypatch.setattr(module, "find", lambda gray: [replace(line, number=0.2) for line in find(gray)])
        digits = tuple((i, i + 1) for i in range(len(text)))
        decoded = ctc.Decoded(text, math.log(confidence), digits, (confidence,) * len(text))
        monkeypatch.setattr(Reader, "_decoded", lambda *_: (decoded, 100))
        return Reader.load().read(sheet, **limits)[0]

    return read


@pytest.mark.parametrize(
    ("text", "confidence", "limits", "reason"),
    [
        ("2047", 0.6, {}, None),
        ("2047", 0.4, {}, NOT_A_NUMBER),
        ("0011", 0.6, {}, None),
        ("1", 0.95, {}, None),
        ("1", 0.85, {}, NOT_A_NUMBER),  # a stroke alone is any drawing
        ("1", 0.6, {"alphabet": "0-9"}, None),
        ("2047", 0.6, {"expect": r"\d{4}"}, None),
        ("2047", 0.6, {"alphabet": "0-9"}, None),
        ("2047", 0.4, {"alphabet": "0-9"}, UNSURE),  # a word is hardly surer
    ],
)
def test_what_looks_like_a_word_must_be_likely_and_a_letter_sure(doubtful, text, confidence, limits, reason):
    reading = doubtful(text, confidence, **limits)
    assert reading.reason == reason
    assert reading.text == ("" if reason else text)


@pytest.mark.parametrize(("limits", "reason"), [({}, NOT_A_NUMBER), ({"alphabet": "0-9"}, UNSURE)])
def test_a_line_much_wider_than_its_characters_is_no_number(reader, monkeypatch, limits, reason):
    sheet = page((120, 400))
    write(sheet, "2047", 40, 60)
    decoded = ctc.Decoded("1", math.log(0.99), ((0, 1),), (0.99,))
    monkeypatch.setattr(Reader, "_decoded", lambda *_: (decoded, 100))
    assert reader.read(sheet, **limits)[0].reason == reason


def test_ones_and_zeros_of_one_hand_are_numbers(reader):
    """Of this hand every 101 looks like a word."""
    for text in ("100", "101", "0011", "1001"):
        for seed in range(3):
            sheet = page((120, 400), seed)
            write(sheet, text, 40, 60, seed=seed)
            assert reader.read(sheet, alphabet="0-9")[0].reason != NOT_A_NUMBER


def test_with_an_alphabet_a_word_is_still_refused(reader):
    for word in ("Hamburg", "Meter", "Name"):
        assert reader.read(_word(word), alphabet="0-9")[0].text == ""


def test_a_picture_that_cannot_be_read_is_an_error_in_its_place(reader):
    answers = list(reader.read_each([b"nothing", page((40, 40))]))
    assert isinstance(answers[0], PictureError)
    assert answers[1].reason == NO_INK
    with pytest.raises(NotAPicture):
        reader.read([page((40, 40)), b"nothing"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (3, 3), (2000, 40)])
def test_pictures_of_odd_shapes_are_answered(reader, shape):
    assert reader.read(page(shape))[0].text == ""


def test_forty_digits_in_a_line_are_read_or_refused(reader):
    sheet = page((90, 2400))
    write(sheet, "1234567890" * 4, 20, 30, height=40)
    (reading,) = reader.read(sheet)
    assert len(reading.numbers) == 1
    assert len(reading.numbers[0].text) >= 35


def test_views_that_lean_stand_where_the_first_one_leaned():
    seen = np.zeros((2, 48, 64), np.uint8)
    rows = np.arange(48)
    for lean in LEANS:
        seen[:] = 0
        seen[1, rows, np.rint(32 - lean * (rows + 0.5 - 24)).astype(int)] = 255  # top right where lean > 0
        moved = leaning(seen)
        assert moved.shape == (len(LEANS), 2, 48, 96)
        upright = [int(np.count_nonzero(one[1].sum(axis=0))) for one in moved]
        assert int(np.argmin(upright)) == LEANS.index(-lean)
    assert not leaning(np.full((2, 48, 64), 9, np.uint8))[:, 1, 24, :2].any()  # no ink beside the view


def test_the_answer_does_not_depend_on_its_neighbours(reader):
    sheets = [page((120, 400), seed) for seed in range(3)]
    for sheet, text in zip(sheets, ("20417", "3", "88"), strict=True):
        write(sheet, text, 40, 60)
    together = reader.read(sheets)
    assert [one.to_json() for one in together] == [reader.read(sheet)[0].to_json() for sheet in sheets]


def test_models_of_the_other_task_say_what_reads_them():
    with pytest.raises(OtherTask, match="inkdigit predict"):
        Reader.load("tiny")
    with pytest.raises(OtherTask, match="inkdigit read"):
        inkdigit.load("line")
    with pytest.raises(UsageError, match="There is no model 'lines'"):
        Reader.load("lines")


def test_the_public_function_reads_what_the_reader_reads(reader):
    sheet = page((120, 400))
    write(sheet, "305", 40, 60)
    assert inkdigit.read([Image.fromarray(sheet)]) == reader.read(sheet)


def _word(text: str) -> np.ndarray:
    """A printed word on paper."""
    from PIL import ImageDraw, ImageFont

    image = Image.fromarray(page((100, 400)))
    ImageDraw.Draw(image).text((30, 25), text, 40, ImageFont.load_default(44))
    return np.asarray(image)


def test_boxes_are_in_the_pixels_of_the_picture_that_was_sent(reader, tmp_path):
    sheet = page((2400, 3200))
    top, left, bottom, right = write(sheet, "20417", 1500, 1900, height=120)
    path = tmp_path / "photo.jpg"
    Image.fromarray(sheet).save(path, quality=92)  # decoded with fewer pixels
    for picture in (path, sheet):
        (reading,) = reader.read(picture)
        assert reading.text == "20417"
        box = reading.numbers[0].box
        assert np.abs(np.subtract(box, (top, left, bottom, right))).max() < 80
        assert all(digit.box[1] >= box[1] - 9 and digit.box[3] <= box[3] + 9 for digit in reading.numbers[0].digits)


def test_a_turned_photo_has_boxes_of_the_turned_picture(reader, tmp_path):
    sheet = page((300, 900))
    write(sheet, "305", 100, 600, height=60)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    path = tmp_path / "turned.jpg"
    Image.fromarray(np.rot90(sheet).copy()).save(path, exif=exif, quality=95)
    (reading,) = reader.read(path)
    assert reading.text == "305"
    assert reading.numbers[0].box[1] > 550
