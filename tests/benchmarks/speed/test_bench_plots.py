from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.speed import bench_plots
from inkdigit.report.canvas import DARK, LIGHT


@pytest.fixture
def lines(line):
    return [
        line(seed=0),
        line(seed=1, accuracy=0.992),
        line("sklearn_knn", parameters=None, curve=[[1, 0.01, 0.97]]),
        line("zoo_cnn", parameters=5994, curve=[[1, 9.0, 0.9], [2, 20.0, 0.988]]),
    ]


def test_both_figures_are_drawn_in_both_themes_and_say_what_was_measured(line, lines):
    drawn = bench_plots.draw(lines)
    assert list(drawn) == [f"accuracy-{name}-{theme.name}.svg" for name in bench_plots.SHOWN for theme in (LIGHT, DARK)]
    for name, data in drawn.items():
        assert ElementTree.fromstring(data).tag.endswith("svg")
        theme = LIGHT if "light" in name else DARK
        assert all(colour.encode() in data for colour in (theme.panel, theme.blue, theme.orange))
    groups = bench_plots.latest(lines, device="cpu")
    assert bench_plots.over_parameters(groups, LIGHT) == drawn["accuracy-parameters-light.svg"]  # the same lines again
    moved = [*lines[:3], line("zoo_cnn", parameters=5994, curve=[[1, 9.0, 0.9], [2, 20.0, 0.985]])]
    other = bench_plots.over_parameters(bench_plots.latest(moved, device="cpu"), LIGHT)
    assert other != drawn["accuracy-parameters-light.svg"]


def test_without_lines_that_count_there_is_nothing_to_draw_or_to_show(line):
    assert bench_plots.draw([line(smoke=True)]) == {}
    assert bench_plots.figures([], folder="x") == []


def test_a_perfect_network_and_one_that_never_learns_can_be_drawn(line):
    extremes = [line(curve=[[1, 1.0, 1.0]]), line("zoo_cnn", curve=[[1, 5.0, 0.1], [2, 9.0, 0.1]])]
    assert b"</svg>" in bench_plots.over_time(bench_plots.latest(extremes, device="cpu"), LIGHT)


def test_the_page_shows_each_figure_light_or_dark(lines):
    shown = bench_plots.figures(lines, folder="benchmarks")
    for text, (name, alt) in zip(shown, bench_plots.SHOWN.items(), strict=True):
        assert f'alt="{alt}"' in text
        files = [piece.split('"')[0] for piece in text.split("benchmarks/")[1:]]
        assert files == [f"accuracy-{name}-dark.svg", f"accuracy-{name}-light.svg"]
