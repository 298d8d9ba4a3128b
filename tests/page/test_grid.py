"""The grid finder, on grids that are drawn here, and on a few photos of sudokus where they are on this machine."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from inkdigit.page.grid import Grid, find_even_grid, find_grid
from inkdigit.page.quad import UNIT, homography, project

WIDTH, HEIGHT = 360, 300
SQUARE = np.array([(90, 60), (270, 60), (270, 240), (90, 240)], float)
SUDOKU = np.linspace(0, 1, 10)
ROWS, COLUMNS = np.array([0, 0.2, 0.3, 0.6, 0.72, 1]), np.array([0, 0.4, 0.55, 1])  # of a table


def turned(corners: np.ndarray, deg: float) -> np.ndarray:
    """Corners, turned clockwise about their middle."""
    cos, sin = np.cos(np.radians(deg)), np.sin(np.radians(deg))
    middle = corners.mean(axis=0)
    return (corners - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle


def from_the_side(corners: np.ndarray) -> np.ndarray:
    return corners + np.array([(12, 14), (-20, 0), (16, 8), (-10, 20)])


def draw(
    corners: np.ndarray, across: Sequence[float] | np.ndarray, down: Sequence[float] | np.ndarray, *, thick: int = 3
) -> np.ndarray:
    """A map of ruling: float32 (HEIGHT, WIDTH); every `thick`-th line, and the last, is a thick one."""
    image = Image.new("L", (2 * WIDTH, 2 * HEIGHT))
    pen = ImageDraw.Draw(image)
    matrix = homography(UNIT, corners)
    for lines, swap in ((across, False), (down, True)):
        for number, place in enumerate(lines):
            ends = np.array([(0, place), (1, place)], float)
            points = 2 * project(matrix, ends[:, ::-1] if swap else ends)
            width = 5 if number % thick == 0 or number == len(lines) - 1 else 3
            pen.line([*map(tuple, points)], fill=255, width=width)
    small = image.filter(ImageFilter.GaussianBlur(1)).reduce(2)
    return np.asarray(small, np.float32) / 255


def assert_is(grid: Grid | None, corners: np.ndarray, across: np.ndarray, down: np.ndarray) -> None:
    """The grid has these corners within 2 px, and lines within 2 % of its side."""
    assert grid is not None
    assert (grid.rows, grid.columns) == (len(across) - 1, len(down) - 1)
    assert np.abs(grid.corners * (WIDTH, HEIGHT) - corners).max() < 2
    assert np.abs(np.array(grid.across) - across).max() < 0.02
    assert np.abs(np.array(grid.down) - down).max() < 0.02


@pytest.mark.parametrize("deg", [-20, -8, 0, 3, 20])
@pytest.mark.parametrize("side", [False, True])
def test_sudoku(deg: float, side: bool) -> None:
    corners = turned(from_the_side(SQUARE) if side else SQUARE, deg)
    assert_is(find_grid(draw(corners, SUDOKU, SUDOKU)), corners, SUDOKU, SUDOKU)


@pytest.mark.parametrize("side", [False, True])
def test_a_grid_of_known_size_is_found_among_writing_and_broken_lines(side: bool) -> None:
    corners = from_the_side(SQUARE) if side else SQUARE
    marks = draw(corners, SUDOKU, SUDOKU).copy()
    rng = np.random.default_rng(0)
    matrix = homography(UNIT, corners)
    for place in (np.stack(np.meshgrid(SUDOKU, SUDOKU), -1).reshape(-1, 2)).tolist():  # no line at the crossings
        x, y = project(matrix, np.array([place]))[0].astype(int)
        marks[y - 2 : y + 3, x - 2 : x + 3] = 0
    for row in range(9):
        for column in range(9):  # something in each cell, as high as a digit
            x, y = project(matrix, np.array([[(column + 0.5) / 9, (row + 0.5) / 9]]))[0].astype(int)
            marks[y - 5 : y + 6, x + rng.integers(-3, 3)] = 1
    marks[20:22, :] = 1  # a line of something else, and writing below the grid
    marks[262:272, 60:300:7] = 1
    assert_is(find_even_grid(marks, 9, 9), corners, SUDOKU, SUDOKU)


def test_a_grid_of_known_size_is_found_out_of_focus() -> None:
    sharp = Image.fromarray((255 * draw(SQUARE, SUDOKU, SUDOKU)).astype(np.uint8))
    marks = np.asarray(sharp.filter(ImageFilter.GaussianBlur(1.7)), np.float32)
    marks /= marks.max()
    assert find_grid(marks) is None
    assert_is(find_even_grid(marks, 9, 9), SQUARE, SUDOKU, SUDOKU)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (1, 0), (0, -1), (0, 1)])
def test_a_line_of_something_else_beside_the_grid_does_not_move_it(row: int, column: int) -> None:
    marks = draw(SQUARE, SUDOKU, SUDOKU).copy()
    if row:
        y = 60 + (190 if row > 0 else -10) + 10 * row
        marks[y : y + 3, 40:320] = 1
    else:
        x = 90 + (190 if column > 0 else -10) + 10 * column
        marks[20:280, x : x + 3] = 1
    assert_is(find_even_grid(marks, 9, 9), SQUARE, SUDOKU, SUDOKU)


def test_a_grid_of_another_size_is_not_one() -> None:
    marks = draw(SQUARE, SUDOKU, SUDOKU)
    assert find_even_grid(marks, 30, 9) is None
    assert find_even_grid(marks, 400, 400) is None
    assert find_even_grid(np.zeros((HEIGHT, WIDTH), np.float32), 9, 9) is None
    assert find_even_grid(np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32), 9, 9) is None


@pytest.mark.parametrize("deg", [-15, 0, 6])
def test_table_of_unequal_rows_and_columns(deg: float) -> None:
    corners = turned(from_the_side(SQUARE), deg)
    assert_is(find_grid(draw(corners, ROWS, COLUMNS, thick=9)), corners, ROWS, COLUMNS)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 7), (5, 3), (16, 12)])
def test_as_many_rows_and_columns(rows: int, columns: int) -> None:
    across, down = np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1)
    assert_is(find_grid(draw(from_the_side(SQUARE), across, down)), from_the_side(SQUARE), across, down)


def test_pieces_of_the_lines_are_missing() -> None:
    rng = np.random.default_rng(0)
    ruling = draw(from_the_side(SQUARE), SUDOKU, SUDOKU)
    for y, x in rng.integers((60, 90), (240, 270), (60, 2)):
        ruling[y - 3 : y + 4, x - 3 : x + 4] = 0
    assert_is(find_grid(ruling), from_the_side(SQUARE), SUDOKU, SUDOKU)


def test_faint_thin_lines() -> None:
    thick = draw(SQUARE, SUDOKU[::3], SUDOKU[::3], thick=1)
    faint = 0.15 * draw(SQUARE, SUDOKU, SUDOKU)
    assert_is(find_grid(np.maximum(thick, faint)), SQUARE, SUDOKU, SUDOKU)


def test_digits_that_are_taken_for_ruling() -> None:
    ruling = draw(SQUARE, SUDOKU, SUDOKU)
    for y in range(70, 240, 20):
        for x in range(100, 270, 20):
            ruling[y - 5 : y + 6, x - 1 : x + 1] = 0.4
    assert_is(find_grid(ruling), SQUARE, SUDOKU, SUDOKU)


def test_largest_of_two_grids_with_text_around() -> None:
    corners = turned(SQUARE - (70, 40), 5)
    small = turned(SQUARE / 3 + (225, 150), 5)
    ruling = np.maximum(draw(corners, SUDOKU, SUDOKU), draw(small, ROWS, COLUMNS))
    rng = np.random.default_rng(1)
    for y, x in rng.integers((245, 20), (290, 250), (40, 2)):
        ruling[y : y + 2, x : x + rng.integers(3, 20)] = rng.uniform(0.2, 1)
    assert_is(find_grid(ruling), corners, SUDOKU, SUDOKU)


def test_title_row_is_left_out() -> None:
    ruling = draw(SQUARE, SUDOKU, SUDOKU)
    title = np.array([(90, 35), (270, 35), (270, 60), (90, 60)], float)
    assert_is(find_grid(np.maximum(ruling, draw(title, [0, 1], [0, 1]))), SQUARE, SUDOKU, SUDOKU)


def noise() -> np.ndarray:
    return np.random.default_rng(2).random((HEIGHT, WIDTH), np.float32)


def ring() -> np.ndarray:
    y, x = np.indices((HEIGHT, WIDTH))
    return (np.abs(np.hypot(y - 150, x - 180) - 100) < 2).astype(np.float32)


@pytest.mark.parametrize(
    "ruling",
    [
        np.zeros((HEIGHT, WIDTH), np.float32),
        np.ones((HEIGHT, WIDTH), np.float32),
        np.ones((1, 1), np.float32),
        np.zeros((1, 300), np.float32),
        noise(),
        np.kron(noise()[:36, :36] > 0.5, np.ones((8, 8), bool)).astype(np.float32),  # as a QR code
        (noise() > 0.97).astype(np.float32),
        ring(),
        draw(SQUARE, [0, 1], [0, 1]),  # a frame
        draw(SQUARE, [0, 0.5, 1], [0, 1]),  # one column
        draw(SQUARE, SUDOKU, []),  # a ruled sheet
        draw(SQUARE, [0.5], [0.5]),  # a cross
    ],
)
def test_no_grid(ruling: np.ndarray) -> None:
    assert find_grid(ruling) is None


def photo(corners: np.ndarray, zoom: int) -> Image.Image:
    """A photo of a grid of 3 × 4 cells, as wide as the map times `zoom`, in which each cell has its own gray."""
    image = Image.new("L", (WIDTH * zoom, HEIGHT * zoom), 255)
    pen = ImageDraw.Draw(image)
    matrix = homography(UNIT, corners * zoom)
    for row in range(3):
        for column in range(4):
            cell = (UNIT + np.array([column, row])) / (4, 3)
            pen.polygon([*map(tuple, project(matrix, cell))], fill=60 + 10 * (4 * row + column))
    return image


@pytest.mark.parametrize("zoom", [1, 4])
def test_cells(zoom: int) -> None:
    corners = turned(from_the_side(SQUARE), 10)
    across, down = np.linspace(0, 1, 4), np.linspace(0, 1, 5)
    grid = find_grid(draw(corners, across, down))
    assert_is(grid, corners, across, down)
    assert grid is not None
    image = photo(corners, zoom)
    cells = grid.cells(image, size_px=24, margin=-0.15)
    assert [len(row) for row in cells] == [4, 4, 4]
    assert len({cell.shape for row in cells for cell in row}) == 1
    assert cells[0][0].shape[0] == round(24 * 0.7)
    for number, cell in enumerate(cell for row in cells for cell in row):
        assert cell.dtype == np.uint8
        assert np.abs(cell.astype(int) - (60 + 10 * number)).max() <= 1
    one = grid.cut(np.asarray(image), 2, 1, size_px=24, margin=-0.15)
    assert np.array_equal(one, cells[2][1])


def test_cells_of_a_table_have_their_own_sizes() -> None:
    grid = Grid(SQUARE / (WIDTH, HEIGHT), (0, 0.25, 1), (0, 0.5, 0.75, 1))
    cells = grid.cells(Image.new("RGB", (WIDTH, HEIGHT), "white"), size_px=30)
    assert [[cell.shape for cell in row] for row in cells] == [
        [(15, 30), (15, 15), (15, 15)],
        [(45, 30), (45, 15), (45, 15)],
    ]
    assert grid.cut(Image.new("L", (WIDTH, HEIGHT), 200), 0, 0, size_px=30, margin=9).min() == 200


@pytest.fixture
def sudokus() -> Path:
    """Photos of sudokus, with a text beside each that says what its cells hold."""
    root = Path(__file__).parents[2]
    for place in (os.environ.get("INKDIGIT_DATA"), root / "data", root.parent / "shared" / "data"):
        if place and (folder := Path(place) / "sudoku" / "images").is_dir():
            return folder
    pytest.skip("the photos of sudokus are not on this machine: set INKDIGIT_DATA to the folder that holds sudoku/")


def ruling_of(photo: Image.Image) -> np.ndarray:
    """What is darker than its surroundings, as a map of ruling: digits as well."""
    small = photo.copy()
    small.thumbnail((320, 320), Image.Resampling.BOX)
    paper = np.asarray(small.filter(ImageFilter.BoxBlur(8)), np.float32)
    return np.clip(((paper - np.asarray(small)) / np.maximum(paper, 30) - 0.03) / 0.1, 0, 1).astype(np.float32)


@pytest.mark.parametrize("number", [1, 165, 202, 37, 79])
def test_photos_of_sudokus(sudokus: Path, number: int) -> None:
    with Image.open(sudokus / f"image{number}.jpg") as file:
        image = file.convert("L")
    grid = find_grid(ruling_of(image))
    assert grid is not None
    assert (grid.rows, grid.columns) == (9, 9)
    lines = (sudokus / f"image{number}.txt").read_text(encoding="utf-8").split("\n")
    holds = np.array([[value != "0" for value in line.split()] for line in lines if line])
    cells = grid.cells(image, size_px=32, margin=-0.2)
    contrast = np.ptp([[np.percentile(cell, (3, 90)) for cell in row] for row in cells], axis=2)
    assert contrast[holds].min() > contrast[~holds].max()
