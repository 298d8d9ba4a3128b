"""Templates: pages in the house's look, and numbers as people say them."""

from __future__ import annotations

import sys

import pytest

from inkdigit.errors import MissingExtra
from inkdigit.report import template


def test_a_page_without_jinja_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"inkdigit\[train\]"):
        template.render("style.css.j2", {})


def test_the_look_knows_both_themes() -> None:
    style = template.render("style.css.j2", {})
    assert f"--panel: {template.LIGHT.panel};" in style
    assert f"--panel: {template.DARK.panel};" in style


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.418, "0.42 s"), (41.27, "41.3 s"), (372.0, "6 min 12 s"), (7512.0, "2 h 5 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert template.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (True, "True"), (24122, "24,122"), (3.0, "3"), (0.0123456, "0.012346"), ("<b>", "<b>")],
)
def test_numbers_in_words(value: object, words: str) -> None:
    assert template.number(value) == words
