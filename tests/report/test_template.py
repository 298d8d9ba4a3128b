"""Templates: pages in the house's look."""

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
