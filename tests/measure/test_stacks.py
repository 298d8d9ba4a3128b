"""Operations on a stack of images, against results by hand or by SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.measure import stacks


def random(n: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((n, 28, 28))


@pytest.mark.parametrize("sigma", [0.7, 1.5, 4])
def test_blur_is_a_gaussian_filter(sigma):
    ndimage = pytest.importorskip("scipy.ndimage")
    expected = [ndimage.gaussian_filter(image, sigma, mode="nearest") for image in random()]
    assert np.allclose(stacks.blur(random(), sigma), expected)


def test_a_warp_by_the_unit_matrix_changes_nothing():
    assert np.allclose(stacks.warp(random(), np.tile(np.eye(2), (3, 1, 1))), random())


def test_a_warp_uses_the_matrix_of_each_image():
    half_turn, flip = -np.eye(2), np.diag([-1.0, 1.0])
    turned, flipped = stacks.warp(random(2), np.stack([half_turn, flip]))
    assert np.allclose(turned, random(2)[0, ::-1, ::-1])
    assert np.allclose(flipped, random(2)[1, :, ::-1])


def test_a_warp_interpolates_and_is_black_outside():
    ndimage = pytest.importorskip("scipy.ndimage")
    matrix = np.array([[1.3, -0.4], [0.2, 1.1]])  # of (x, y)
    swapped = matrix[::-1, ::-1]  # of (row, column)
    offset = 13.5 - swapped @ [13.5, 13.5]
    expected = ndimage.affine_transform(np.pad(random(1)[0], 9), swapped, offset + 9 - swapped @ [9, 9], order=1)
    assert np.allclose(stacks.warp(random(1), matrix[None])[0], expected[9:-9, 9:-9])


def test_a_smear_extends_from_a_point_along_its_angle():
    point = np.zeros((3, 28, 28))
    point[:, 14, 20] = 1
    level, down, up = stacks.smear(point, 5, 2.0, np.array([0, np.pi / 4, -np.pi / 4]))
    assert np.flatnonzero(level[14]).tolist() == list(range(10, 21))
    assert (np.diff(level[14, 10:21]) > 0).all()  # it fades
    assert level.sum() == pytest.approx(1)
    assert np.argwhere(down).tolist() == [[y, y + 6] for y in range(14 - 7, 15)]
    assert np.allclose(up, np.roll(down[::-1], 1, axis=0))


def test_a_line_is_full_along_its_length_and_fades_above_and_below():
    (line,) = stacks.lines(*(np.array([v]) for v in (4.0, 10.0, 20.0, 10.0)))
    assert (line[10, 4:20] == 1).all()
    assert line[:, [*range(4), *range(20, 28)]].max() == 0
    assert (line[9, 4:20] == line[11, 4:20]).all()
    assert 0 < line[9, 4] < 1
    assert line[8, 4] == line[13, 4] == 0


def test_a_cloud_fills_its_range_and_is_smooth():
    rng = np.random.default_rng(0)
    rough, smooth = stacks.clouds(16, 1.4, rng), stacks.clouds(16, 2.5, rng)
    for cloud in (rough, smooth):
        assert 0 <= cloud.min() < cloud.max() <= 1
    step = [np.abs(np.diff(cloud)).mean() for cloud in (rough, smooth)]
    assert step[1] < step[0] < np.abs(np.diff(rng.permuted(rough, axis=2))).mean() / 2


def test_edges_are_a_thin_ring_around_a_square():
    square = np.zeros((1, 28, 28))
    square[0, 8:20, 8:20] = 1
    (edge,) = stacks.edges(square)
    ring = np.zeros((28, 28), bool)
    ring[6:22, 6:22] = True
    ring[10:18, 10:18] = False
    assert not (edge & ~ring).any()
    assert edge[:, 13].sum() == edge[13].sum() == 4  # symmetric: both pixels at a step are as strong
    assert np.array_equal(edge, edge[::-1])
    assert np.array_equal(edge, edge.T)


def test_a_weak_edge_counts_if_it_touches_a_strong_one():
    fading = np.zeros((2, 28, 28))
    fading[0, 14:, 3:25] = np.linspace(0.0, 0.5, 22)  # weak on the left, strong on the right
    fading[1, 14:, 3:25] = 0.06  # weak all along
    hanging, alone = stacks.edges(fading)
    strong = stacks.edges(np.where(fading > 0.08, fading, 0))[0]
    assert hanging[13:15].any(axis=0).sum() > strong[13:15, 8:].any(axis=0).sum()
    assert not alone.any()


def test_nothing_has_no_edges():
    assert not stacks.edges(np.zeros((2, 28, 28))).any()
    assert not stacks.edges(np.ones((2, 28, 28))).any()


def test_shuffled_pixels_stay_near():
    gradient = np.tile(np.arange(28.0), (4, 28, 1))
    mixed = stacks.shuffle_near(gradient, 1, 1, np.random.default_rng(0))
    assert np.array_equal(np.sort(mixed, axis=None), np.sort(gradient, axis=None))
    assert 0.2 < (mixed != gradient).mean() < 0.8
    assert np.median(np.abs(mixed - gradient)) <= 1
    assert not np.array_equal(mixed[0], mixed[1])
