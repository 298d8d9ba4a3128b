"""Settings reach the worker processes as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkdigit.serve.settings import ENVIRONMENT, Settings


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            models=("default", "runs/ä"),
            collect=Path("/kept/a b.db"),
            token="secret",
            origins=("https://a.example", "https://b.example"),
            names=("localhost", "[::1]"),
            time_limit_s=0.5,
        ),
    ],
)
def test_they_come_back_from_the_environment(settings, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, settings.to_json())
    assert Settings.of_worker() == settings
