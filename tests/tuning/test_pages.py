"""The page of a search: every trial is on it, and text from outside is escaped."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from inkdigit.report.canvas import LIGHT
from inkdigit.tuning import pages
from inkdigit.tuning.pages import Content, TrialRow, draw, position, write_page
from inkdigit.tuning.space import Choices, Range, Space
from inkdigit.tuning.winner import Comparison

SPACE = Space(
    {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "filters": Choices(([4], [4, 8])),
        "batch": Range(64, 64, integer=True),
        "activation": Choices(("relu",)),
    }
)


def row(number: int, value: float | None, state: str = "finished", **more: object) -> TrialRow:
    params = {"learning_rate": 1e-4 * (1 + number), "filters": "[4, 8]", "batch": 64, "activation": "relu"}
    return TrialRow(number, state, value, 5, 1.5, **{"params": params, **more})


CONTENT = Content(
    name="<b>mine",
    data="drawn",
    seed=0,
    dimensions=SPACE.dimensions,
    space=SPACE.describe(),
    rows=[
        row(0, 0.9, is_start=True, params={"batch": 64, "activation": "relu"}, outside={"learning_rate": "0.5"}),
        row(1, 0.95),
        row(2, 0.1),
        row(3, 0.5, "pruned", reason="below the median"),
        row(4, None, "pruned", reason="Block 3 leaves nothing"),
        row(5, None, "failed", reason="its process ended with code -9"),
    ],
    best=1,
    best_value=0.95,
    start_value=0.9,
    importances={"learning_rate": 0.75, "filters": 0.25},
    changes=[("learning_rate", "0.5", "0.0002")],
    trial_size="60 of 100 images, 5 epochs",
    images={"a trial trains on": 60},
    comparison=Comparison((1, 2, 3), (0.9, 0.91, 0.92), (0.95, 0.94, 0.96), 100),
    no_comparison="",
)


def page(content: Content, tmp_path) -> str:
    write_page(tmp_path / "study.html", content)
    return (tmp_path / "study.html").read_text(encoding="utf-8")


def test_all_trials_are_on_the_page_with_their_state(tmp_path):
    text = page(CONTENT, tmp_path)
    for state, name in (("best", "winner"), ("start", "start"), ("pruned", "pruned"), ("failed", "failed")):
        assert f'<tr class="{state}">' in text
        assert re.search(rf'<td data-name="state">{name}[<:]', text)
    for text_part in (
        "below the median",
        "Block 3 leaves nothing",
        "code -9",
        "60 of 100 images",
        CONTENT.comparison.verdict,
    ):
        assert text_part in text
    assert "&lt;b&gt;mine" in text
    assert "<b>mine" not in text
    assert "<script" not in text
    assert "0.0001 to 0.01 (log)" in text


def test_the_headline_is_the_full_training_if_there_was_one(tmp_path):
    assert '<p class="headline">95.00<small>' in page(CONTENT, tmp_path)
    alone = replace(CONTENT, comparison=None, no_comparison="No trial was better.", best_value=0.93)
    text = page(alone, tmp_path)
    assert '<p class="headline">93.00<small>' in text
    assert "No trial was better." in text


@pytest.mark.parametrize("importances", [{}, {"learning_rate": 1.0}])
def test_a_search_of_one_trial_has_its_figures(importances):
    figures = draw(
        replace(CONTENT, rows=[row(0, 0.5, is_start=True)], best=0, importances=importances, comparison=None),
        theme=LIGHT,
    )
    assert set(figures) == {"history", "parallel", *(["importances"] if importances else [])}
    assert all(png.startswith(b"\x89PNG") for png in figures.values())


def test_a_value_has_its_position_on_its_axis():
    log, filters = SPACE.dimensions["learning_rate"], SPACE.dimensions["filters"]
    assert [position(log, value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [position(Range(0, 10), value) for value in (0, 5, 10)] == [0, 0.5, 1]
    assert [position(filters, value) for value in ("[4]", "[4, 8]")] == [0, 1]
    assert position(SPACE.dimensions["batch"], 64) == 0.5
    assert position(SPACE.dimensions["activation"], "relu") == 0.5


def test_long_names_of_choices_are_written_in_full_in_several_lines(monkeypatch):
    ticks = []
    monkeypatch.setattr(pages, "_write_axis", lambda *given: ticks.extend(given[3]))
    names = ("he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "orthogonal")
    pages._draw_axis(None, 0, "initializer", Choices(names), LIGHT)
    assert [(text, line) for _, text, line in ticks] == list(zip(names, (0, 1, 0, 1, 0), strict=True))
