"""What objects show in a notebook: escaped, small, in the colours of the page, and whatever became of their files."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import inkdigit
from inkdigit import markup
from inkdigit.measure.metrics import measure
from inkdigit.types import DIGITS, Dataset, Number, Part, Prediction, Reading

VOID = ("img",)


class Reader(HTMLParser):
    """Checks that elements are closed in order; keeps names, texts and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.images: list[Image.Image] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            data = base64.b64decode(dict(attrs)["src"].partition("base64,")[2])
            self.images.append(Image.open(BytesIO(data)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def shown(thing) -> Reader:
    text = thing._repr_html_()
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    assert not re.search(r'[\s;"]color:|background:(white|black|#fff|#000)', text)  # the colours are those of the page
    return reader


BAD = "<script>alert(1)</script>&\"'"


def dataset(names=DIGITS, n=60) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 28, 28), np.uint8)
    return Dataset("a <b>set</b>", tuple(names), Part(images, np.arange(n) % len(names)))


def metrics(names):
    k = len(names)
    probs = np.eye(k, dtype=np.float32)
    predictions = [Prediction(names[i], 1.0, probs[i], 1.0) for i in range(k)]
    labels = np.arange(k)
    labels[0] = 1  # a mistake
    return measure(predictions, labels, classes=tuple(names), model=BAD, data=BAD, split="test")


@pytest.mark.parametrize(
    "thing",
    [
        Prediction(
            BAD, 0.9, np.array([0.9, 0.1], np.float32), 1.0, classes=(BAD, "b"), seen=np.eye(28, dtype=np.uint8)
        ),
        Reading(BAD, 0.9, (Number(BAD, 0.9, (0, 0, 9, 9)), Number("1", 0.5, (0, 9, 9, 20), reason=BAD))),
        replace(dataset(), name=BAD, classes=(BAD, *DIGITS[1:])),
        metrics([BAD, "b", "c"]),
        inkdigit.Recipe(name=BAD, about=BAD, data=BAD),
        inkdigit.Recipe.load("fast", {"name": BAD}),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_text_is_escaped(thing):
    read = shown(thing)
    assert "script" not in read.tags
    assert any(BAD in text for text in read.texts)


def test_a_prediction_shows_picture_and_what_was_seen(tmp_path):
    file = tmp_path / "large.png"
    Image.fromarray(np.pad(np.full((20, 160), 255, np.uint8), 120)).convert("RGB").save(file)
    (answer,) = inkdigit.load("tiny").predict(str(file))
    read = shown(answer)
    picture, seen = read.images
    assert max(picture.size) == markup.THUMBNAIL_PX
    assert np.array_equal(np.asarray(seen), answer.seen)
    assert seen.size == (28, 28)
    assert "classes" not in repr(answer)
    file.unlink()
    assert len(shown(answer).images) == 1
    assert "seen" not in answer.to_json()


def test_every_way_to_predict_keeps_what_was_seen(tmp_path):
    model = inkdigit.load("tiny")
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 4:24, 10:14] = images[2, 4:24, 6:20] = 255
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    together, listed, of_files = model.predict(images), model.predict(list(images)), model.predict(files)
    alone = [model.predict(image)[0] for image in images]
    for answers in (together, listed, of_files, alone):
        assert [answer.label for answer in answers] == [answer.label for answer in together]
        assert all(np.array_equal(a.seen, b.seen) for a, b in zip(answers, together, strict=True))
        assert all(answer.classes == model.classes for answer in answers)
    assert [answer.file for answer in of_files] == files
    assert {answer.file for answer in (*together, *listed, *alone)} == {None}


def test_boxes_of_a_reading_lie_on_the_turned_picture(tmp_path):
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°: 400 high, 800 wide in the file, 800 high and 400 wide as it is seen
    Image.fromarray(np.full((400, 800), 200, np.uint8)).save(file, exif=exif)
    text = Reading("1", 0.9, (Number("1", 0.9, (400, 200, 800, 400)),), file=file)._repr_html_()
    assert "position:relative;width:160px;height:320px" in text
    assert "left:80.0px;top:160.0px;width:80.0px;height:160.0px" in text


def test_few_kilobytes_also_with_many_classes():
    names = [f"class {i}" for i in range(200)]
    assert len(dataset(names, 4000)._repr_html_()) < 100_000
    read = shown(metrics(names))
    assert len(read.images) == 1  # a table would have 40,000 cells
    assert "class 1" in read.texts  # the most frequent mistake
    assert len(inkdigit.load("tiny")._repr_html_()) < 10_000


def test_a_recipe_says_what_differs():
    texts = shown(inkdigit.Recipe.load("fast", {"epochs": 7})).texts
    assert texts[texts.index("epochs") : texts.index("epochs") + 3] == ["epochs", "7", "1"]
    assert "As in the bundled fast." in shown(inkdigit.Recipe.load("fast")).texts


def test_curves_leave_out_what_cannot_be_drawn():
    points = [(1, np.nan), (2, np.inf), (3, 1e300)]
    assert markup.curves("loss", {"a": markup.BLUE}, {"a": points}) == ""
    drawn = markup.curves("loss", {"a": markup.BLUE}, {"a": [*points, (4, 0.5), *((i, 1.0) for i in range(5, 5000))]})
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert len(drawn) < 4000


def test_the_text_of_a_data_set_is_short():
    assert repr(dataset()) == (
        "Dataset(name='a <b>set</b>', classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), "
        "train=Part(60 images), test=None, prepare='ink')"
    )
