"""The site as a reader sees it, opened from the disk in Chromium: the search, the themes, and who uses a keyboard."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

QUESTIONS = tomllib.loads((Path(__file__).parent / "questions.toml").read_text(encoding="utf-8"))["question"]
HITS, CLICKS = 3, 2
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# A page of each kind: the first one, a guide, figures, a name, a command, tables, and a model card.
KINDS = (
    "index.html",
    "guides/photos.html",
    "models.html",
    "api/predict.html",
    "commands/info.html",
    "errors.html",
    "model-cards/general.html",
)
WAIT_MS = 30_000  # far above what a busy machine takes


@pytest.fixture(scope="module")
def page(browser) -> Iterator[Any]:
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    opened = context.new_page()
    opened.asked = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    yield opened
    others = [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))]
    assert (others, opened.said) == ([], [])
    context.close()


def content(page: Path) -> str:
    """The text of a page, without its navigation."""
    article = re.search(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", article[0])) if article else ""


def found(page: Any, site: Any, words: str) -> list[str]:
    """The first pages that the search finds; it answers keys that are released, once its index is loaded."""
    if not page.is_visible(QUERY):
        page.goto(site.url("index.html"))
    page.fill(QUERY, "")
    page.press(QUERY, "End")
    page.wait_for_function(SAYS, arg=["Type to start"], timeout=WAIT_MS)
    page.fill(QUERY, words)
    for _ in range(WAIT_MS // 500):
        page.press(QUERY, "End")
        page.wait_for_timeout(100)
        if page.evaluate(SAYS, ["matching", "No "]):
            break
        page.wait_for_timeout(400)
    links = page.eval_on_selector_all(RESULTS, "links => links.map(link => link.href.split(/[?#]/)[0])")
    return [link.removeprefix(site.url("")) for link in links[:HITS]]


QUERY, RESULTS = ".md-search__input", ".md-search-result__item > a"
SAYS = """texts => {
  const said = document.querySelector('.md-search-result__meta').textContent;
  return texts.some(text => said.includes(text));
}"""
VISIBLE = """() => [...document.querySelectorAll('a[href]')]
  .filter(link => link.checkVisibility() && link.getBoundingClientRect().width > 0)
  .map(link => link.href.split('#')[0])"""


@pytest.fixture(scope="module")
def reached(page, site) -> set[str]:
    """The pages that are two clicks from the first one at most, over links that can be seen."""
    pages, seen = {site.url("index.html")}, set()
    for _ in range(CLICKS):
        for url in sorted(one for one in pages - seen if one.endswith(".html") and one.startswith(site.url(""))):
            seen.add(url)
            page.goto(url)
            pages |= set(page.evaluate(VISIBLE))
    return {url.removeprefix(site.url("")) for url in pages}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["asks"])
def test_a_reader_finds_the_answer(page, site, question, request):
    answers = [question["answer"]] if isinstance(question["answer"], str) else question["answer"]
    hits = [one for one in found(page, site, question["search"]) if one in answers]
    if not hits:
        hits = [one for one in answers if one in request.getfixturevalue("reached")]
    assert hits, f"neither in the first {HITS} hits for {question['search']!r} nor {CLICKS} clicks away"
    assert question["says"].lower() in content(site.folder / hits[0]).lower()


def test_there_are_twenty_questions_of_three_kinds_of_readers():
    assert len({question["asks"] for question in QUESTIONS}) == 20
    assert {question["who"] for question in QUESTIONS} == {"learner", "engineer", "researcher"}


def violations(page: Any, **options: Any) -> list[Any]:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate(
        "options => axe.run(document, options)", {"resultTypes": ["violations"], "preload": False, **options}
    )
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in result["violations"]]


def check_axe(page: Any, url: str) -> None:
    """Nothing to mend in the light theme, nor in the colours of the dark one; the rest is the same in both."""
    for scheme, only in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(url)
        assert violations(page, **only) == [], (url, scheme)
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing_to_mend(page, site, name):
    check_axe(page, site.url(name))


def test_axe_finds_nothing_to_mend_in_the_results_of_a_search(page, site):
    assert found(page, site, "predict")
    assert violations(page) == []


@pytest.mark.slow
def test_axe_finds_nothing_to_mend_on_any_page(page, site):
    for path in sorted(site.folder.rglob("*.html")):
        if path.name != "404.html":  # its links begin at the root of a web server: from the disk it has no style
            check_axe(page, path.as_uri())


def test_the_switch_changes_theme_and_figures(page, site):
    page.goto(site.url("mistakes.html"))

    def shown() -> list[str]:
        sources = "images => images.filter(image => image.checkVisibility()).map(image => image.src.split('/').pop())"
        return page.eval_on_selector_all("article img", sources)

    light = shown()
    assert light
    assert all(source.endswith("-light.svg#only-light") for source in light)
    page.click("label[title='Change to the dark theme']")
    assert page.get_attribute("body", "data-md-color-scheme") == "slate"
    assert shown() == [source.replace("light", "dark") for source in light]
    page.click("label[title='Change to the light theme']")
    assert shown() == light


@pytest.mark.parametrize("name", [*KINDS, "benchmarks.html", "python.html", "http.html"])
def test_a_page_fits_a_phone(page, site, name):
    """Tables and code scroll by themselves; the page does not."""
    page.set_viewport_size(PHONE)
    page.goto(site.url(name))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
