"""The pages as they are written: links lead somewhere, and what is made from the code or from results is up to date."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DOCS, PAGES, ROOT

LINKED = [*PAGES, ROOT / "CHANGELOG.md"]
LARGEST_KB = 300  # of a picture


def test_the_generated_pages_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "room",
    [
        "accuracy",
        "hardening",
        "mistakes",
        "models",
        "notebooks",
        "reading",
        "robustness",
        "runtimes",
        "scale",
        "serving",
        "speed",
    ],
)
def test_the_pages_of_figures_are_what_was_measured(room, capsys):
    assert importlib.import_module(f"benchmarks.{room}.page").main(["--check"]) == 0, capsys.readouterr().out


def test_the_cards_of_the_networks_are_what_the_files_say(capsys):
    assert importlib.import_module("benchmarks.models.cards").main(["--check"]) == 0, capsys.readouterr().out


def test_links_lead_to_files_and_headings():
    broken = []
    for page in LINKED:
        for link, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            if "://" not in link and not target.exists():
                broken.append(f"{page.name}: {link}")
            elif heading and target.suffix == ".md" and heading not in anchors(target):
                broken.append(f"{page.name}: {link}#{heading}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page are called: small letters, hyphens for blanks, no other signs."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_are_there_with_a_text_and_not_too_large():
    wrong = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text) + re.findall(r'<img alt="([^"]*)" src="([^"]+)"', text)
        for said, source in shown + [("dark", one) for one in re.findall(r'srcset="([^"]+)"', text)]:
            picture = page.parent / source
            if not said or not picture.is_file():
                wrong.append(f"{page.name}: {source} has no text, or is not there")
            elif picture.is_relative_to(DOCS / "pictures") and picture.stat().st_size > 1000 * LARGEST_KB:
                wrong.append(f"{page.name}: {source} is larger than {LARGEST_KB} kB")
        for dark, light in re.findall(r'<source [^>]*srcset="([^"]+)"><img [^>]*src="([^"]+)"', text):
            if dark.replace("-dark.", "-light.") != light:
                wrong.append(f"{page.name}: {light} and {dark} are not two themes of one picture")
    assert wrong == []


def test_pages_are_markdown_that_reads_well_as_it_is():
    """No syntax of one builder: GitHub would show it as it is."""
    of_one_builder = re.compile(r'^(!!! |\?\?\? |=== "|::: )', re.MULTILINE)
    assert [page.name for page in PAGES if of_one_builder.search(page.read_text(encoding="utf-8"))] == []


def test_the_first_public_names_are_in_readme_guides_or_examples():
    first_read = [ROOT / "README.md", ROOT / "examples" / "minimal.py", *(DOCS / "guides").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in first_read)
    first = ("predict", "read", "load", "open_arrays", "open_data", "train", "Recipe")
    assert [name for name in first if f"inkdigit.{name}(" not in text and f"inkdigit.{name}." not in text] == []
