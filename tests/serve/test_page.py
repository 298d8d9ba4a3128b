"""The page in a real browser: draw, drop, paste, choose; what it says, how it looks, and what it must not do."""

from __future__ import annotations

import base64
import io
import math
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

from benchmarks.serving import drawing
from benchmarks.serving.drawing import DESKTOP, draw, strokes
from inkdigit.data.readers.corrections import export, read_list
from inkdigit.data.sources import open_data
from inkdigit.model.recognizer import load
from inkdigit.synth.glyphs import DIGIT_GLYPHS

from .conftest import MakeServer

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB = Path(__file__).parents[2] / "src/inkdigit/serve/web"
PHOTO = EXAMPLES / "7-pen-on-paper.png"
WAIT_MS = 60_000  # far above what a busy machine takes
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SCRIBBLE = [[(0.5 + 0.5 * math.sin(7.3 * t / 60), 0.5 + 0.5 * math.cos(11.9 * t / 40)) for t in range(80)]]
TOKEN = "open-sesame"


@dataclass
class Watched:
    """A page, the errors on its console, and the addresses of its requests."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Record errors and requests; a response with an error status is not an error of the page."""
        self.page.on("console", lambda one: self.hear(one.type, one.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def hear(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.console.append(text)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if shutil.which(drawing.PROGRAM) is None:
        pytest.skip("there is no chromium here")
    with drawing.browser() as running:
        yield running


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the service that keeps corrections."""
    return tmp_path_factory.mktemp("kept") / "kept.db"


@pytest.fixture(scope="module")
def another(make_server: MakeServer, kept: Path) -> str:
    """The address of a service with what the usual one has not: two models, corrections, a token, a narrow limit."""
    options = ("--model", "default", "--model", "tiny", "--collect", kept, "--token", TOKEN, "--max-bytes", 200_000)
    return make_server(*options).url


@pytest.fixture(scope="module")
def tab(browser: Any) -> Watched:
    """The tab of most tests: a page loads faster in one that is open than in a new one."""
    return new_tab(browser)


def new_tab(browser: Any, **options: Any) -> Watched:
    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    context.set_default_timeout(WAIT_MS)
    watched = Watched(context.new_page())
    watched.watch()
    return watched


@contextmanager
def visited(tab: Watched, url: str) -> Iterator[Any]:
    """The page of a service; at the end its console has no errors, and it sent no requests to other hosts."""
    tab.page.goto(url)
    tab.page.wait_for_selector("#model-line:not([hidden]), #token-form:not([hidden])")
    yield tab.page
    tab.page.unroute_all()
    tab.page.evaluate("localStorage.clear(); sessionStorage.clear()")
    tab.page.goto("about:blank")  # requests of this page end before the next page sends some
    console, requests = [*tab.console], [*tab.requests]
    tab.page.emulate_media(color_scheme="light")
    tab.page.set_viewport_size(DESKTOP)
    tab.console.clear()
    tab.requests.clear()
    assert console == []
    assert [url_ for url_ in requests if not url_.startswith((f"{url}/", "blob:", "data:", "about:"))] == []


@pytest.fixture
def page(tab: Watched, server: str) -> Iterator[Any]:
    """The page of a service as it is without options."""
    with visited(tab, server) as page:
        yield page


@pytest.fixture
def other_page(tab: Watched, another: str) -> Iterator[Any]:
    """The page of a service that asks for a token, and got none yet."""
    with visited(tab, another) as page:
        yield page


def give_token(page: Any) -> None:
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#model-line:not([hidden])")


def answer(page: Any, label: str) -> None:
    """Wait until the page shows `label`."""
    page.wait_for_function("label => document.getElementById('label').textContent === label", arg=label)


def says(page: Any, selector: str, text: str) -> None:
    playwright.expect(page.locator(selector)).to_contain_text(text, timeout=WAIT_MS)


def test_digits_drawn_are_digits_read(page):
    for digit in (0, 2, 4, 7):
        draw(page, strokes(digit))
        answer(page, str(digit))
        assert re.search(r"\d sure$|% sure$", page.inner_text("#sureness").strip())
        page.click("#clear")
        answer(page, "")


@pytest.mark.slow
def test_how_soon_it_answers_is_told(browser, server):
    data = drawing.times(browser, server, [4, 7])
    assert (data["n"], data["right"]) == (2, 2)
    assert 0 < data["answer_ms"]["min"] <= data["answer_ms"]["p95"] < WAIT_MS


def test_an_answer_comes_while_the_pen_is_down_and_its_reasons_when_it_rests(page):
    draw(page, strokes(7), lift=False)
    answer(page, "7")
    assert page.get_attribute("#why", "aria-label") == "Nothing yet"
    page.mouse.up()
    playwright.expect(page.locator("#why")).to_have_attribute("aria-label", re.compile("speaks for 7"), timeout=WAIT_MS)
    assert page.inner_text("#bars li.best").split()[0] == "7"
    assert page.locator("#bars li").count() == 10
    assert page.evaluate(_GREYS, "seen") > 0  # what the network saw has ink


_GREYS = """id => {
  const pixels = document.getElementById(id).getContext("2d").getImageData(0, 0, 28, 28).data;
  return pixels.filter((value, i) => i % 4 < 3 && value > 100).length;
}"""


def test_the_bytes_of_a_chosen_file_are_sent_as_they_are(page):
    page.evaluate(_LISTEN)
    page.set_input_files("#file", PHOTO)
    answer(page, "7")
    assert bytes(page.evaluate("window.sent")) == PHOTO.read_bytes()
    assert page.is_visible("#picture")
    draw(page, strokes(3))  # a new drawing takes its place, and undo brings it back
    answer(page, "3")
    assert page.is_hidden("#picture")
    page.click("#undo")
    answer(page, "7")
    assert page.is_visible("#picture")


_LISTEN = """() => {
  const fetch = window.fetch;
  window.fetch = async (route, options) => {
    window.sent = [...new Uint8Array(await options.body.arrayBuffer())];
    return fetch(route, options);
  };
}"""


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_can_be_pasted_and_dropped(page, way):
    page.evaluate(_HAND_OVER, [way, base64.b64encode(PHOTO.read_bytes()).decode()])
    answer(page, "7")


_HAND_OVER = """([way, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const handed = new DataTransfer();
  handed.items.add(new File([bytes], "seven.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  const event = way === "paste"
    ? new ClipboardEvent("paste", { clipboardData: handed, ...options })
    : new DragEvent("drop", { dataTransfer: handed, ...options });
  document.body.dispatchEvent(event);
}"""


def test_several_pictures_are_answered_one_by_one(page):
    names = ["2-large.png", "7-pen-on-paper.png", "9-in-the-shadow.png"]
    files = [{"name": name, "mimeType": "image/png", "buffer": (EXAMPLES / name).read_bytes()} for name in names]
    under_way = []  # how many pictures of the album were being asked when one more was
    page.on("request", lambda sent: under_way.append(+1) if sent.url.endswith("/predict") else None)
    page.on("requestfinished", lambda sent: under_way.append(-1) if sent.url.endswith("/predict") else None)
    page.set_input_files("#file", [*files, {"name": "notes.txt", "mimeType": "image/png", "buffer": b"no picture"}])
    says(page, "#pictures li:last-child", "Not a picture")
    assert page.locator("#pictures b").all_inner_texts() == ["2", "7", "9", "!"]
    assert page.inner_text("#album-title") == "4 pictures"
    assert max(accumulate(under_way)) == 1
    answer(page, "2")
    page.click("#pictures button >> nth=2")
    answer(page, "9")
    assert page.get_attribute("#pictures button >> nth=2", "aria-pressed") == "true"
    page.set_input_files("#file", PHOTO)
    answer(page, "7")
    assert page.is_hidden("#album")


def test_a_scribble_is_refused_in_words(page):
    draw(page, SCRIBBLE)
    page.wait_for_selector("#answer[data-state=refusal]")
    assert page.inner_text("#label") == "?"
    assert "because" in page.inner_text("#said")
    assert "The best guess is" in page.inner_text("#said")


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        ("no ink", "No ink"),
        ("not a digit", "Not a digit"),
        ("more than one digit", "One at a time"),
        ("unsure", "Hard"),
    ],
)
def test_each_reason_has_its_words(page, reason, title):
    def refuse(route: Any) -> None:
        answered = route.fetch().json()
        answered["prediction"].update(label=None, reason=reason)
        route.fulfill(json=answered)

    page.route("**/explain*", refuse)
    page.set_input_files("#file", PHOTO)
    page.wait_for_selector("#answer[data-state=refusal]")
    assert page.inner_text("#sureness").startswith(title)
    assert "because" in page.inner_text("#said")


def test_strokes_are_undone_done_again_and_cleared(page):
    draw(page, strokes(1))
    answer(page, "1")
    draw(page, [[(0.1, 0.02), (0.3, 0.0), (0.5, 0.0)]])
    drawn = page.evaluate(_INK)
    page.keyboard.press("Control+z")
    answer(page, "1")
    assert page.evaluate(_INK) < drawn
    page.keyboard.press("Control+Shift+z")
    assert page.evaluate(_INK) == drawn
    page.keyboard.press("Delete")
    answer(page, "")
    assert page.evaluate(_INK) == 0
    assert page.is_disabled("#clear")
    page.click("#undo")
    assert page.evaluate(_INK) == drawn
    page.click("#redo")
    assert page.evaluate(_INK) == 0


def test_the_pen_is_as_thick_as_it_is_set(page):
    inks = []
    for thickness in (5, 25):
        page.fill("#thickness", str(thickness))
        draw(page, strokes(1))
        inks.append(page.evaluate(_INK))
        page.click("#clear")
    assert inks[1] > 2.5 * inks[0]


_INK = """() => {
  const sheet = document.getElementById("ink");
  const pixels = sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height).data;
  return pixels.filter((value, i) => i % 4 === 3 && value > 127).length;
}"""


def test_everything_is_reached_by_keyboard(page):
    page.focus("#show-me")
    page.keyboard.press("Enter")  # draws a digit by itself
    page.wait_for_selector("#answer[data-state=answer]")
    reached = set()
    page.focus("body")
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"theme", "ink", "undo", "clear", "thickness", "choose", "show-me", "model-figure"} <= reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_it_shows_how_each_digit_is_drawn(page):
    page.evaluate("""() => { window.next = 0; Math.random = () => (window.next + 0.5) / 10; }""")
    for digit in range(10):
        page.evaluate("digit => { window.next = digit }", digit)
        page.click("#show-me")
        answer(page, str(digit))
        page.click("#clear")
        answer(page, "")


def test_its_glyphs_are_those_of_the_package():
    shown = re.findall(r'^  "(.*)",$', (WEB / "glyphs.js").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) == 10
    assert all(glyph in DIGIT_GLYPHS[digit] for digit, glyph in enumerate(shown))


def test_the_answer_is_read_out_once_the_pen_rests(page):
    draw(page, strokes(4))
    says(page, "#live", "4,")
    page.click("#clear")
    playwright.expect(page.locator("#live")).to_be_empty(timeout=WAIT_MS)


def test_the_command_it_gives_answers_the_same(page, server):
    draw(page, strokes(8))
    answer(page, "8")
    page.wait_for_timeout(300)
    page.click("#code summary")
    with page.expect_download() as saved:
        page.click("#save")
    words = shlex.split(page.inner_text("#curl"))
    assert words[:3] == ["curl", "--data-binary", f"@{saved.value.suggested_filename}"]
    assert words[3] == f"{server}/predict"
    data = httpx.post(words[3], content=saved.value.path().read_bytes()).json()
    assert data["predictions"][0]["label"] == "8"
    page.click("#copy")
    says(page, "#copy-told", "Copied")


def test_model_and_figures_are_named(page, server):
    data = httpx.get(f"{server}/models").json()
    assert page.inner_text("#model-name") == data["default"]
    share = math.floor(data["models"][0]["figures"]["accuracy"] * 10_000) / 100
    figure = f"{share:.2f}\u00a0% of 10,000 mnist test images right"
    assert page.inner_text("#model-figure") == figure
    for opener in ("#card", "#model-figure"):
        page.click(opener)
        assert figure in page.inner_text("#card-dialog")
        assert data["models"][0]["drawn"] in page.inner_text("#card-dialog")
        page.keyboard.press("Escape")
        assert page.is_hidden("#card-dialog")
    assert "Nothing is stored" in page.inner_text("#privacy")
    draw(page, strokes(2))
    answer(page, "2")
    assert page.is_hidden("#correction")


def test_another_model_may_answer(other_page):
    page = other_page
    give_token(page)
    draw(page, strokes(6))
    answer(page, "6")
    with page.expect_response("**/explain?model=tiny") as answered:
        page.select_option("#model", "tiny")
    assert answered.value.json()["model"] == "tiny"
    assert "model=tiny" in page.text_content("#curl")


def test_a_correction_is_kept_if_the_person_agrees(other_page, kept, tmp_path):
    page, file = other_page, kept
    give_token(page)
    assert "Only corrections that you agree to" in page.inner_text("#privacy")
    draw(page, strokes(1))
    answer(page, "1")
    page.wait_for_selector("#correction")
    seven = page.get_by_role("button", name="7", exact=True)
    seven.click()
    says(page, "#correction-told", "To store it, tick the box")
    assert seven.get_attribute("aria-pressed") == "true"
    assert read_list(file) == []
    page.check("#agreed")  # what was chosen is stored now
    says(page, "#correction-told", "Thank you")
    (one,) = read_list(file)
    assert (one.answered, one.right, one.model) == ("1", "7", load().name)
    page.click("#clear")
    assert page.is_hidden("#correction")
    draw(page, SCRIBBLE)
    page.wait_for_selector("#answer[data-state=refusal]")
    page.get_by_role("button", name="No digit").click()  # agreed for this visit
    says(page, "#correction-told", "Thank you")
    assert [one.right for one in read_list(file)] == ["7", "none"]
    export(file, tmp_path / "out")
    data = open_data(str(tmp_path / "out"))
    assert [data.classes[label] for label in data.train.labels] == ["7"]
    page.route(
        "**/corrections",
        lambda route: route.fulfill(status=507, json={"error": "The disk is full.", "kind": "OutputError"}),
    )
    draw(page, strokes(1))
    playwright.expect(seven).to_be_enabled(timeout=WAIT_MS)
    page.get_by_role("button", name="7", exact=True).click()
    says(page, "#correction-told", "disk is full")
    assert seven.is_enabled()


def test_a_token_is_asked_for_and_kept_for_the_visit(other_page):
    page = other_page
    page.wait_for_selector("#token-form")
    draw(page, strokes(5))
    page.wait_for_selector("#answer[data-state=trouble]")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    says(page, "#token-told", "not accepted")
    give_token(page)
    answer(page, "5")
    assert page.is_hidden("#token-form")
    assert "Authorization: Bearer" in page.text_content("#curl")
    assert "sesame" not in page.text_content("#curl")
    page.reload()
    page.wait_for_selector("#model-line")
    assert page.is_hidden("#token-form")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [("notes.txt", b"no picture", "cannot be opened"), ("large.png", bytes(200_001), "larger than")],
)
def test_what_cannot_be_read_is_told_kindly(other_page, name, content, text):
    page = other_page
    give_token(page)
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    page.wait_for_selector("#answer[data-state=trouble]")
    assert text in page.inner_text("#said")
    page.click("#clear")
    page.set_input_files("#file", PHOTO)
    answer(page, "7")


def test_a_service_that_is_away_is_asked_again(page):
    page.route("**/explain*", lambda route: route.abort())
    paper = page.locator("#ink").bounding_box()
    draw(page, strokes(3))
    page.wait_for_selector("#notice:not([hidden])")
    assert page.locator("#ink").bounding_box() == paper  # it does not move under the pen
    assert "does not answer" in page.inner_text("#notice")
    page.unroute("**/explain*")
    answer(page, "3")  # nothing else was done
    page.wait_for_selector("#notice", state="hidden")


def test_nobody_is_waited_for_once_the_paper_is_bare(page):
    page.route("**/explain*", lambda route: route.abort())
    page.set_input_files("#file", PHOTO)
    page.wait_for_selector("#notice:not([hidden])")
    page.click("#clear")
    page.wait_for_selector("#notice", state="hidden")


def test_a_busy_service_is_given_the_time_it_asks_for(page):
    times = []

    def refuse(route: Any) -> None:
        times.append(route.request.timing["startTime"])
        route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": "Busy.", "kind": "Busy"})

    page.route("**/explain*", refuse, times=1)
    page.set_input_files("#file", PHOTO)
    page.wait_for_selector("#notice:not([hidden])")
    assert "is busy" in page.inner_text("#notice")
    with page.expect_request("**/explain*") as again:
        answer(page, "7")
    assert again.value.timing["startTime"] - times[0] >= 950
    assert page.is_hidden("#notice")


def test_the_newest_drawing_wins(page):
    held: list[Any] = []
    page.route("**/explain*", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/explain*"):
        page.set_input_files("#file", PHOTO)
    page.click("#clear")
    draw(page, strokes(2))
    answer(page, "2")
    held[0].continue_()  # the photo's answer comes last
    page.wait_for_timeout(300)
    assert page.inner_text("#label") == "2"


@pytest.fixture
def phone(browser: Any, server: str) -> Iterator[Any]:
    """The page on a phone."""
    tab = new_tab(browser, **PHONE)
    with visited(tab, server) as page:
        yield page
    page.context.close()


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_what_the_network_saw_fills_its_card(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    pictures = [page.locator(f"#{name}").bounding_box() for name in ("seen", "why")]
    cards = [box.bounding_box() for box in page.locator(".looks figure").all()]
    for picture, card in zip(pictures, cards, strict=True):
        assert picture["width"] > 0.8 * card["width"]
        assert picture["x"] + picture["width"] / 2 == pytest.approx(card["x"] + card["width"] / 2, abs=1)
    assert pictures[0]["y"] == pictures[1]["y"]
    lines = [line.bounding_box()["height"] for line in page.locator(".looks .key span").all()]
    assert len(lines) == 2
    assert max(lines) < 25  # none is broken in two


def test_it_fits_a_phone_and_is_drawn_on_by_finger(phone):
    page = phone
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    touch = page.context.new_cdp_session(page)
    box = page.locator("#ink").bounding_box()
    for stroke in strokes(7):
        kind = "touchStart"
        for x, y in stroke:
            place = {"x": box["x"] + box["width"] * (0.2 + 0.6 * x), "y": box["y"] + box["width"] * (0.2 + 0.6 * y)}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
            kind = "touchMove"
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    answer(page, "7")
    shown = page.locator("#label").bounding_box()
    assert page.evaluate("scrollY") == 0
    assert shown["y"] + shown["height"] <= 740  # seen without scrolling
    assert page.is_visible("#photograph")
    assert page.get_attribute("#camera", "capture") == "environment"
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_theme_is_the_systems_until_one_is_chosen(page):
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(_PAPER) < 60
    page.click("#theme")
    assert page.evaluate(_PAPER) > 200
    page.reload()
    assert page.evaluate(_PAPER) > 200
    assert page.get_attribute("#theme", "aria-pressed") == "false"


_PAPER = "Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])"


def test_axe_finds_nothing_to_mend(other_page):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page = other_page
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))

    def check() -> None:
        for scheme, only in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):  # the rest is the same
            page.emulate_media(color_scheme=scheme)
            options = {"resultTypes": ["violations"], **only}
            found = page.evaluate("options => axe.run(document, options)", options)["violations"]
            assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []

    page.evaluate("document.getElementById('notice').hidden = false")
    page.evaluate("document.getElementById('notice').textContent = 'The service does not answer.'")
    check()  # with the form that asks for the token
    give_token(page)
    check()
    draw(page, strokes(3))
    answer(page, "3")
    page.check("#agreed")
    page.click("#card")
    check()
    page.keyboard.press("Escape")
    page.set_input_files("#file", [PHOTO, EXAMPLES / "2-large.png"])
    says(page, "#pictures li:last-child", "%")
    page.click("#code summary")
    page.wait_for_timeout(300)
    check()
    page.click("#clear")
    draw(page, SCRIBBLE)
    page.wait_for_selector("#answer[data-state=refusal]")
    check()


def test_nothing_is_asked_while_nothing_is_drawn(page, tab):
    tab.requests.clear()
    page.mouse.move(300, 400)
    page.wait_for_timeout(400)
    assert tab.requests == []
    take_numbers(page)
    page.mouse.move(400, 500)
    page.wait_for_timeout(400)
    assert [url for url in tab.requests if not url.endswith(".svg")] == []  # the icon belongs to the new address


def take_numbers(page: Any) -> None:
    page.check("#mode-number", force=True)  # what is seen of it is its label


def number_lines(text: str, width: float, height: float) -> list[list[tuple[float, float]]]:
    """The strokes of digits beside each other, in pixels of a sheet."""
    cell = 0.9 * width / len(text)
    size = min(0.6 * height, cell)
    return [
        [(0.05 * width + cell * (i + 0.5) + size * (x - 0.48), height / 2 + size * (y - 0.5)) for x, y in line]
        for i, digit in enumerate(text)
        for line in strokes(int(digit))
    ]


def write(page: Any, text: str) -> None:
    """Write a number on the paper with the mouse."""
    box = page.locator("#ink").bounding_box()
    for line in number_lines(text, box["width"], box["height"]):
        places = [(box["x"] + x, box["y"] + y) for x, y in line]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


def picture_of(text: str, *, width: int = 600, height: int = 200) -> dict[str, Any]:
    """A picture of a number, as a file that is chosen."""
    sheet = Image.new("L", (width, height), 245)
    for line in number_lines(text, width, height):
        ImageDraw.Draw(sheet).line(line, fill=30, width=9, joint="curve")
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return {"name": "amount.png", "mimeType": "image/png", "buffer": file.getvalue()}


def reading(*numbers: dict[str, Any], text: str = "", reason: str | None = None) -> dict[str, Any]:
    """The JSON of `/read`."""
    one = {"file": None, "text": text, "confidence": 0.5, "reason": reason, "numbers": numbers, "model": "line"}
    return {"model": "line", "readings": [one]}


def number(text: str, box: list[int], reason: str | None = None) -> dict[str, Any]:
    """One number of it."""
    digits = [{"label": label, "confidence": 0.9, "box": box} for label in text]
    return {"text": text, "confidence": 0.5, "box": box, "reason": reason, "digits": digits}


def test_a_number_is_written_and_read(page, server):
    take_numbers(page)
    assert page.inner_text("h1") == "Write a number."
    paper = page.locator("#ink").bounding_box()
    assert paper["width"] / paper["height"] == pytest.approx(2.5, abs=0.02)
    write(page, "4072")
    answer(page, "4072")
    assert re.search(r"% sure$", page.inner_text("#sureness").strip())
    page.wait_for_selector("#where")
    assert page.locator("#boxes .number").count() == 1
    assert page.locator("#boxes .character").count() == 4
    says(page, "#live", "4072,")
    for of_digits in ("#bars", "#seen", "#why", "#correction", "#model-line", "#several"):
        assert page.is_hidden(of_digits)
    page.click("#code summary")
    with page.expect_download() as saved:
        page.click("#save")
    words = shlex.split(page.inner_text("#curl"))
    assert words[2:] == [f"@{saved.value.suggested_filename}", f"{server}/read"]
    data = httpx.post(words[3], content=saved.value.path().read_bytes()).json()
    assert data["readings"][0]["text"] == "4072"
    page.click("#clear")
    answer(page, "")
    assert page.is_hidden("#where")
    assert page.inner_text("#said") == "The answer appears while you draw."


def test_the_modes_are_changed_by_keyboard_and_kept_in_the_address(page, server):
    page.focus("#theme")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "mode-digit"
    page.keyboard.press("ArrowRight")
    assert page.is_checked("#mode-number")
    assert page.evaluate("document.activeElement.id") == "mode-number"
    assert page.url == f"{server}/#number"
    assert page.evaluate("getComputedStyle(document.activeElement.nextSibling).outlineStyle") == "solid"
    page.reload()
    assert page.inner_text("h1") == "Write a number."
    assert page.is_checked("#mode-number")
    page.focus("#mode-number")
    page.keyboard.press("ArrowLeft")
    assert page.url == f"{server}/"
    assert page.inner_text("h1") == "Draw a digit."
    assert page.is_visible("#bars")
    page.evaluate("location.hash = '#number'")
    playwright.expect(page.locator("#mode-number")).to_be_checked()


def test_each_mode_keeps_its_drawing(page):
    draw(page, strokes(3))
    answer(page, "3")
    take_numbers(page)
    answer(page, "")
    assert page.evaluate(_INK) == 0
    assert page.is_disabled("#undo")
    write(page, "52")
    answer(page, "52")
    page.check("#mode-digit", force=True)
    answer(page, "3")
    assert page.is_visible("#why")
    take_numbers(page)
    answer(page, "52")
    page.focus("#mode-number")
    page.keyboard.press("Control+z")  # a radio button is no text field
    page.keyboard.press("Delete")
    answer(page, "")


def test_a_picture_is_read_anew_in_the_other_mode(page):
    page.evaluate(_LISTEN)
    file = picture_of("2048")
    page.set_input_files("#file", file)
    page.wait_for_selector("#answer:not([data-state=empty])")
    take_numbers(page)
    answer(page, "2048")
    assert bytes(page.evaluate("window.sent")) == file["buffer"]
    assert page.is_visible("#picture")
    assert "read" in page.text_content("#curl")
    page.check("#mode-digit", force=True)
    page.wait_for_selector("#answer[data-state=refusal], #answer[data-state=answer]")
    assert page.is_visible("#picture")
    assert page.is_hidden("#where")


@pytest.mark.parametrize("width", [360, 1280])
def test_boxes_are_where_the_numbers_are(page, width):
    numbers = [
        number("12", [20, 50, 70, 150]),
        number("345", [110, 250, 180, 590]),
        number("6", [0, 0, 9, 9], "unsure"),
    ]
    page.route("**/read", lambda route: route.fulfill(json=reading(*numbers, text="12 345")))
    page.set_viewport_size({"width": width, "height": 800})
    take_numbers(page)
    page.set_input_files("#file", picture_of("8"))
    answer(page, "12 345")
    assert "One more place is left out" in page.inner_text("#said")
    page.wait_for_selector("#where")
    picture = page.locator("#sent").bounding_box()
    scale = picture["width"] / 600
    assert picture["height"] == pytest.approx(200 * scale, abs=1)
    for mark, one in zip(page.locator("#boxes .number").all(), numbers, strict=True):
        place = mark.evaluate("mark => mark.getBoundingClientRect().toJSON()")
        top, left, bottom, right = (side * scale for side in one["box"])
        assert place["left"] - picture["x"] == pytest.approx(left, abs=3)
        assert place["right"] - picture["x"] == pytest.approx(right, abs=3)
        assert place["top"] - picture["y"] == pytest.approx(top, abs=3)
        assert place["bottom"] - picture["y"] == pytest.approx(bottom, abs=3)
    assert page.locator("#boxes .refused").count() == 1
    assert page.is_visible("#left-out")
    assert [line.split()[0] for line in page.locator("#numbers li").all_inner_texts()] == ["12", "345", "6"]
    assert "Hard to tell" in page.inner_text("#numbers li:last-child")


@pytest.mark.parametrize(
    ("reason", "title", "words"),
    [
        ("no ink", "No ink", "no ink in the picture"),
        ("not a number", "Not a number", "does not look like a number"),
        ("unsure", "Hard", "not sure enough"),
    ],
)
def test_each_reason_for_no_number_has_its_words(page, reason, title, words):
    numbers = [] if reason == "no ink" else [number("17", [10, 10, 90, 90], reason)]
    page.route("**/read", lambda route: route.fulfill(json=reading(*numbers, reason=reason)))
    take_numbers(page)
    page.set_input_files("#file", picture_of("17"))
    page.wait_for_selector("#answer[data-state=refusal]")
    assert page.inner_text("#label") == "?"
    assert page.inner_text("#sureness").startswith(title)
    assert words in page.inner_text("#said")
    assert ("The best guess is 17" in page.inner_text("#said")) == bool(numbers)
    page.check("#mode-digit", force=True)  # its words and boxes go with it
    page.wait_for_function("!document.getElementById('said').textContent.includes('best guess is 17')")


def test_what_is_wrong_is_told_the_same_in_number_mode(other_page):
    page = other_page
    take_numbers(page)
    write(page, "1")
    page.wait_for_selector("#answer[data-state=trouble]")  # no token yet
    page.click("#clear")
    give_token_for_numbers(page)
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#answer[data-state=trouble]")
    assert "cannot be opened" in page.inner_text("#said")
    page.set_input_files("#file", {"name": "large.png", "mimeType": "image/png", "buffer": bytes(200_001)})
    says(page, "#said", "cut out the number")
    assert page.is_hidden("#where")
    page.set_input_files("#file", picture_of("305"))
    answer(page, "305")
    assert page.is_hidden("#correction")
    page.check("#mode-digit", force=True)
    page.wait_for_selector("#correction")


def give_token_for_numbers(page: Any) -> None:
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-form", state="hidden")


def test_it_shows_how_a_number_is_written(page):
    page.evaluate("""() => { Math.random = () => 0.45; }""")
    take_numbers(page)
    page.click("#show-me")
    answer(page, "4444")


def test_number_mode_fits_a_phone(phone):
    page = phone
    take_numbers(page)
    page.set_input_files("#file", picture_of("12345678901234567890", width=1600, height=120))
    page.wait_for_selector("#answer[data-state=answer], #answer[data-state=refusal]")
    page.wait_for_selector("#where")
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.locator("#label").bounding_box()
    assert shown["y"] + shown["height"] <= 740


def test_axe_finds_nothing_to_mend_in_number_mode(page):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))

    def check() -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
            assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []

    take_numbers(page)
    check()
    write(page, "407")
    answer(page, "407")
    page.wait_for_selector("#where")
    check()
    numbers = [number("12", [20, 50, 70, 150]), number("345", [110, 250, 180, 590], "unsure")]
    page.route("**/read", lambda route: route.fulfill(json=reading(*numbers, text="12")))
    page.set_input_files("#file", picture_of("8"))
    answer(page, "12")
    page.wait_for_selector("#left-out")
    check()
    page.unroute("**/read")
    page.route("**/read", lambda route: route.fulfill(json=reading(numbers[1], reason="unsure")))
    page.set_input_files("#file", picture_of("9"))
    page.wait_for_selector("#answer[data-state=refusal]")
    check()
