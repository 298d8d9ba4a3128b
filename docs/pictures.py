"""Draw the pictures of the guides again: `python docs/pictures.py [NAME…] [--work FOLDER]`; without NAME, all of them.

In: the pictures in `examples/`, the bundled models, data sets that `examples/draw_hands.py` draws; MNIST only for the
picture `adapt-before-after`. No picture shows the handwriting of a person. Out: `docs/pictures/NAME.png`, or NAME-light
and NAME-dark. Screenshots need Debian's `chromium` and Playwright; they look as intended where the font of
`sans-serif` is Inter. FOLDER keeps trainings and searches for the next time; by default it is a temporary one.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `benchmarks`, whose script draws on the page of the service

import inkdigit  # noqa: E402
from benchmarks.serving.drawing import browser, draw, strokes  # noqa: E402
from drawings import DRAWINGS  # noqa: E402
from inkdigit.page.sheet import flatten  # noqa: E402
from inkdigit.picture.decode import decode  # noqa: E402
from inkdigit.picture.prepare import find_ink, prepare  # noqa: E402
from inkdigit.reading.fields import Form  # noqa: E402
from inkdigit.types import Gray  # noqa: E402

EXAMPLES = ROOT / "examples"
NUMBERS = EXAMPLES / "numbers"
OUT = ROOT / "docs" / "pictures"
COLOURS = 128  # of a screenshot: its shades need no more, and the file is a third as large
MAX_WIDTH_PX = 1600
SLANTED = ("--writers", "1", "--each", "6", "--seed", "92")  # an invented writer whom the models often read wrongly
STYLE = """
:root { --page: #ffffff; --text: #1c2027; --quiet: #666d79; --line: #d5d9df; --strong: #2f5fd0; --soft: #eef2fb; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1115; --text: #e8e6e1; --quiet: #9aa1ad; --line: #3a3f49; --strong: #86a8ff; --soft: #1a2030; }
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--page); color: var(--text); font: 16px/1.35 sans-serif; }
#all { display: inline-block; padding: 20px; }
.row { display: flex; align-items: center; gap: 10px; }
.row + .row { margin-top: 22px; }
figure { text-align: center; }
figure img { display: block; border: 1px solid var(--line); border-radius: 6px; }
figcaption { margin-top: 6px; color: var(--quiet); font-size: 14px; }
.arrow { color: var(--quiet); font-size: 26px; }
.answer { padding-left: 6px; } .answer b { display: block; font-size: 60px; line-height: 1; font-weight: 600; }
.answer.long b { font-size: 40px; } .answer span { color: var(--quiet); }
.pixels { image-rendering: pixelated; }
table { border-collapse: collapse; } td, th { padding: 4px 10px; text-align: left; }
td.cell { width: 31px; height: 31px; padding: 0; text-align: center; border: 1px solid var(--line); font-size: 19px; }
.marked { position: relative; } .marked i { position: absolute; border: 2px solid #2f5fd0; background: #2f5fd01c; }
.marked i b { position: absolute; left: 0; top: -22px; color: #2f5fd0; font: 600 15px sans-serif; white-space: nowrap; }
"""


@dataclass
class Studio:
    """Where pictures are made: the folder for trainings, a running browser, and the models."""

    work: Path
    chromium: Any

    def command(self, *words: object, leaves: str, into: Path | None = None) -> Path:
        """Run an `inkdigit` command once: what it leaves is still there the next time."""
        left = self.work / leaves
        if not left.exists():
            at = into or self.work
            subprocess.run([sys.executable, "-m", "inkdigit", *map(str, words)], cwd=at, check=True)
        return left

    def hands(self, name: str, *options: str) -> Path:
        """A data set of drawn digits."""
        folder = self.work / name
        if not folder.exists():
            subprocess.run([sys.executable, EXAMPLES / "draw_hands.py", folder, *options], check=True)
        return folder

    def run(self) -> Path:
        """The run directory of a training on drawn digits."""
        digits = self.hands("digits")
        return self.command("train", "fast", "--data", digits, "--out", "my-run", leaves="my-run")

    def shoot(
        self,
        name: str,
        page: str | Path,
        *,
        width: int = 800,
        height: int = 620,
        select: str | None = None,
        full: bool = False,
        before: Callable[[Any], None] | None = None,
        scale: float = 1.5,
    ) -> None:
        """A screenshot of a page (its file, address or HTML) in both themes: what `select` names, else the window."""
        for scheme in ("light", "dark"):
            window = self.chromium.new_page(
                viewport={"width": width, "height": height},
                device_scale_factor=min(scale, MAX_WIDTH_PX / width),
                color_scheme=scheme,
            )
            if isinstance(page, Path):
                window.goto(page.resolve().as_uri())
            elif page.startswith("http"):
                window.goto(page)
            else:
                window.set_content(page)
            if before:
                before(window)
            target = window.locator(select).first if select else window
            save(f"{name}-{scheme}", target.screenshot(**({"full_page": True} if full and not select else {})))
            window.close()

    def compose(self, name: str, body: str, *, scale: float = 1.6) -> None:
        """A picture of our own HTML, as large as its content, in both themes."""
        page = f"<!doctype html><style>{STYLE}</style><div id=all>{body}</div>"
        self.shoot(name, page, width=1500, height=900, select="#all", scale=scale)


def save(name: str, png: bytes | Image.Image, *, colours: int = COLOURS, rare: bool = False) -> None:
    """Write a PNG with a palette; `rare` keeps colours that few pixels have, such as those of thin lines."""
    image = png if isinstance(png, Image.Image) else Image.open(io.BytesIO(png))
    image = image.convert("RGB")
    if image.width > MAX_WIDTH_PX:
        image = image.resize((MAX_WIDTH_PX, round(image.height * MAX_WIDTH_PX / image.width)), Image.Resampling.LANCZOS)
    image = image.quantize(
        colours, method=Image.Quantize.MAXCOVERAGE if rare else Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    OUT.mkdir(exist_ok=True)
    image.save(OUT / f"{name}.png", optimize=True)
    print(f"{name}.png, {(OUT / f'{name}.png').stat().st_size / 1000:.0f} kB")


def embedded(picture: Path | Gray, *, height: int, pixels: bool = False, clip: bool = False) -> str:
    """An <img> with the picture inside it."""
    image = Image.open(picture) if isinstance(picture, Path) else Image.fromarray(picture)
    if clip:
        image = image.crop(image.getbbox())
    if not pixels:
        image.thumbnail((4 * height, 2 * height))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    look = ' class="pixels"' if pixels else ""
    return f'<img{look} height="{height}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def figure(picture: str, caption: str) -> str:
    """A picture with a caption below it."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def answer(text: str, below: str) -> str:
    """What was read, large, and how sure it is."""
    long = " long" if len(text) > 2 else ""
    return f'<div class="answer{long}"><b>{html.escape(text)}</b><span>{html.escape(below)}</span></div>'


ARROW = '<span class="arrow">→</span>'


def steps(
    path: Path, titles: tuple[str, str, str] = ("a photo", "its ink", "28 × 28 pixels"), *, side: int = 128
) -> str:
    """A photo, its ink, what the network sees, and the answer, side by side."""
    gray = decode(path)
    (prediction,) = inkdigit.predict(path)
    below = f"{prediction.sureness} sure" if prediction.label else str(prediction.reason)
    parts = [
        figure(embedded(path, height=side), titles[0]),
        figure(embedded(find_ink(gray), height=side), titles[1]),
        figure(embedded(prepare(gray), height=side, pixels=True), titles[2]),
    ]
    return ARROW.join(parts) + ARROW + answer(prediction.label or "–", below)


# One picture a function; its name, with - for _, is that of the picture.


def what_it_does(studio: Studio) -> None:
    """The picture of README and home page: a photo of a digit and of a number, and what comes out."""
    (reading,) = inkdigit.read(NUMBERS / "amount.png")
    number = figure(embedded(NUMBERS / "amount.png", height=110), "a number on a cheque")
    said = answer(reading.text, f"{100 * (reading.confidence or 0):.0f} % sure")
    rows = (steps(EXAMPLES / "7-pen-on-paper.png"), f"{number}{ARROW}{said}")
    studio.compose("what-it-does", "".join(f'<div class="row">{row}</div>' for row in rows))


def glossary_words(studio: Studio) -> None:
    """The words of preprocessing and prediction on one image."""
    names = ("image", "ink", "what the network sees")
    label = answer("3", "label, with its confidence")
    body = steps(EXAMPLES / "3-chalk-on-board.png", names).rsplit('<div class="answer"', 1)[0] + label
    studio.compose("glossary-words", f'<div class="row">{body}</div>')


def first_report(studio: Studio) -> None:
    """The top of the report of a training on drawn digits."""
    studio.shoot("first-report", studio.run() / "report.html", height=640)


def photos_seen(studio: Studio) -> None:
    """The sheet of `predict --show`: three answers and two refusals."""
    folder = studio.work / "photos"
    if not folder.exists():
        folder.mkdir()
        for source in (EXAMPLES / "3-chalk-on-board.png", EXAMPLES / "9-in-the-shadow.png", NUMBERS / "date.png"):
            (folder / source.name).write_bytes(source.read_bytes())
        from inkdigit.synth.drawn import letter

        ink = letter("R", rng=np.random.default_rng(3), size_px=240)
        Image.fromarray(np.clip(236 - ink * 0.8, 0, 255).astype(np.uint8)).save(folder / "letter.png")
    sheet = studio.command("predict", "photos", "--show", "seen.png", leaves="seen.png")
    save("photos-seen", sheet.read_bytes())


def photos_explained(studio: Studio) -> None:
    """The page of `explain --out`."""
    words = ("explain", EXAMPLES / "7-pen-on-paper.png", "--out", "explained.html")
    page = studio.command(*words, leaves="explained.html")
    studio.shoot("photos-explained", page, height=760)


def numbers_seen(studio: Studio) -> None:
    """The sheet of `read --show`."""
    pictures = [NUMBERS / f"{name}.png" for name in ("amount", "comb", "date")]
    sheet = studio.command("read", *pictures, "--show", "numbers.png", leaves="numbers.png")
    image = Image.open(sheet)
    save("numbers-seen", image.resize((640, 640 * image.height // image.width), Image.Resampling.LANCZOS), rare=True)


def numbers_form(studio: Studio) -> None:
    """A photographed form, and its page with the boxes of the fields."""
    photo = NUMBERS / "form.jpg"
    form = Form.load(NUMBERS / "form.toml", inkdigit.Reader.load())
    read = inkdigit.read_form(photo, NUMBERS / "form.toml")
    boxes = "".join(
        f'<i style="left:{100 * left:.1f}%;top:{100 * top:.1f}%;width:{100 * (right - left):.1f}%;'
        f'height:{100 * (bottom - top):.1f}%"><b>{html.escape(name)}: {html.escape(read[name].text)}</b></i>'
        for name, (left, top, right, bottom) in ((field.name, field.box) for field in form.fields)
    )
    page = f'<div class="marked">{embedded(flatten(decode(photo)), height=300)}{boxes}</div>'
    row = (
        figure(embedded(photo, height=300), "the photo") + ARROW + figure(page, "its page, with the boxes of form.toml")
    )
    studio.compose("numbers-form", f'<div class="row">{row}</div>', scale=1.25)


def numbers_grid(studio: Studio) -> None:
    """A photographed sudoku, and its cells as they are read."""
    photo = NUMBERS / "sudoku.jpg"
    rows = inkdigit.read_grid(photo, 9, 9).rows
    lines = ("".join(f"<td class=cell>{one or ''}</td>" for one in row) for row in rows)
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    row = (
        figure(embedded(photo, height=300), "the photo") + ARROW + figure(f"<table>{table}</table>", "read --grid 9x9")
    )
    studio.compose("numbers-grid", f'<div class="row">{row}</div>', scale=1.25)


def kaggle_csv(studio: Studio) -> tuple[Path, Path]:
    """train.csv and test.csv in Kaggle's form, of drawn digits."""
    train, test = studio.work / "train.csv", studio.work / "test.csv"
    if not train.exists():
        known = inkdigit.open_data(studio.hands("digits")).train
        order = np.random.default_rng(0).permutation(len(known))
        rows, labels = known.images.reshape(len(known), -1)[order], known.labels[order][:, None]
        pixels = ",".join(f"pixel{i}" for i in range(784))
        how: dict[str, Any] = {"fmt": "%d", "delimiter": ",", "comments": ""}
        np.savetxt(train, np.hstack([labels, rows])[:1500], header=f"label,{pixels}", **how)
        np.savetxt(test, rows[1500:], header=pixels, **how)
    return train, test


def kaggle_answers(studio: Studio) -> None:
    """The page of predictions beside a submission."""
    train, test = kaggle_csv(studio)
    words = ("kaggle", train, test, "--out", "submission.csv")
    studio.command(*words, leaves="submission.csv")
    studio.shoot("kaggle-answers", studio.work / "submission-answers.html", height=760)


def data_audit(studio: Studio) -> None:
    """The page of an audit of drawn digits, twelve of which have a wrong label."""
    digits = studio.hands("strays", "--wrong", "12")
    audited = studio.command("audit", digits, "--folds", "3", "--out", "audited", leaves="audited/audit.html")
    studio.shoot("data-audit", audited, height=1000, scale=1.2)


def recipe_compare(studio: Studio) -> None:
    """Two runs side by side."""
    digits = studio.hands("digits")
    other = ("train", "fast", "--data", digits, "--set", "filters=[8, 16, 32]", "--out", "narrow")
    studio.run()
    studio.command(*other, leaves="narrow")
    page = studio.command("compare", "my-run", "narrow", "--out", "compared.html", leaves="compared.html")
    studio.shoot("recipe-compare", page, height=900)


def report_sections(studio: Studio) -> None:
    """Each section of a report."""
    report = studio.run() / "report.html"
    for section in ("data", "training", "confusion", "answers", "calibration"):
        studio.shoot(f"report-{section}", report, select=f"#{section}", before=with_margin, scale=1.2)
    studio.shoot("report-insight", report, select="#insight .panel", scale=1.2)


def with_margin(window: Any) -> None:
    """Space around a section that is shown alone."""
    window.add_style_tag(content="main section { padding: 20px }")


def tune_study(studio: Studio) -> None:
    """The page of a search."""
    digits = studio.hands("digits")
    words = ("tune", "fast", "--data", digits, "--trials", "4", "--out", "study")
    page = studio.command(*words, leaves="study/study.html")
    studio.shoot("tune-study", page, height=900)


def adapt_before_after(studio: Studio) -> None:
    """What `fast` reads of a slanted hand, and what it reads after it has learned this hand."""
    mine, more = studio.hands("mine", *SLANTED), studio.hands("more", *SLANTED[:-1], "92", "--each", "14")
    adapted = studio.command("adapt", "fast", "--data", mine, "--out", "mine.onnx", leaves="mine.onnx")
    pictures = [more / str(label) / f"w000-{number}.png" for label in (2, 4, 8) for number in (10, 11)]
    said = {name: inkdigit.load(name).predict(pictures) for name in ("fast", str(adapted))}
    names = {"fast": "fast", str(adapted): "mine.onnx"}
    head = "".join(f"<td>{embedded(one, height=84)}</td>" for one in pictures)
    rows = "".join(
        f"<tr><th>{names[model]}</th>"
        + "".join(
            f"<td><b>{one.label or '–'}</b><br><small>{one.sureness if one.label else one.reason}</small></td>"
            for one in answers
        )
        + "</tr>"
        for model, answers in said.items()
    )
    studio.compose("adapt-before-after", f"<table><tr><td></td>{head}</tr>{rows}</table>")


@contextmanager
def service(*options: str) -> Iterator[str]:
    """`inkdigit serve` on a free port: its address."""
    command = [sys.executable, "-m", "inkdigit", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield next(line.split()[1] for line in process.stderr or () if line.startswith("Open "))
        finally:
            process.terminate()


def page_of_service(studio: Studio) -> None:
    """The page of `inkdigit serve` with a drawn 5; below it, the question about corrections."""

    def write(window: Any) -> None:
        window.wait_for_selector("#model-line:not([hidden])")
        draw(window, strokes(5))
        window.wait_for_selector("#why[aria-label*='speaks for']")

    with tempfile.TemporaryDirectory() as folder, service("--collect", str(Path(folder) / "corrections.db")) as url:
        studio.shoot("page", url, width=1180, height=880, before=write, scale=1.2)
        studio.shoot("adapt-correction", url, width=1180, height=880, before=write, select="#correction", scale=1.6)


SHOTS: dict[str, Callable[[Studio], None]] = {
    "what-it-does": what_it_does,
    "glossary-words": glossary_words,
    "first-report": first_report,
    "photos-seen": photos_seen,
    "photos-explained": photos_explained,
    "numbers-seen": numbers_seen,
    "numbers-form": numbers_form,
    "numbers-grid": numbers_grid,
    "kaggle-answers": kaggle_answers,
    "data-audit": data_audit,
    "recipe-compare": recipe_compare,
    "report": report_sections,
    "tune-study": tune_study,
    "adapt-before-after": adapt_before_after,
    "page": page_of_service,
}


def main(names: list[str], work: Path) -> None:
    """Draw the pictures with these names."""
    wanted = names or [*DRAWINGS, *SHOTS]
    if unknown := set(wanted) - {*DRAWINGS, *SHOTS}:
        sys.exit(
            f"There are no such pictures: {', '.join(sorted(unknown))}. Expected: {', '.join([*DRAWINGS, *SHOTS])}."
        )
    for name in wanted:
        for file, content in DRAWINGS[name]().items() if name in DRAWINGS else ():
            (OUT / file).write_text(content, encoding="utf-8")
            print(file)
    if shots := [name for name in wanted if name in SHOTS]:
        work.mkdir(parents=True, exist_ok=True)
        with browser() as chromium:
            for name in shots:
                SHOTS[name](Studio(work, chromium))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the pictures of the guides again.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, help="a folder that keeps trainings for the next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(given.names, (given.work or Path(temporary)).resolve())
