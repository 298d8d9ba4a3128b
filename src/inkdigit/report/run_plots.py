"""The figures of the report of a run, one function for each figure.

In: plain arrays, and the `Theme` to draw in (light for the files in `plots/`, light and dark for the page). Out: PNG
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkdigit.measure.metrics import BINS, ONE_WRONG_IN, Metrics, Reliability, worst_mistakes
from inkdigit.measure.stats import wilson
from inkdigit.report.canvas import (
    MAX_TICKS,
    WIDTH_IN,
    Theme,
    Tile,
    drawing,
    log_axis,
    name_ticks,
    plane,
    png,
    points,
    short,
    tile_grid,
)
from inkdigit.report.numbers import percent_down
from inkdigit.types import Floats, Gray, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]

MAX_CELLS = 12  # with more classes the numbers in a confusion matrix are too small to read
MISTAKES = 20  # shown at most: four rows of the grid
GRID = (3, 5)  # rows and columns of the grid of answers, as in notebooks
MIN_COVERAGE = 10  # %: below it a risk–coverage curve may leave its plot; the plot is at least as wide
WIDE = 20  # a loss that spans more than this factor gets a logarithmic axis: its end would lie on a linear one
GLIMPSE_SIDE_PX = 112  # four times the side that the network sees: raw images may be photos


def loss(history: Rows, steps: Rows, *, theme: Theme) -> bytes:
    """Training loss by step (thin, its running mean thick), training and validation loss by epoch.

    A row of `history` counts its epoch from 1 and is drawn at the end of that epoch; a row of `steps` has a float.
    """
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.8)
        x, y = points(steps, "loss")
        axes.plot(x, y, color=theme.blue, linewidth=0.8, alpha=0.4)
        if len(x):
            axes.plot(x, running_mean(y), color=theme.blue, linewidth=2, label="training by step")
        _by_epoch(axes, history, "train_loss", label="by epoch", color=theme.blue, marker="o")
        _by_epoch(axes, history, "validation_loss", label="validation", color=theme.orange, marker="D")
        log_if_wide(axes)
        axes.set_ylabel("loss")
        return _finished(figure, axes)


def accuracy(history: Rows, steps: Rows, *, reported: tuple[str, float], theme: Theme) -> bytes:
    """Training and validation accuracy in %; without validation, the `reported` (name, fraction) as a line.

    Steps are drawn if their rows have an `accuracy`.
    """
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.8)
        x, y = points(steps, "accuracy")
        axes.plot(x, [100 * value for value in y], color=theme.blue, linewidth=0.8, alpha=0.4)
        axes.plot(x, 100 * running_mean(y), color=theme.blue, linewidth=2)
        _by_epoch(axes, history, "train_accuracy", label="training", color=theme.blue, marker="o")
        if len(points(history, "validation_accuracy")[0]):
            _by_epoch(axes, history, "validation_accuracy", label="validation", color=theme.orange, marker="D")
        else:
            name, value = reported
            label = f"{name}, {100 * value:.2f}"
            axes.axhline(100 * value, color=theme.orange, linewidth=1.6, linestyle=(0, (4, 2)), label=label)
        axes.set_ylabel("accuracy, %")
        return _finished(figure, axes)


def learning_rate(history: Rows, steps: Rows, *, theme: Theme) -> bytes:
    """The learning rate by step, or by epoch if no steps were stored."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.2)
        x, y = points(steps or history, "learning_rate")
        axes.plot(x, y, color=theme.blue, linewidth=2, marker="o" if len(x) == 1 else "")
        axes.fill_between(x, y, color=theme.blue, alpha=0.12, linewidth=0)
        axes.set_ylabel("learning rate")
        axes.set_ylim(0, max(y, default=1.0) * 1.08)
        return _finished(figure, axes)


