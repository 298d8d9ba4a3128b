from __future__ import annotations

from itertools import combinations

from benchmarks.common import plots
from inkdigit.report.canvas import LIGHT, drawing, plane


def test_names_of_close_points_cover_neither_each_other_nor_the_points():
    points = [plots.Point(10 + i / 10, 0.01 + i / 1e4, 0.0, f"entrant {i}", True) for i in range(5)]
    with drawing(LIGHT):
        figure, axes = plane(5, 5)
        axes.set(xscale="log", yscale="log", xlim=(1, 100), ylim=(0.1, 0.001))
        plots.name_points(figure, axes, points, [], LIGHT)
        frame = axes.get_window_extent()
        boxes = [words.get_window_extent() for words in axes.texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    places = [axes.transData.transform((point.x, point.error)) for point in points]
    assert not any(box.contains(*place) for box in boxes for place in places)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
