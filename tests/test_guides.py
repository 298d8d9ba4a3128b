"""The guides are true: sessions print what they show, figures are those of the measured pages, pictures are there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inkdigit.cli.app import app

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
PAGES = [*GUIDES, DOCS / "index.md", DOCS / "faq.md", DOCS / "glossary.md"]
MAX_PICTURES_BYTES = 2_500_000  # all together: a copy of the repository and the site stay small
NUMBER = re.compile(r"\d+(?:\.\d+)?")
POINTS_OFF = 1.0  # another processor rounds differently: confidences move by hundredths of a point, rarely more


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def sessions(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of a page's sessions, each with the lines that it prints; those marked "not run" are left out."""
    found: list[tuple[str, list[str]]] = []
    for mark, block in re.findall(r"(<!-- not run[^\n]*\n)?```console\n(.*?)```", read(page), re.DOTALL):
        for line in () if mark else block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line.rstrip())
    return found


SESSIONS = [(page.name, *session) for page in PAGES for session in sessions(page)]


@pytest.mark.posix
@pytest.mark.parametrize(("page", "command", "shown"), SESSIONS, ids=[f"{page}: {line}" for page, line, _ in SESSIONS])
def test_a_session_prints_what_the_page_shows(page, command, shown, tmp_path, monkeypatch):  # noqa: ARG001
    (tmp_path / "examples").symlink_to(DOCS.parent / "examples")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(command)[1:], env={"TERMINAL_WIDTH": "100", "NO_COLOR": "1"})
    printed = [line.rstrip() for line in done.output.splitlines()]
    assert [NUMBER.sub("#", line) for line in sorted(printed)] == [NUMBER.sub("#", line) for line in sorted(shown)]
    for line, expected in zip(sorted(printed), sorted(shown), strict=True):
        pairs = zip(NUMBER.findall(line), NUMBER.findall(expected), strict=True)
        assert all(float(a) == pytest.approx(float(b), abs=POINTS_OFF if "." in b else 0) for a, b in pairs), line


def test_the_guides_have_sessions_that_are_run():
    assert len(SESSIONS) >= 12


def rows() -> list[tuple[str, list[str], Path]]:
    """The rows of the table of figures: what it is, its figures, and the page that has them."""
    table = re.findall(
        r"^\| (.+?) \| (.+?) \| (.+?) \| \[[^\]]+\]\(([^)#]+)[^)]*\) \|$",
        read(DOCS / "guides" / "accuracy.md"),
        re.MULTILINE,
    )
    return [(what, [figure, n], DOCS / "guides" / page) for what, figure, n, page in table]


@pytest.mark.parametrize(("what", "figures", "page"), rows(), ids=[what for what, *_ in rows()])
def test_a_figure_of_the_guide_is_on_a_row_of_the_measured_page(what, figures, page):
    numbers = [number for text in figures for number in re.findall(r"[\d,]+(?:\.\d+)?", text)]
    measured = [re.findall(r"[\d,]+(?:\.\d+)?", line) for line in read(page).splitlines()]
    name = re.match(r"`([a-z]+)`", what)
    lines = [line for line, text in zip(measured, read(page).splitlines(), strict=True) if not name or name[1] in text]
    if "corruptions" in what:
        assert {*numbers} <= {number for line in lines for number in line}
    else:
        assert any({*numbers} <= {*line} for line in lines), f"{what}: {numbers} are not together on {page.name}"


def test_the_guide_has_its_figures():
    assert len(rows()) >= 15


def test_drawings_are_what_their_script_draws():
    drawings = runpy.run_path(str(DOCS / "drawings.py"))["DRAWINGS"]
    drawn = {file: content for draw in drawings.values() for file, content in draw().items()}
    assert {file: (DOCS / "pictures" / file).read_text(encoding="utf-8") for file in drawn} == drawn


def test_every_picture_is_shown_and_every_guide_shows_one():
    shown = {page.name: set(re.findall(r"pictures/([\w.-]+)", read(page))) for page in PAGES}
    assert [page.name for page in PAGES if not re.search(r"\.(png|svg)\b", read(page))] == []
    files = [path for path in (DOCS / "pictures").iterdir() if path.suffix in {".png", ".svg"}]
    others = "".join(read(page) for page in sorted(DOCS.glob("*.md")) if page not in PAGES)
    assert [
        path.name for path in files if path.name not in {*set().union(*shown.values())} and path.name not in others
    ] == []
    assert set().union(*shown.values()) - {path.name for path in files} == set()
    assert sum(path.stat().st_size for path in files) <= MAX_PICTURES_BYTES
