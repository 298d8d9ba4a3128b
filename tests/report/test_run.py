"""The report: figures, strict JSON and a page that needs no other file, for different runs."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkdigit.data.checks import check_dataset
from inkdigit.errors import MissingExtra, OutputError
from inkdigit.measure.metrics import measure, stack_probs
from inkdigit.report import run as run_page
from inkdigit.report import run_plots as plots
from inkdigit.report.canvas import DARK, LIGHT, dark_colours
from inkdigit.report.run import Content
from inkdigit.types import Dataset, Gray, Part, Prediction

RECIPE = 'protocol = "final"\nepochs = 2\nbatch = 64\n\n[net]\nfilters = [8, 16]\n'
DIGITS = tuple("0123456789")
HOSTILE = ('<script>alert("1")</script>', "$x_2$", "{{ 7 * 7 }}", "&amp; 'single'", "漢字 2")


def draw_images(labels: Any, rng: np.random.Generator) -> Gray:
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for i, label in enumerate(labels):
        images[i, 4 + label % 8 : 20, 6 : 10 + label % 12] = rng.integers(100, 256)
    return images


def epoch(number: int, *, validated: bool) -> dict[str, float]:
    row = {"epoch": number, "step": 40 * number, "learning_rate": 0.1 / number, "train_loss": 1 / number}
    row |= {"train_accuracy": 1 - 0.1 / number, "seconds": 1.5, "images_per_second": 4000.0}
    row |= {"validation_loss": 0.8 / number if validated else float("nan")}
    return row | ({"validation_accuracy": 0.9} if validated else {})


def content(
    classes: tuple[str, ...] = DIGITS, *, wrong: float = 0.2, validated: bool = False, epochs: int = 2
) -> Content:
    rng = np.random.default_rng(0)
    k = len(classes)
    labels = np.arange(4 * k, dtype=np.int64) % k
    images = draw_images(labels, rng)
    read = np.where(rng.random(len(labels)) < wrong, (labels + 1) % k, labels)
    probs = np.full((len(labels), k), 0.1 / (k - 1), np.float32)
    probs[np.arange(len(labels)), read] = 0.9
    predictions = [Prediction(classes[j], 0.9, row, 1.0) for j, row in zip(read, probs, strict=True)]
    predictions[1] = Prediction(None, reason="no ink")
    part = Part(images, labels)
    glimpses = [(int(label), np.repeat(images[label], 9, axis=0)) for label in range(k)]
    data = Dataset("drawn", classes, part, None if validated else part, glimpses=tuple(glimpses))
    name = "validation" if validated else "test"
    return Content(
        title="fast on drawn, seed 0",
        report_name=name,
        metrics=measure(predictions, labels, classes=classes, model="fast", data="drawn", split=name),
        check=check_dataset(data),
        history=[epoch(number + 1, validated=validated) for number in range(epochs)],
        steps=[{"step": i, "epoch": i / 40, "learning_rate": 0.1, "loss": 3.0 / (i + 1)} for i in range(40 * epochs)],
        images=images,
        labels=labels,
        probs=stack_probs(predictions, k),
        predictions=predictions,
        glimpses=glimpses,
        augmented=images[:k],
        augments=False,
        drops=False,
        trained=3 * k if validated else 4 * k,
        held_out=k if validated else 0,
        recipe_toml=RECIPE,
        environment={"argv": ["inkdigit", "train"], "versions": {"numpy": np.__version__}, "path": Path("here")},
        model={
            "file": "model.onnx",
            "bytes": 97123,
            "parameters": 24122,
            "layers": [
                {"name": "conv", "kind": "Conv2d", "kernel": "5×5, stride 2", "output": "8×14×14", "parameters": 208},
                {"name": "relu", "kind": "ReLU", "kernel": "", "output": "8×14×14", "parameters": 0},
            ],
            "temperature": 1.1,
        },
        seconds={"load": 0.2, "train": 4.25},
    )


def without_answers(shown: Content) -> Content:
    """The same images, none of which could be read."""
    none = [Prediction(None, reason="unreadable")] * len(shown.labels)
    metrics = measure(none, shown.labels, classes=shown.metrics.classes, model="m", data="d", split="test")
    return replace(shown, predictions=none, probs=np.full_like(shown.probs, np.nan), metrics=metrics)


class Tags(HTMLParser):
    """Collects tags with their attributes, and checks that each that is opened is closed."""

    VOID = frozenset({"meta", "img", "source", "br", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def links(self) -> Iterator[str]:
        for _, attributes in self.seen:
            yield from (value for key, value in attributes.items() if value and key in {"src", "srcset", "href"})


def written(folder: Path, shown: Content) -> tuple[dict[str, Any], str]:
    """What `write` left: report.json read strictly, and the page."""
    returned = run_page.write(folder, shown)

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not strict JSON")

    report = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert report == returned
    return report, (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The folder, the JSON and the page of ordinary content, made once."""
    folder = tmp_path_factory.mktemp("run")
    return folder, *written(folder, content())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of one pixel, for tests of everything but the figures."""
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    figures = dict.fromkeys(("glimpses", "loss", "accuracy", "confusion"), pixel.getvalue())
    monkeypatch.setattr(run_page, "draw", lambda _content, *, theme: dict(figures))  # noqa: ARG005


def test_the_report_of_a_run(run: tuple[Path, dict[str, Any], str]) -> None:
    shown = content()
    _, report, html = run
    assert report["accuracy"] == shown.metrics.accuracy
    assert report["accuracy_ci95"] == list(shown.metrics.accuracy_ci95)
    assert report["train_seconds"] == 4.25
    assert report["protocol"] == "final"
    assert report["recipe"]["net"]["filters"] == [8, 16]
    assert report["model"]["parameters"] == 24122
    assert report["environment"]["path"] == "here"
    assert report["final_epoch"]["epoch"] == 2
    assert report["final_epoch"]["validation_loss"] is None
    assert report["check"]["train"]["n"] == 40
    assert (
        len(report["worst_mistakes"]) == round(shown.metrics.n * (1 - shown.metrics.accuracy)) - 1
    )  # one image had no ink
    tags = Tags(html)
    assert tags.open == []
    assert "validation" not in html.partition("<body>")[2].lower()
    assert "95 % interval" in html
    assert f"{round(shown.metrics.accuracy * 40)} of 40 right" in html


@pytest.mark.usefixtures("undrawn")
def test_it_says_what_training_did_to_the_images_and_to_how_many(tmp_path: Path) -> None:
    _, plain = written(tmp_path / "a", content(validated=True))
    assert "on 30 images; 10 others were held out for validation" in plain
    assert "prepared; this recipe augments nothing" in plain
    assert "augmented" not in plain.partition('id="model"')[0]
    _, changed = written(tmp_path / "b", replace(content(), augments=True, drops=True))
    assert "prepared and augmented." in changed
    assert "still learns, on augmented images and with dropout." in changed
    assert "held out" not in changed


def test_the_layers_are_a_table(run: tuple[Path, dict[str, Any], str]) -> None:
    table = run[2].partition('<table class="layers">')[2].partition("</table>")[0]
    assert "conv <span>Conv2d</span></th><td>5×5, stride 2</td><td>8×14×14</td><td>208</td>" in table
    assert "relu <span>ReLU</span></th><td>–</td><td>8×14×14</td><td>–</td>" in table
    assert "24,122" in table


def test_every_figure_is_a_png_too(run: tuple[Path, dict[str, Any], str]) -> None:
    folder = run[0] / "plots"
    names = {path.stem for path in folder.iterdir()}
    curves = {"loss", "accuracy", "learning-rate"}
    data = {"class-distribution", "glimpses"}
    assert names == curves | data | {"confusion", "worst-mistakes", "answers", "reliability", "risk-coverage"}
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width > 600
            assert np.asarray(image.convert("RGB"))[0, 0].min() >= 253  # fits a white page


def test_the_page_needs_no_other_file(run: tuple[Path, dict[str, Any], str]) -> None:
    html = run[2]
    tags = Tags(html)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in tags.links())
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "iframe"}
    anchors = {link[1:] for link in tags.links() if link.startswith("#")}
    assert anchors <= {attributes.get("id") for _, attributes in tags.seen}
    assert len(html) < 2_000_000


def test_figures_follow_the_theme_and_images_keep_their_colours(run: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, html = run
    figures = len(list((folder / "plots").iterdir()))
    assert html.count('<img class="light"') == html.count('<img class="dark"') == 3  # grids of images
    assert html.count('<img class="plot"') == figures - 3
    assert html.count('<filter id="dark-colours"') == html.count("url(#dark-colours)") == 1
    for theme in (LIGHT, DARK):
        drawn = plots.learning_rate([], [{"epoch": 1.0, "learning_rate": 0.1}], theme=theme)
        with Image.open(io.BytesIO(drawn)) as image:
            corner = np.asarray(image.convert("RGB"))[0, 0].astype(int)
        assert np.abs(corner - list(bytes.fromhex(theme.panel[1:]))).max() <= 2
        assert f"--panel: {theme.panel};" in html


def test_a_light_figure_in_dark_colours_is_nearly_the_dark_one() -> None:
    rows = [{"epoch": float(i), "loss": 1 / i} for i in range(1, 9)]
    light, dark = (
        np.asarray(Image.open(io.BytesIO(plots.loss([], rows, theme=theme))).convert("RGB")) / 255
        for theme in (LIGHT, DARK)
    )
    recoloured = (dark_colours() @ np.append(light.reshape(-1, 3), np.ones((light[..., 0].size, 1)), axis=1).T).T
    difference = np.abs(recoloured.clip(0, 1).reshape(light.shape) - dark)
    assert np.abs(light - dark).mean() > 0.5
    assert difference.mean() < 0.02


def test_hostile_names_are_text(tmp_path: Path) -> None:
    shown = replace(content(HOSTILE), title="<img src=x onerror=alert(1)>", recipe_toml='note = "</pre><script>"\n')
    _, html = written(tmp_path, shown)
    tags = Tags(html)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert all("onerror" not in attributes for _, attributes in tags.seen)
    for name in HOSTILE:
        assert any(name in text for text in tags.text)


@pytest.mark.parametrize("k", [2, 12, 40])
def test_any_number_of_classes_is_drawn(k: int) -> None:
    drawn = run_page.draw(content(tuple(f"class {i}" for i in range(k)), epochs=1), theme=LIGHT)
    assert len(drawn) == 10
    for name, png in drawn.items():
        with Image.open(io.BytesIO(png)) as image:
            assert image.format == "PNG", name
            assert min(image.size) > 200, name


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("k", [2, 12, 256])
def test_any_number_of_classes_is_on_the_page(tmp_path: Path, k: int) -> None:
    report, html = written(tmp_path, content(tuple(f"class {i}" for i in range(k)), epochs=1))
    assert len(report["confusion"]) == k
    assert f'<th scope="row">class {k - 1}</th>' in html


@pytest.mark.usefixtures("undrawn")
def test_a_validation_report_is_marked(tmp_path: Path) -> None:
    report, html = written(tmp_path, content(validated=True, epochs=4))
    assert report["report_name"] == "validation"
    assert report["final_epoch"]["validation_accuracy"] == 0.9
    assert '<span class="badge validation">validation</span>' in html
    assert "The test set was not opened" in html


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_mistakes_says_so(tmp_path: Path) -> None:
    report, html = written(tmp_path, content(wrong=0.0))
    assert report["worst_mistakes"] == []
    assert "the model gave no wrong answer" in html


def test_figures_without_data_are_not_drawn() -> None:
    shown = without_answers(replace(content(DIGITS[:2]), history=[], steps=[], glimpses=[]))
    drawn = run_page.draw(shown, theme=LIGHT)
    assert set(drawn) == {"class-distribution", "confusion", "answers"}


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_never_answers(tmp_path: Path) -> None:
    report, html = written(tmp_path, without_answers(content(DIGITS[:3])))
    assert (report["nll"], report["brier"], report["ece"], report["coverage_at_999"]) == (None, None, None, None)
    assert report["reliability"]["accuracy"] == [None] * 15
    assert report["risk_coverage"] == {"confidence": [0.0], "coverage": [1.0], "risk": [1.0]}
    assert "0 of 12 right" in html


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_the_confidence_from_which_999_of_1000_are_right(tmp_path: Path) -> None:
    _, html = written(tmp_path, content(wrong=0.0))
    assert "fewer than 1,000 images" in html
    labels = np.zeros(2000, np.int64)
    high, low = (Prediction("0", p, np.array([p, 1 - p], np.float32), 1.0) for p in (0.875, 0.625))
    wrong = Prediction("1", 0.625, np.array([0.375, 0.625], np.float32), 1.0)
    answers = [high] * 1500 + [low] * 400 + [wrong] * 100
    metrics = measure(answers, labels, classes=("0", "1"), model="m", data="d", split="test")
    report, html = written(tmp_path, replace(content(DIGITS[:2]), metrics=metrics))
    assert (report["coverage_at_999"], report["confidence_at_999"]) == (0.75, 0.875)
    assert "75.00 %, those with a confidence of 0.875 or more" in html


@pytest.mark.usefixtures("undrawn")
def test_a_run_with_little_data_has_a_page(tmp_path: Path) -> None:
    shown = replace(content(DIGITS[:2]), history=[], steps=[], glimpses=[], model={}, environment={}, seconds={})
    report, _ = written(tmp_path, shown)
    assert report["train_seconds"] is None
    assert report["final_epoch"] is None


@pytest.mark.usefixtures("undrawn")
def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    written(tmp_path, content(DIGITS[:2], epochs=1))
    _, html = written(tmp_path, replace(content(DIGITS[:2], epochs=1), title="second"))
    assert "second" in html
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("taken", ["plots", "report.json", "report.html", "plots/loss.png"])
def test_a_failure_to_write_leaves_no_partial_file(tmp_path: Path, taken: str) -> None:
    in_the_way = tmp_path / taken
    if taken == "plots":
        in_the_way.write_text("a file where a folder should be", encoding="utf-8")
    else:
        in_the_way.mkdir(parents=True)
    with pytest.raises(OutputError, match=Path(taken).name) as caught:
        run_page.write(tmp_path, content(DIGITS[:2], epochs=1))
    assert caught.value.exit_code == 9
    for path in tmp_path.rglob("*.*"):
        assert path == in_the_way or path.suffix in {".png", ".json"}
        if path != in_the_way and path.suffix == ".json":
            json.loads(path.read_text("utf-8"))


def test_a_page_needs_jinja(tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"\[report\]") as caught:
        run_page.write(tmp_path / "run", content(DIGITS[:2]))
    assert caught.value.exit_code == 7
    assert not (tmp_path / "run").exists()


def test_figures_need_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="matplotlib"):
        plots.learning_rate([], [], theme=LIGHT)


def test_matplotlib_settings_are_not_changed() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.learning_rate([], [], theme=DARK)
    assert dict(matplotlib.rcParams) == before
