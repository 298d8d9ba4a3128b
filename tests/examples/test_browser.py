"""The example for browsers: preprocessing and cards in Node, and the page in Chromium, against the package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.preprocessing.screenshot import served
from benchmarks.serving import drawing
from inkdigit.model.recognizer import bundled, load, readers
from inkdigit.model.session import open_model

EXAMPLES = Path(__file__).parents[2] / "examples"
BROWSER = EXAMPLES / "browser"
RUNTIME = BROWSER / "node_modules" / "onnxruntime-web"
STORED = json.loads(files("inkdigit.picture").joinpath("vectors.json").read_text(encoding="utf-8"))
MODEL = "general"  # it gives more reasons than any other
WAIT_MS = 60_000

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def node(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", *map(str, words)], cwd=BROWSER, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


# In Node --------------------------------------------------------------------------------------------------------------


@needs_node
def test_preprocessing_in_javascript_gives_every_vector_bit_for_bit():
    done = node("check.js")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "39 of 39 test vectors are the same, bit for bit"


@needs_node
def test_the_check_finds_a_pixel_that_differs_and_a_picture_that_is_not_clean(tmp_path):
    changed = json.loads(json.dumps(STORED))
    by_name = {vector["name"]: vector for vector in changed["vectors"]}
    by_name["16x16"]["expected"] = by_name["8x8"]["expected"]
    by_name["not-frame"]["expected"] = by_name["blank"]["expected"]
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps(changed), encoding="utf-8")
    done = node("check.js", file)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["16x16", "not-frame"]


@needs_node
def test_javascript_reads_the_card_of_every_model_and_says_what_is_not_one(tmp_path):
    (tmp_path / "cut.onnx").write_bytes(bundled()["tiny"].read_bytes()[:20_000])
    (tmp_path / "text.onnx").write_text("not a model at all", encoding="utf-8")
    others = [readers()["line"], tmp_path / "cut.onnx", tmp_path / "text.onnx"]
    script = """
import { readFileSync } from "node:fs";
import { readCard } from "./card.js";
const read = (path) => { try { return readCard(readFileSync(path)) } catch (error) { return error.message } };
console.log(JSON.stringify(process.argv.slice(1).map(read)));
"""
    done = node("--input-type=module", "-e", script, *bundled().values(), *others)
    assert done.returncode == 0, done.stderr
    *cards, line, cut, text = json.loads(done.stdout)
    for path, card in zip(bundled().values(), cards, strict=True):
        assert card == json.loads(open_model(path)[1])
    assert "for single digits" in line
    assert "cut short" in cut
    assert "not an ONNX file" in text


# In a browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the page is served, with a model beside it, as its README says."""
    if not RUNTIME.is_dir():
        pytest.skip("onnxruntime-web is not installed: run `npm ci` in examples/browser")
    with served(bundled()[MODEL]) as address:
        yield address


@pytest.fixture(scope="module")
def heard() -> dict[str, list[str]]:
    """The requests of the page, and what is on its console."""
    return {"requests": [], "console": []}


@pytest.fixture(scope="module")
def page(address: str, heard: dict[str, list[str]]) -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if shutil.which(drawing.PROGRAM) is None:
        pytest.skip("there is no chromium here")
    with drawing.browser() as running:
        tab = running.new_page(viewport={"width": 360, "height": 740})
        tab.set_default_timeout(WAIT_MS)
        tab.on("request", lambda request: heard["requests"].append(request.url))
        tab.on("console", lambda one: heard["console"].append(one.text))
        tab.on("pageerror", lambda error: heard["console"].append(str(error)))
        tab.goto(address)
        tab.wait_for_selector("body[data-state=ready]")
        yield tab


def says(page: Any, selector: str, expected: str | re.Pattern[str]) -> None:
    """Wait until an element says this. (A function that Playwright waits for is forbidden by the page's policy.)"""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(expected, timeout=WAIT_MS)


