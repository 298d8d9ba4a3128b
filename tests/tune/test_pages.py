"""The page of a search: everything that was tried is on it, and nothing from outside breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inkdigit.report.canvas import LIGHT
from inkdigit.tune.pages import Story, TrialRow, draw, place, write_page
from inkdigit.tune.space import Choices, Range, Space
from inkdigit.tune.winner import Duel

SPACE = Space(
    {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "filters": Choices(([4], [4, 8])),
        "batch": Range(64, 64, whole=True),
        "activation": Choices(("relu",)),
    }
)


def row(number: int, value: float | None, state: str = "finished", **more: object) -> TrialRow:
    params = {"learning_rate": 1e-4 * (1 + number), "filters": "[4, 8]", "batch": 64, "activation": "relu"}
    return TrialRow(number, state, value, 5, 1.5, **{"params": params, **more})


STORY = Story(
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
    cost="60 of 100 pictures, 5 epochs",
    pictures={"a trial learns from": 60},
    duel=Duel((1, 2, 3), (0.9, 0.91, 0.92), (0.95, 0.94, 0.96), 100),
    no_duel="",
)


def page(story: Story, tmp_path) -> str:
    write_page(tmp_path / "study.html", story)
    return (tmp_path / "study.html").read_text()


def test_all_trials_are_on_the_page_with_what_became_of_them(tmp_path):
    text = page(STORY, tmp_path)
    for state, name in (("best", "winner"), ("start", "start"), ("pruned", "pruned"), ("failed", "failed")):
        assert f'<tr class="{state}">' in text
        assert f"<td>{name}</td>" in text
    for said in ("below the median", "Block 3 leaves nothing", "code -9", "60 of 100 pictures", STORY.duel.verdict):
        assert said in text
    assert "&lt;b&gt;mine" in text
    assert "<b>mine" not in text
    assert "<script" not in text
    assert "0.0001 to 0.01 (log)" in text


def test_the_headline_is_the_whole_training_where_there_is_one(tmp_path):
    assert '<p class="headline">95.00<small>' in page(STORY, tmp_path)
    alone = replace(STORY, duel=None, no_duel="No trial was better.", best_value=0.93)
    text = page(alone, tmp_path)
    assert '<p class="headline">93.00<small>' in text
    assert "No trial was better." in text


@pytest.mark.parametrize("importances", [{}, {"learning_rate": 1.0}])
def test_a_search_of_one_trial_has_its_figures(importances):
    drawn = draw(
        replace(STORY, rows=[row(0, 0.5, is_start=True)], best=0, importances=importances, duel=None), theme=LIGHT
    )
    assert set(drawn) == {"history", "parallel", *(["importances"] if importances else [])}
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())


def test_a_value_has_its_place_on_its_axis():
    log, filters = SPACE.dimensions["learning_rate"], SPACE.dimensions["filters"]
    assert [place(log, value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [place(Range(0, 10), value) for value in (0, 5, 10)] == [0, 0.5, 1]
    assert [place(filters, value) for value in ("[4]", "[4, 8]")] == [0, 1]
    assert place(SPACE.dimensions["batch"], 64) == 0.5
    assert place(SPACE.dimensions["activation"], "relu") == 0.5
