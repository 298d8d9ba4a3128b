"""Templates: pages with the shared styles."""

from __future__ import annotations

import sys

import pytest

from inkdigit.errors import MissingExtra
from inkdigit.report import template


def test_a_page_needs_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"\[report\]"):
        template.render("style.css.j2", {})


def test_the_styles_have_the_colours_of_both_themes() -> None:
    style = template.render("style.css.j2", {})
    assert f"--panel: {template.LIGHT.panel};" in style
    assert f"--panel: {template.DARK.panel};" in style