def label(page: Any, expected: str) -> None:
    says(page, "#label", expected)


@pytest.mark.parametrize("digit", [0, 4, 5])
def test_a_drawn_digit_is_recognised(page, digit):
    page.click("#clear")
    label(page, "")
    drawing.draw(page, drawing.strokes(digit))
    label(page, str(digit))
    assert "% sure" in page.inner_text("#words")
    assert page.locator("#probs li[data-best] span").inner_text() == str(digit)


def test_the_browser_predicts_what_the_package_predicts(page):
    clean = [v for v in STORED["vectors"] if v["kind"] == "ink" and v["expected"] and v["channels"] == 1]
    found = page.evaluate(
        """async (vectors) => {
          const { prepare } = await import("./prepare.js");
          const { Recognizer } = await import("./recognizer.js");
          const model = await Recognizer.load("model.onnx");
          const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const predict = ({ width, height, pixels }) => model.predict(prepare({ width, height, data: bytes(pixels) }));
          return Promise.all(vectors.map(predict));
        }""",
        clean,
    )
    grays = [np.frombuffer(b64decode(v["pixels"]), np.uint8).reshape(v["height"], v["width"]) for v in clean]
    for one, expected in zip(found, load(MODEL).predict(grays), strict=True):
        assert (one["label"], one["reason"]) == (expected.label, expected.reason)
        if expected.probs is not None:
            assert np.abs(np.array(one["probs"]) - expected.probs).max() < 1e-4
            assert one["score"] == pytest.approx(expected.score, abs=1e-3)
    assert {one["reason"] for one in found} >= {None, "no ink", "not a digit"}


def test_a_clean_picture_is_recognised_and_any_other_gets_its_reason(page, tmp_path):
    file = tmp_path / "seven.png"
    (seven,) = [v for v in STORED["vectors"] if v["name"] == "inverted"]
    Image.frombytes("L", (seven["width"], seven["height"]), b64decode(seven["pixels"])).save(file)
    page.set_input_files("#file", file)
    label(page, "5")
    page.set_input_files("#file", EXAMPLES / "7-pen-on-paper.png")
    label(page, "—")
    assert "must be found first" in page.inner_text("#words")
    (tmp_path / "text.png").write_text("not a picture", encoding="utf-8")
    page.set_input_files("#file", tmp_path / "text.png")
    says(page, "#words", re.compile("^text.png is not a picture"))


@pytest.mark.usefixtures("page")
def test_no_other_host_is_asked_and_nothing_is_on_the_console(address, heard):
    assert heard["console"] == []
    assert {url for url in heard["requests"] if not url.startswith((address, "data:", "blob:"))} == set()
    assert any(url.endswith(".wasm") for url in heard["requests"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_no_barrier_that_axe_finds_and_fits_a_phone(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.emulate_media(color_scheme=scheme)
    drawing.draw(page, drawing.strokes(3))
    label(page, "3")
    # The page's policy forbids scripts that a test adds: axe runs in a world of its own.
    found = axe.Axe().run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_missing_model_is_said(page, address):
    tab = page.context.browser.new_context().new_page()
    tab.route("**/model.onnx", lambda route: route.fulfill(status=404))
    tab.goto(address)
    tab.wait_for_selector("body[data-state=failed]")
    assert "There is no model at model.onnx" in tab.inner_text("#words")
    tab.context.close()


@pytest.mark.slow
def test_npm_installs_the_runtime_that_is_pinned(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(BROWSER / name, tmp_path)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=tmp_path, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("npm reaches no registry")
    pinned = json.loads((BROWSER / "package.json").read_text(encoding="utf-8"))["dependencies"]["onnxruntime-web"]
    installed = tmp_path / "node_modules" / "onnxruntime-web"
    assert json.loads((installed / "package.json").read_text(encoding="utf-8"))["version"] == pinned
    assert (installed / "dist" / "ort.wasm.bundle.min.mjs").is_file()
