"""Insight: the pictures of what decided, and the page of one picture explained."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from inkdigit.model.explain import Explanation
from inkdigit.report import explain, run
from inkdigit.report.explain import Example, Explained, Insight
from inkdigit.types import DIGITS, Prediction

from .test_run import HOSTILE, Tags, content

RNG = np.random.default_rng(0)
BLANK = Explanation(np.zeros((28, 28), np.uint8), Prediction(None, reason="no ink"), DIGITS, None)


def ink() -> np.ndarray:
    picture = np.zeros((28, 28), np.uint8)
    picture[6:22, 12:16] = 255
    return picture


def explained(answer: str | None = "1", *, gradients: bool = True, classes: tuple[str, ...] = DIGITS) -> Explanation:
    occlusion, inner = RNG.normal(size=(2, 28, 28)).astype(np.float32)
    probs = np.full(len(classes), 0.02 / (len(classes) - 1), np.float32)
    probs[1 if answer is None else classes.index(answer)] = 0.98
    prediction = Prediction(answer, 0.98, probs, 1.0, None if answer else "unsure")
    return Explanation(ink(), prediction, classes, occlusion, inner if gradients else None)


def example(label: str = "1", *, gradients: bool = True) -> Example:
    return Example(explained(gradients=gradients), label)


def several(*, examples: int = 3, channels: int = 16, layers: tuple[str, ...] = ("block1_conv1",)) -> Insight:
    maps = {name: RNG.normal(size=(examples, channels, 9, 9)).astype(np.float32) for name in layers}
    filters = RNG.normal(size=(channels, 3, 3)).astype(np.float32)
    return Insight(tuple(example() for _ in range(examples)), (example("7"),), filters, maps)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def test_ink_for_is_orange_against_is_blue_and_paper_stays_black():
    values = np.zeros((28, 28), np.float32)
    values[:6] = 100  # on paper: no measure
    values[6:11], values[11:16] = 2, -2
    tinted = explain.tint(ink(), values)
    assert tinted.shape == (28, 28, 3)
    assert not tinted[:, :12].any()
    assert tuple(tinted[8, 13]) == ImageColor.getrgb(explain.FOR)
    assert tuple(tinted[13, 13]) == ImageColor.getrgb(explain.AGAINST)
    assert tuple(tinted[20, 13]) == ImageColor.getrgb(explain.NEITHER)
    faint = np.where(ink() > 0, 51, 0).astype(np.uint8)
    assert (explain.tint(faint, values)[8, 13] <= tinted[8, 13] / 5 + 1).all()


def test_nothing_that_decides_is_grey():
    assert (explain.tint(ink(), np.zeros((28, 28), np.float32))[ink() > 0] == ImageColor.getrgb(explain.NEITHER)).all()
    assert not explain.tint(np.zeros((28, 28), np.uint8), np.ones((28, 28), np.float32)).any()


def test_filters_share_one_scale():
    filters = np.zeros((2, 3, 3), np.float32)
    filters[0], filters[1] = -1.0, 0.5
    plate = opened(explain.filter_plate(filters))
    none, _, below = (np.array(ImageColor.getrgb(colour)) for colour in explain.WEIGHT_COLOURS)
    assert tuple(plate[35, 35, :3]) == tuple(below)  # the strongest, and it is negative
    assert plate[35, 78 + 35, 0] > plate[35, 78 + 35, 2]  # half as strong, and positive: orange
    level = opened(explain.filter_plate(np.zeros((1, 5, 5), np.float32)))
    assert tuple(level[35, 35, :3]) == tuple(none)


def test_each_map_has_its_own_scale():
    maps = np.zeros((1, 3, 2, 2), np.float32)
    maps[0, 0, 0] = 1e-3
    maps[0, 1, 0] = 1e3
    plate = opened(explain.map_plate([ink()], maps))
    first, second, level = (plate[:, x : x + 56] for x in (68, 128, 188))
    assert np.array_equal(first, second)
    assert tuple(first[10, 10, :3]) == (255, 255, 255)
    assert level[10, 10, 3] == 0  # level: nothing, with a stroke and an edge
    assert tuple(level[27, 28]) == tuple(level[0, 28]) == (explain.EDGE, explain.EDGE, explain.EDGE, 255)


@pytest.mark.parametrize(("channels", "columns", "rows"), [(1, 1, 1), (8, 8, 1), (16, 8, 2), (32, 8, 3), (512, 8, 3)])
def test_channels_stand_in_even_rows_and_the_first_are_shown(channels: int, columns: int, rows: int):
    plate = Image.open(io.BytesIO(explain.map_plate([ink()] * 3, np.zeros((3, channels, 4, 4), np.float32))))
    height = rows * 60 - 4  # of the image at the left, and of the maps beside it
    assert plate.size == (height + 12 + columns * 60 - 4, 3 * height + 2 * 12)


def test_between_the_tiles_there_is_nothing_and_around_each_an_edge():
    plate = opened(explain.montage([[ink(), None], [ink(), ink()]], side=28, gap=4))
    for edge in (plate[0, :28], plate[27, :28], plate[:28, 0], plate[:28, 27], plate[0, 32:]):
        assert (edge == (explain.EDGE, explain.EDGE, explain.EDGE, 255)).all()
    assert plate.shape == (60, 60, 4)
    assert not plate[:28, 28:32, 3].any()
    assert not plate[28:32, :, 3].any()
    assert (plate[32:, 32:, 3] == 255).all()


def test_maps_that_are_level_are_counted_on_the_page():
    insight = several(examples=1, channels=40)
    maps = {name: some.copy() for name, some in insight.maps.items()}
    maps["block1_conv1"][:, :9] = 0.5
    assert "9 of the 24 maps are level" in explain.page(page_data(insight=replace(insight, mistakes=(), maps=maps)))
    assert "level" not in explain.page(page_data())


def test_every_picture_has_a_name():
    drawn = explain.draw(several(layers=("stem_conv", "block1_residual1.conv2")))
    saliency = {"saliency-1", "saliency-2", "saliency-3", "mistake-1"}
    assert set(drawn) == saliency | {"filters", "maps-stem_conv", "maps-block1_residual1.conv2"}
    assert Image.open(io.BytesIO(drawn["mistake-1"])).size == (3 * 148 - 8, 140)
    assert explain.draw(Insight(())) == {}
    alone = explain.draw(Insight((example(gradients=False),)))
    assert Image.open(io.BytesIO(alone["saliency-1"])).size == (2 * 148 - 8, 140)


def page_data(**fields: object) -> Explained:
    some = Explained(
        name="7.png",
        given=RNG.integers(0, 256, (900, 700)).astype(np.uint8),
        explanation=explained(),
        facts={"runner-up": "7, 1.50 %"},
        insight=replace(several(examples=1, channels=40), mistakes=()),
    )
    return replace(some, **fields)


def test_the_page_of_a_picture_stands_alone():
    html = explain.page(page_data())
    tags = Tags(html)
    assert tags.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in tags.links())
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "iframe"}
    images = [attributes for tag, attributes in tags.seen if tag == "img"]
    assert len(images) == 6  # as given, as seen, occlusion, gradients, filters, one layer
    assert all(image["alt"] for image in images)
    assert (images[0]["width"], images[0]["height"]) == ("348", "448")
    for text in ("98.00 % sure", "7, 1.50 %", "40 filters of 3 × 3", "40 × 9 × 9, the first 24 of 40 channels"):
        assert text in html
    assert len(html) < 1_000_000


def test_the_page_says_of_which_layer_maps_are():
    insight = page_data().insight
    assert "After its activation; the image" in explain.page(page_data())
    html = explain.page(page_data(insight=replace(insight, activated=False)))
    assert "Before its activation; the image" in html
    assert "After its activation" not in html


def test_without_weights_the_page_says_what_is_left_out():
    html = explain.page(page_data(insight=Insight((example(gradients=False),), left_out="Gradients: pip install more")))
    assert "Gradients: pip install more" in html
    assert 'alt="The ink coloured by occlusion"' in html
    assert 'alt="The ink coloured by integrated gradients"' not in html
    assert "What each convolution sees" not in html


def test_a_picture_without_ink_is_told():
    html = explain.page(page_data(explanation=BLANK, insight=None))
    assert "There is no ink to explain." in html
    assert html.count("<img") == 2
    black = explain.page(
        page_data(explanation=replace(BLANK, prediction=explained().prediction), insight=None, prepare="plain")
    )
    assert "The image is black all over" in black
    assert not re.search(r"\bink\b|\bpaper\b", body(black))


def body(html: str) -> str:
    """What a page says, without its style."""
    return html[html.index("<body>") :]


def test_plain_pictures_have_parts_and_no_ink():
    some = page_data(prepare="plain", insight=replace(page_data().insight, prepare="plain"))
    html = explain.page(some)
    assert "Which part decided" in html
    assert "Orange parts spoke for the answer" in html
    assert "from a black image" in html
    assert not re.search(r"\bink\b|\bpaper\b", body(html))
    assert "Orange ink spoke for the answer" in explain.page(page_data())


def test_without_anything_from_inside_the_network_there_is_no_such_section():
    empty = Insight((example(),), filters=np.zeros((0, 1, 1), np.float32))
    assert "Inside the network" not in explain.page(page_data(insight=empty))
    assert "Inside the network" in explain.page(page_data())
    assert "Inside the network" in explain.page(page_data(insight=replace(empty, left_out="Gradients are not here.")))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (28, 28), (5000, 3)])
def test_any_shape_is_shown(shape: tuple[int, int]):
    assert "As given" in explain.page(page_data(given=np.zeros(shape, np.uint8)))


def test_hostile_names_on_the_page_are_text():
    for name in HOSTILE:
        hostile = explained(name, classes=(name, "b"))
        tags = Tags(explain.page(page_data(name=name, explanation=hostile, facts={name: name})))
        assert "script" not in {tag for tag, _ in tags.seen}
        assert any(name in text for text in tags.text)


def test_a_mistake_is_named_by_its_label_and_what_was_predicted():
    assert (example().title, example("7").title, Example(explained()).title) == ("1", "7 → 1", "1")
    assert example().note == "98.00 % sure"


def test_a_report_shows_what_it_is_given(tmp_path, monkeypatch):
    pixel = explain.montage([[ink()]], side=28)
    monkeypatch.setattr(run, "draw", lambda _story, *, theme: {"confusion": pixel})  # noqa: ARG005
    hostile = Example(explained(), HOSTILE[0])
    shown = replace(several(layers=("a.conv1", "b.3/4")), mistakes=(hostile,), left_out="Captum is not here.")
    run.write(tmp_path, replace(content(), insight=shown))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags(html)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert 'href="#insight"' in html
    assert all(text in html for text in ("a.conv1", "b.3/4", "Captum is not here."))
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {
        "confusion",
        *(stem.replace("/", "-") for stem in explain.draw(shown)),
    }
    run.write(tmp_path, content())
    assert 'id="insight"' not in (tmp_path / "report.html").read_text(encoding="utf-8")
