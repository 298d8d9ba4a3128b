"""Pages that scripts write from results: their Markdown from a template, and how they are checked.

In: a template of this folder tree (`accuracy/page.md.j2`) and its values; paths, and what they should hold. Out: the
files written, or with `--check` only named; an exit code.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.common import results
from inkdigit.files import write_atomic
from inkdigit.training.recipe import FOLDER

Files = dict[Path, bytes]  # what each should hold
WIDTH = 120  # characters of a line of a page
RECIPE_WIDTH = 118  # of a line of a recipe
FENCE = "```"
PROSE = re.compile(r"(?![-+*] |\d+\. |\||#|<|>|!| {4})")  # how a paragraph begins that may be broken into lines again
UNBREAKABLE = re.compile(r"`[^`]*`|\]\([^)]*\)")  # code and the target of a link stay on one line


def render(template: str, values: Mapping[str, Any]) -> str:
    """The page that a template makes of `values`: prose broken into lines of a page's width."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return fill(environment.get_template(template).render(values)) + "\n"


def fill(text: str) -> str:
    """Markdown with its paragraphs broken into lines; headings, tables, lists, code and HTML stay as they are."""
    blocks, in_fence = [], False
    for block in re.split(r"\n{2,}", text.strip()):
        if not in_fence and FENCE not in block and PROSE.match(block):
            block = _wrap(block)
        in_fence ^= block.count(FENCE) % 2 == 1
        blocks.append(block)
    return "\n\n".join(blocks)


def _wrap(paragraph: str) -> str:
    joined = UNBREAKABLE.sub(lambda match: match[0].replace(" ", "\0"), " ".join(paragraph.split()))
    lines = textwrap.wrap(joined, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def main(
    about: str | None,
    page: Path,
    files: Callable[[Path, Path], Files],
    *,
    script: str,
    recipes: Callable[[Path, Path], Files] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Write a page, or check it.

    `files` makes it and its figures from the folder of results and its own path; `recipes` makes the recipes whose
    first lines quote results, from the folders of results and of recipes. `argv` is the command line without the name
    of the program; None stands for the one of this process.
    """
    parser = results.parser(about)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is stale")
    parser.add_argument("--page", type=Path, default=page)
    if recipes is not None:
        parser.add_argument("--recipes", type=Path, default=FOLDER, help="the folder of the recipes")
    options: argparse.Namespace = parser.parse_args(argv)
    expected = files(options.results, options.page) | (recipes(options.results, options.recipes) if recipes else {})
    return write(expected, check=options.check, page=options.page.name, script=script)


def beside(page: Path, text: str, figures: Mapping[str, bytes]) -> Files:
    """A page, and its figures in the folder of its name."""
    return {page: text.encode(), **{page.with_suffix("") / name: data for name, data in figures.items()}}


def headed(folder: Path, headers: Mapping[str, str]) -> Files:
    """Recipes, each with its header in place of the comment at its top."""
    files = {}
    for name, words in headers.items():
        path = folder / f"{name}.toml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        while lines and lines[0].startswith("#"):
            del lines[0]
        comment = textwrap.wrap(words, RECIPE_WIDTH - len("# "), break_on_hyphens=False)
        files[path] = "".join([*(f"# {line}\n" for line in comment), *lines]).encode()
    return files


def write(expected: Files, *, check: bool, page: str, script: str) -> int:
    """Write the files that are stale, or only name them; the exit code of the script."""
    stale = [path for path, data in expected.items() if not path.exists() or path.read_bytes() != data]
    if not stale:
        print(f"{page}: up to date")
        return 0
    names = ", ".join(path.name for path in stale)
    if check:
        print(f"{names}: stale; write it with: python -m {script}")
        return 1
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, expected[path])
    print(f"{names}: written")
    return 0
