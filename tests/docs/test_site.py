"""The site as it is built: without a warning, whole, and on its own.

In: the folder that `make docs` writes. What a reader sees of it in a browser is in test_reader.py.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

import inkdigit
from inkdigit.cli.app import app
from pages import commands, names, stage

from .conftest import DOCS, ROOT

griffe = pytest.importorskip("griffe", reason="the extra docs is not installed")
MAX_PROCESSOR_SECONDS = 60
LINK = re.compile(r'\s(?:href|src)="([^"]*)"')
ID = re.compile(r'\sid="([^"]*)"')
LOADED = re.compile(r'<(?:script|img|iframe|source|audio|video)\b[^>]*\ssrc="([^"]*)"|<link\b[^>]*\shref="([^"]*)"')


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def pages_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


@cache
def ids_of(page: Path) -> frozenset[str]:
    return frozenset(html.unescape(one) for one in ID.findall(text_of(page)))


def test_it_is_built_without_a_warning_in_a_minute(site):
    assert site.code == 0, site.output
    assert "WARNING" not in site.output
    assert site.processor_seconds < MAX_PROCESSOR_SECONDS


def test_every_link_leads_to_a_page_a_file_or_a_heading(site):
    dead, count = [], 0
    for page in pages_of(site.folder):
        if page.name == "404.html":  # its links are those of a server's root
            continue
        for link in set(LINK.findall(text_of(page))):
            target, _, heading = html.unescape(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            place = (page.parent / unquote(target)).resolve() if target else page
            if not place.is_file() or (heading and place.suffix == ".html" and unquote(heading) not in ids_of(place)):
                dead.append(f"{page.relative_to(site.folder)}: {link}")
    assert dead == []
    assert count > 1000


def test_nothing_is_loaded_from_another_host(site):
    loaded = {
        one
        for page in pages_of(site.folder)
        for found in LOADED.findall(text_of(page))
        for one in found
        if re.match(r"(https?:)?//", one)
    }
    assert loaded == set()
    styles = "".join(path.read_text(encoding="utf-8") for path in site.folder.rglob("*.css"))
    assert re.findall(r"url\(\s*[\"']?(https?:[^)]*)", styles) == []


def test_every_public_name_has_a_page(site):
    missing = [name for name in inkdigit.__all__ if f'id="inkdigit.{name}"' not in _page(site, f"api/{name}.html")]
    assert missing == []


def _page(site, name: str) -> str:
    path = site.folder / name
    return text_of(path) if path.exists() else ""


def test_the_results_that_the_table_of_names_has_are_on_their_pages():
    table = text_of(DOCS / "python.md")
    results = {
        name for row in re.findall(r"^\|(.*)\|$", table, re.MULTILINE) for name in re.findall(r"`([A-Z]\w+)`", row)
    }
    known = {path.rpartition(".")[2] for path in stage.documented()}
    assert results - known == set()
    assert len(results) > 15


def test_the_types_in_public_signatures_are_on_pages():
    package = griffe.load("inkdigit", search_paths=[str(ROOT / "src")])
    named = set()
    for name in inkdigit.__all__:
        target = package[name].final_target
        if target.is_function:
            for annotation in [target.returns, *(one.annotation for one in target.parameters)]:
                if isinstance(annotation, griffe.Expr):
                    named |= {one.canonical_path for one in annotation.iterate() if isinstance(one, griffe.ExprName)}
    ours = {name for name in named if name.startswith("inkdigit.")}
    known = {package[path].canonical_path for path in stage.documented()}
    assert ours - known == set()


def test_every_command_has_a_page(site):
    visible = [name.replace(" ", "-") for name, _ in commands.visible(typer.main.get_command(app))]
    assert [name for name in visible if not _page(site, f"commands/{name}.html")] == []
    assert len(visible) > 20


def test_every_class_of_errors_is_on_the_pages(site):
    from inkdigit import errors

    classes = [one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    table, reference = _page(site, "errors.html"), _page(site, "api/InkdigitError.html")
    assert [one for one in classes if f"<code>{one}</code>" not in table] == []
    assert [one for one in classes[1:] if f'id="inkdigit.errors.{one}"' not in reference] == []


def test_code_in_the_text_leads_to_its_page():
    assert stage.linked_code("inkdigit.train(recipe, data)", "guides") == (
        "[`inkdigit.train(recipe, data)`][inkdigit.train]"
    )
    assert stage.linked_code("inkdigit.Recipe.load", "") == "[`inkdigit.Recipe.load`][inkdigit.Recipe.load]"
    assert stage.linked_code("inkdigit.Run.nothing", "") == "[`inkdigit.Run.nothing`][inkdigit.Run]"
    assert stage.linked_code("inkdigit.nothing", "") == "`inkdigit.nothing`"
    assert stage.linked_code("inkdigit data check mnist", "guides") == (
        "[`inkdigit data check mnist`](../commands/data-check.md)"
    )
    assert stage.linked_code("inkdigit train fast", "") == "[`inkdigit train fast`](commands/train.md)"
    assert stage.linked_code("inkdigit nothing", "") == "`inkdigit nothing`"


def test_links_out_of_the_documentation_become_pages_and_files():
    page = DOCS / "guides" / "photos.md"
    text, linked = stage.rewritten(
        "[a](../../CONTRIBUTING.md#start) [b](../../examples/minimal.py) [c](../../deploy/) [d](https://example.org/)\n"
        "    [code](../../README.md)\n```sh\n[code](../../README.md)\n```\n",
        page,
    )
    assert text.splitlines()[0] == (
        "[a](../repository/CONTRIBUTING.md#start) [b](../repository/examples/minimal.py.md) "
        "[c](../repository/deploy/README.md) [d](https://example.org/)"
    )
    assert text.count("(../../README.md)") == 2
    assert linked == [ROOT / "CONTRIBUTING.md", ROOT / "examples" / "minimal.py", ROOT / "deploy" / "README.md"]


def test_a_picture_opens_in_full_size():
    assert stage.rewritten("![A sheet](a.png)", DOCS / "x.md")[0] == "[![A sheet](a.png)](a.png){ .picture }\n"
    badge = "[![A badge](a.svg)](b.md)"
    assert stage.rewritten(badge, DOCS / "x.md")[0] == f"{badge}\n"


def test_a_picture_for_two_themes_is_two_pictures():
    dark = '<source media="(prefers-color-scheme: dark)" srcset="a-dark.svg">'
    line = f'<picture>{dark}<img alt="A" src="a-light.svg"></picture>'
    assert stage.rewritten(line, DOCS / "x.md")[0] == (
        "[![A](a-light.svg#only-light)](a-light.svg){ .picture }[![A](a-dark.svg#only-dark)](a-dark.svg){ .picture }\n"
    )


def test_the_groups_of_names_hold_each_public_name_once():
    first = [page[0] for group in names.GROUPS.values() for page in group]
    assert sorted(name for name in first if "." not in name) == sorted(inkdigit.__all__)