def confusion(matrix: NDArray[np.int64], classes: Sequence[str], *, theme: Theme) -> bytes:
    """True class by row, most probable class by column, (K, K): counts, coloured by their share of the row.

    The diagonal and the mistakes have a colour each. The strength of the colour of a mistake is the square root of its
    rate, so that rare mistakes are visible. With more than 12 classes the numbers are left out.
    """
    with drawing(theme):
        numbered = len(classes) <= MAX_CELLS
        figure, axes = plane(WIDTH_IN, 0.96 * WIDTH_IN)
        rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        faintest = 0.08 if numbered else 0.3  # a mistake without a number is visible only by its colour
        strength = np.where(matrix > 0, faintest + (1 - faintest) * np.sqrt(rates), 0.0)
        np.fill_diagonal(strength, 0.85 * rates.diagonal())
        axes.imshow(_tinted(strength, theme), interpolation="nearest")
        axes.grid(visible=False)
        if numbered:
            _write_cells(axes, matrix, strength, theme)
        name_ticks(axes, classes, axis="x")
        name_ticks(axes, classes, axis="y")
        axes.tick_params(length=0, labelcolor=theme.text)
        axes.set(xlabel="read as", ylabel="true class")
        axes.spines[:].set_visible(False)
        return png(figure)


def class_distribution(counts: Mapping[str, Sequence[int]], classes: Sequence[str], *, theme: Theme) -> bytes:
    """How many images each class has; `counts` maps the name of a split to its K counts, and each has its own bars."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.6)
        width = 0.8 / len(counts)
        for i, (name, column) in enumerate(counts.items()):
            colour, label = (theme.blue, theme.orange)[i % 2], f"{name} {sum(column):,}"
            x = np.arange(len(classes)) + (i - (len(counts) - 1) / 2) * width
            if len(classes) <= MAX_TICKS:
                axes.bar(x, column, width * 0.94, color=colour, label=label)
            else:  # bars narrower than a pixel would be grey
                axes.stairs(column, np.arange(len(classes) + 1) - 0.5, fill=True, color=colour, label=label)
        axes.set_xlim(-0.6, len(classes) - 0.4)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        name_ticks(axes, classes, axis="x")
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("images")
        _legend(figure, axes)
        return png(figure)


def glimpses(raw: Sequence[tuple[int, Gray]], augmented: Gray, classes: Sequence[str], *, theme: Theme) -> bytes:
    """A few images of each class as in the source, and below each the same image as training saw it.

    `raw` holds (label, gray (H, W)) and `augmented` is (len(raw), 28, 28) in the same order.
    """
    columns, max_tiles = (10, 30) if max(map(len, classes)) <= 4 else (5, 15)
    chosen = take_in_turn([label for label, _ in raw], max_tiles)
    rows = []
    for start in range(0, len(chosen), columns):
        line = chosen[start : start + columns]
        rows.append([Tile(_thumbnail(raw[i][1])) for i in line])
        rows.append([Tile(augmented[i], ((short(classes[raw[i][0]], 12), theme.text),)) for i in line])
    with drawing(theme):
        return tile_grid(rows, columns=columns)


def worst(images: Gray, labels: NDArray[np.int64], probs: Floats, classes: Sequence[str], *, theme: Theme) -> bytes:
    """The wrong answers with the highest confidence: the image, true → read class, and the confidence.

    `images` is (N, 28, 28), `labels` (N,), `probs` (N, K) with NaN where the model gave none.
    """
    tiles = []
    for i in worst_mistakes(probs, labels, MISTAKES):
        read = int(probs[i].argmax())
        names = _arrow(classes[labels[i]], classes[read])
        confidence = f"{percent_down(probs[i, read])} %"  # rounded down: a mistake is never shown with 100 %
        caption = (*((line, theme.text) for line in names), (confidence, theme.muted))
        tiles.append(Tile(images[i], caption))
    with drawing(theme):
        return tile_grid(_folded(tiles, GRID[1]), columns=GRID[1])


def answers(
    images: Gray, labels: NDArray[np.int64], predictions: Sequence[Prediction], classes: Sequence[str], *, theme: Theme
) -> bytes:
    """A grid of 3 × 5 images spread evenly over the split: true class, and a mark with the answer of the model."""
    tiles, brief = [], max(map(len, classes)) < 5
    for i in np.unique(np.linspace(0, len(images) - 1, GRID[0] * GRID[1]).astype(int)):
        true, answer = classes[labels[i]], predictions[i].label
        right = answer == true
        mark, colour = ("✓", theme.green) if right else ("✗" if answer is not None else "–", theme.red)
        name = f"true {true}" if brief else short(true, 10)
        caption = ((name, theme.muted), (f"{mark} {short(answer or 'no answer', 9)}", colour))
        tiles.append(Tile(images[i], caption, frame=colour, dashed=not right))
    with drawing(theme):
        return tile_grid(_folded(tiles, GRID[1]), columns=GRID[1])


def reliability(bins: Reliability, *, theme: Theme) -> bytes:
    """Accuracy, with its 95 % interval, against confidence; larger points have more images; the diagonal is ideal."""
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.8)
        plot_reliability(axes, bins, theme)
        return png(figure)


def plot_reliability(axes: Axes, bins: Reliability, theme: Theme) -> None:
    """The points, intervals and limits of `reliability`."""
    filled = bins.count > 0
    axes.plot([0, 100], [0, 100], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    size = 25 + 400 * bins.count[filled] / max(bins.count.sum(), 1)
    x, y = 100 * bins.confidence[filled], 100 * bins.accuracy[filled]
    counted = zip(bins.count[filled].tolist(), bins.accuracy[filled].tolist(), strict=True)
    low, high = np.transpose([wilson(round(n * right), n) for n, right in counted])
    axes.vlines(x, 100 * low, 100 * high, color=theme.blue, linewidth=1.2, alpha=0.6)
    axes.scatter(x, y, s=size, color=theme.blue, edgecolor=theme.panel, linewidth=1.2, zorder=3, clip_on=False)
    left = min(50, 100 * np.flatnonzero(filled).min(initial=BINS) / BINS)
    ticks = range(0, 101, 20)
    axes.set(xlabel="confidence, %", ylabel="right, %", xticks=ticks, yticks=ticks, ylim=(-3, 108))
    axes.set_xlim(left, 104)


def risk_coverage(metrics: Metrics, *, theme: Theme) -> bytes:
    """The error rate of the accepted images by their share, from the first mistake on; confident images come first.

    The diamond is what the model itself accepts.
    """
    with drawing(theme):
        figure, axes = plane(WIDTH_IN, 2.8)
        plot_risk_coverage(axes, metrics, theme)
        _legend(figure, axes)
        return png(figure)


def plot_risk_coverage(axes: Axes, metrics: Metrics, theme: Theme) -> None:
    """The curve, diamond and limits of `risk_coverage`."""
    curve, goal = metrics.risk_coverage, 100 / ONE_WRONG_IN
    x, y = 100 * curve.coverage, 100 * curve.risk
    axes.axhline(goal, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), label=f"{100 - goal:g} % right")
    axes.plot(x, y, color=theme.blue, linewidth=2, marker="o" if len(x) == 1 else "", label="by confidence")
    left, top = x[y == 0].max(initial=0), y[x >= MIN_COVERAGE].max()
    if metrics.accuracy_answered is not None:
        own = 100 * metrics.answered / metrics.n, 100 * (1 - metrics.accuracy_answered)
        axes.scatter(*own, s=36, marker="D", color=theme.orange, label="as answered", zorder=3, clip_on=False)
        left, top = min(left, own[0]), max(top, own[1])
    left, top = min(100 - MIN_COVERAGE, left // MIN_COVERAGE * MIN_COVERAGE), 1.15 * max(top, goal)
    axes.set(xlabel="accepted, % of all images", ylabel="wrong of these, %", ylim=(-0.03 * top, top))
    axes.set_xlim(left, 100 + 0.02 * (100 - left))


def running_mean(values: Sequence[float]) -> NDArray[np.float64]:
    """The mean of each value and its neighbours, the same number on each side: 1/15 of the curve, less at its ends."""
    n = len(values)
    half = [min(max(1, n // 30), i, n - 1 - i) for i in range(n)]
    return np.array([np.mean(values[i - h : i + h + 1]) for i, h in enumerate(half)])


def _by_epoch(axes: Axes, history: Rows, key: str, *, label: str, color: str, marker: str) -> None:
    """One curve with points; an accuracy is shown in %, with its last value in the legend."""
    x, y = points(history, key)
    if not x:
        return
    if key.endswith("accuracy"):
        y = [100 * value for value in y]
        label = f"{label}, {y[-1]:.2f}"
    edge = axes.get_facecolor()
    axes.plot(
        x, y, color=color, marker=marker, markersize=6, markeredgecolor=edge, linewidth=1.6, label=label, zorder=3
    )


def log_if_wide(axes: Axes) -> None:
    """Make the axis logarithmic if all values are above 0 and span more than a factor of 20."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines] or [np.ones(1)])
    if len(values) and values.min() > 0 and values.max() > WIDE * values.min():
        log_axis(axes)


