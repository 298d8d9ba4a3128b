from __future__ import annotations

import jinja2
import pytest

from benchmarks.common import pages
from inkdigit.training.recipe import FOLDER, Recipe


@pytest.fixture
def run(tmp_path):
    """Run a page's script that writes `text`, a figure, and the header of a recipe."""

    def call(text: str, *words: str) -> int:
        where = ["--results", str(tmp_path), "--page", str(tmp_path / "docs" / "a.md"), "--recipes", str(tmp_path)]
        return pages.main(
            "about",
            tmp_path / "unused.md",
            lambda folder, page: pages.beside(page, f"{text} {folder.name}", {"a.svg": b"<svg/>"}),
            script="benchmarks.accuracy.page",
            recipes=lambda _, at: pages.headed(at, {"fast": "Claim. Measured."}),
            argv=[*where, *words],
        )

    (tmp_path / "fast.toml").write_text((FOLDER / "fast.toml").read_text(encoding="utf-8"), encoding="utf-8")
    return call


def test_a_page_its_figures_and_recipes_are_written_once_and_checked(run, tmp_path, capsys):
    assert run("one", "--check") == 1
    assert not (tmp_path / "docs").exists()
    assert capsys.readouterr().out == (
        "a.md, a.svg, fast.toml: stale; write it with: python -m benchmarks.accuracy.page\n"
    )
    assert run("one") == 0
    assert run("one", "--check") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "a.md: up to date"
    assert (tmp_path / "docs" / "a.md").read_text(encoding="utf-8") == f"one {tmp_path.name}"
    assert (tmp_path / "docs" / "a" / "a.svg").read_bytes() == b"<svg/>"
    assert Recipe.load(tmp_path / "fast.toml") == Recipe.load("fast")
    assert (tmp_path / "fast.toml").read_text(encoding="utf-8").startswith("# Claim. Measured.\n")
    (tmp_path / "docs" / "a" / "a.svg").write_bytes(b"")
    assert run("one", "--check") == 1
    assert capsys.readouterr().out.startswith("a.svg: stale")
    assert run("two", "--check") == 1


def test_prose_is_broken_into_lines_and_nothing_else_is():
    code, link = "`python -m benchmarks.accuracy.page --check`", "[a page](a-page.md)"
    prose = "many words " * 15 + f"{code} " + "and more " * 10 + link
    rest = ["# A heading", "| a | b |\n| --- | --- |", "- item " + "x " * 100, "    indented   code", "<!-- words -->"]
    fence = "```python\na = 1\n\n\nb = 2\n```"
    blocks = pages.fill("\n\n\n\n".join([*rest, prose, fence])).split("\n\n")
    assert blocks[: len(rest)] == rest
    lines = blocks[len(rest)].splitlines()
    assert " ".join(lines) == prose
    assert max(map(len, lines)) <= pages.WIDTH
    assert any(code in line for line in lines)


def test_a_template_that_asks_for_what_it_was_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="model"):
        pages.render("robustness/gallery.md.j2", {"sections": [], "folder": "gallery"})
