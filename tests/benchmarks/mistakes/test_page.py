"""What `mistakes/page.py` makes of what was stored."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.mistakes import measure as mistakes
from benchmarks.mistakes import page as mistakes_page
from benchmarks.mistakes import plots
from inkdigit.report.canvas import DARK, LIGHT


@pytest.fixture(scope="module")
def record(line):
    """Two seeds on 200 pictures, wrong on three; and a select run."""
    labels = np.arange(200) % 10
    answers = np.stack([labels, labels])
    answers[:, 3], answers[0, 14], answers[1, 25] = 5, 9, 6
    probs = np.full((2, 200, 10), 0.002, np.float32)
    np.put_along_axis(probs, answers[..., None], 0.95, axis=2)
    votes = {3: mistakes.Vote(3, "5", 4, 1), 14: mistakes.Vote(4, "?", 2, 2)}
    readings = mistakes.Readings(votes, {3: "5", 25: "5"})
    writers = np.repeat(np.arange(2095, 2105, dtype=np.int32), 20)
    about: dict[str, Any] = {
        key: line()[key] for key in ("smoke", "date", "commit", "machine", "versions", "parameters")
    }
    return {
        **about,
        "command": "python x.py",
        "recipe": "tiny",
        "calibrated_on": "3,000 held-out training pictures",
        "seeds": [0, 1],
        "nll": [0.02, 0.022],
        "ece": [0.003, 0.005],
        **mistakes.summarise(probs, labels, readings),
        "halves": [
            {"writers": "students", "n": 150, "wrong": [2, 2]},
            {"writers": "employees", "n": 50, "wrong": [0, 0]},
        ],
        "select": [{"recipe": "tiny", "seed": 4, **mistakes.by_writer(writers, answers[0] != labels)}],
    }


@pytest.fixture(scope="module")
def text(record):
    return mistakes_page.render(record)


@pytest.mark.parametrize("stored", [None, {"smoke": True}])
def test_without_results_or_after_a_try_the_page_says_so_and_draws_nothing(tmp_path, stored):
    if stored:
        (tmp_path / mistakes.NAME).write_text(json.dumps(stored), encoding="utf-8")
    (page,) = mistakes_page.files(tmp_path, tmp_path / "left.md").values()
    assert page.decode().endswith("Not measured yet.\n")


SENTENCES = [
    "| a network, in the mean | 2.0 ± 0.0 | 2 |",
    "| at least one | 3 | 2 |",
    "| the label's | 1 | 1 |",
    "| the network's | 0 | 1 |",
    "| as labelled | 99.000 ± 0.000 % | 2 |",
    "| 1 labels corrected | 99.500 ± 0.000 % | 2 |",
    "a network predicts 0.0 ± 0.0 as labelled and 1.0 ± 0.0 as the votes say (n = 2)",
    "| 14 | 4 | ? (2 of 5, label 2) | – | no | 9, 4 |",
    "| expected calibration error, 15 bins | 0.400 ± 0.141 % | 2 |",
    "fitted on 3,000 held-out training pictures",
    "| 0.9 to 0.99 | 400 | 95.00 % | 99.00 % |",
    "| students | 150 | 2.0 ± 0.0 | 98.67 ± 0.00 % | 2 |",
    "| `tiny`, 4 | 200 | 2 | 10 | 9 | 8 [8–9] |",
    "| 4 | 2095 | 20 | 2 |",
    "| 3 | 5 | 2 | 1.0 |",
    "| 3 | 3 | 5 | 0.950 | 5: 0.950, 0: 0.002 | 2 of 2 | 5 | the label's |",
    f"- `{mistakes.COMMAND}`: 2026-01-01",
]


def test_the_page_says_what_was_found(text):
    assert [sentence for sentence in SENTENCES if sentence not in " ".join(text.split())] == []


def test_networks_that_were_not_calibrated_and_writers_that_were_not_asked_about_are_told(record):
    text = mistakes_page.render({**record, "calibrated_on": "nothing", "select": []})
    assert "Not calibrated." in text
    assert "Writers of training images: not measured yet." in text


def test_both_figures_are_drawn_in_both_themes(record):
    drawn = plots.draw(record)
    assert sorted(drawn) == [
        f"{name}-{theme}.svg" for name in ("confidence", "left-out") for theme in ("dark", "light")
    ]
    for name, data in drawn.items():
        assert ElementTree.fromstring(data).tag.endswith("svg")
        assert (LIGHT if "light" in name else DARK).panel.encode() in data
    assert plots.left_out(record, LIGHT) == drawn["left-out-light.svg"]  # the same results, the same bytes


def test_networks_without_a_common_mistake_can_be_drawn(record):
    assert b"</svg>" in plots.confidence({**record, "pictures": []}, LIGHT)