def _finished(figure: Figure, axes: Axes) -> bytes:
    """Add the epochs below and the legend above, and return the PNG."""
    from matplotlib.ticker import MaxNLocator

    last = max([1.0, *(float(np.max(line.get_xdata(), initial=0)) for line in axes.lines)])
    axes.set_xlim(0, last * 1.02)
    if last > 1.5:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    _legend(figure, axes)
    return png(figure)


def _legend(figure: Figure, axes: Axes) -> None:
    """Add the legend in one line above the axes, if anything has a name."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=len(handles), labelcolor="linecolor")


def _tinted(strength: NDArray[np.float64], theme: Theme) -> NDArray[np.float64]:
    """RGB (K, K, 3): the panel's colour mixed with blue on the diagonal and orange elsewhere."""
    from matplotlib.colors import to_rgb

    paper, right, wrong = (np.array(to_rgb(c)) for c in (theme.panel, theme.blue, theme.orange))
    ink = np.where(np.eye(len(strength), dtype=bool)[..., None], right, wrong)
    mixed: NDArray[np.float64] = paper + strength[..., None] * (ink - paper)
    return mixed


def _write_cells(axes: Axes, matrix: Any, strength: Any, theme: Theme) -> None:
    """A count in each cell that is not zero, as large as the cell allows, and lines between the cells."""
    longest = len(f"{matrix.max(initial=0):,}")
    size = min(11.0, 210 / len(matrix) / (0.6 * max(longest, 3)))  # points; a cell has some 240 / K of them
    for edge in np.arange(len(matrix) + 1) - 0.5:
        axes.axhline(edge, color=theme.line, linewidth=0.8)
        axes.axvline(edge, color=theme.line, linewidth=0.8)
    for row, column in np.argwhere(matrix):
        colour = theme.panel if strength[row, column] > 0.5 else theme.text
        axes.text(column, row, f"{matrix[row, column]:,}", color=colour, fontsize=size, ha="center", va="center")


def take_in_turn(labels: Sequence[int], max_tiles: int) -> list[int]:
    """At most `max_tiles` indices that take each class in turn, in complete rounds; of too many classes, some."""
    by_class: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        by_class.setdefault(label, []).append(i)
    names = sorted(by_class)
    if len(names) > max_tiles:
        names = [names[i] for i in np.linspace(0, len(names) - 1, max_tiles).astype(int)]
    rounds = range(max(1, max_tiles // max(len(names), 1)))
    return [by_class[name][i] for i in rounds for name in names if i < len(by_class[name])]


def _thumbnail(raw: Gray) -> Gray:
    """The image with at most 112 pixels on a side."""
    image = Image.fromarray(raw)
    image.thumbnail((GLIMPSE_SIDE_PX, GLIMPSE_SIDE_PX))
    return np.asarray(image)


def _arrow(true: str, read: str) -> list[str]:
    """True → read class, in two lines if the names are long."""
    return [f"{true} → {read}"] if len(true + read) < 7 else [short(true, 10), f"→ {short(read, 9)}"]


def _folded(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    return [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
