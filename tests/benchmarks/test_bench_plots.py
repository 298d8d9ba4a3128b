from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest

from benchmarks.speed import bench_plots
from inkdigit.report.canvas import DARK, LIGHT, drawing, plane


@pytest.fixture
def lines(line):
    return [
        line(seed=0),
        line(seed=1, accuracy=0.992),
        line("sklearn_knn", parameters=None, curve=[[1, 0.01, 0.97]]),
        line("zoo_cnn", parameters=5994, curve=[[1, 9.0, 0.9], [2, 20.0, 0.988]]),
    ]


def test_there_are_both_figures_in_both_themes_and_the_same_lines_give_the_same_bytes(lines):
    drawn = bench_plots.draw(lines)
    assert sorted(drawn) == [
        "accuracy-parameters-dark.svg",
        "accuracy-parameters-light.svg",
        "accuracy-time-dark.svg",
        "accuracy-time-light.svg",
    ]
    assert bench_plots.draw(lines) == drawn
    for name, data in drawn.items():
        assert ElementTree.fromstring(data).tag.endswith("svg")
        theme = LIGHT if "light" in name else DARK
        assert theme.panel.encode() in data
        assert theme.blue.encode() in data
        assert theme.orange.encode() in data


def test_other_figures_give_other_bytes(line, lines):
    moved = [*lines[:3], line("zoo_cnn", parameters=5994, curve=[[1, 9.0, 0.9], [2, 20.0, 0.985]])]
    before, after = bench_plots.draw(lines), bench_plots.draw(moved)
    assert [name for name in before if before[name] == after[name]] == []


def test_without_lines_that_count_there_is_nothing_to_draw_or_to_show(line):
    assert bench_plots.draw([line(smoke=True)]) == {}
    assert bench_plots.pictures([], folder="x") == {}


def test_a_perfect_network_and_one_that_never_learns_can_be_drawn(line):
    drawn = bench_plots.draw([line(curve=[[1, 1.0, 1.0]]), line("zoo_cnn", curve=[[1, 5.0, 0.1], [2, 9.0, 0.1]])])
    assert len(drawn) == 4


def test_the_page_shows_each_figure_light_or_dark(lines):
    shown = bench_plots.pictures(lines, folder="benchmarks")
    assert len(shown) == 2
    for alt, text in shown.items():
        assert f'alt="{alt}"' in text
        files = [part.split('"')[0] for part in text.split("benchmarks/")[1:]]
        assert set(files) <= set(bench_plots.draw(lines))
        assert len(files) == 2


def test_names_of_close_points_cover_neither_each_other_nor_the_points():
    points = [bench_plots.Point(10 + i / 10, 0.01 + i / 1e4, 0.0, f"entrant {i}", True) for i in range(5)]
    with drawing(LIGHT):
        figure, axes = plane(5, 5)
        axes.set(xscale="log", yscale="log", xlim=(1, 100), ylim=(0.1, 0.001))
        bench_plots.name_points(figure, axes, points, [], LIGHT)
        frame = axes.get_window_extent()
        boxes = [words.get_window_extent() for words in axes.texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    places = [axes.transData.transform((point.x, point.error)) for point in points]
    assert not any(box.contains(*place) for box in boxes for place in places)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
