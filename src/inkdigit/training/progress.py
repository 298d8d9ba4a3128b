"""Progress: a line an epoch, and a bar that shows where a training stands.

In: the ticks and rows of the loop. Out, for people: in a notebook a table that grows, with a bar below it; in a
terminal lines on stderr, with a bar below them; elsewhere the lines alone. The bar is gone when the training ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import inkdigit.markup as markup

if TYPE_CHECKING:
    from inkdigit.training.network.loop import Row, Tick

MAX_LINES = 100  # of one training: of more epochs only every n-th has a line, and the last
REDRAWN_S = 0.2  # how often the bar of a notebook moves: each time its table is sent to the browser again


class View(Protocol):
    """Where progress is shown."""

    def begin(self) -> None:
        """A training begins."""

    def bar(self, tick: Tick) -> None:
        """It stands here."""

    def line(self, row: Row, epochs: int) -> None:
        """It has finished an epoch, of so many."""

    def end(self) -> None:
        """It has ended: the bar goes."""


class Progress:
    """The progress of a training, or of several one after the other, in a view; without a view nothing is shown."""

    def __init__(self, view: View | None, on_tick: Callable[[Tick], None] | None = None) -> None:
        """Show nothing before the first tick; `on_tick` is given each of them, too."""
        self._view = view
        self._on_tick = on_tick
        self._step = self._epochs = 0
        self._waiting: Row | None = None  # has no line, unless it turns out to be the last

    def tick(self, tick: Tick) -> None:
        """Take where the training stands."""
        if self._view is not None:
            if not self._epochs or tick.step <= self._step:  # the first training, or the next
                self._view.begin()
            self._step, self._epochs = tick.step, tick.epochs
            self._view.bar(tick)
        if self._on_tick is not None:
            self._on_tick(tick)

    def row(self, row: Row) -> None:
        """Take a finished epoch."""
        every = -(-self._epochs // MAX_LINES) or 1
        self._waiting = row if row.epoch % every and row.epoch < self._epochs else None
        if self._view is not None and self._waiting is None:
            self._view.line(row, self._epochs)

    def close(self) -> None:
        """Take that the training has ended, in whatever way."""
        if self._view is None or not self._epochs:
            return
        if self._waiting is not None:
            self._view.line(self._waiting, self._epochs)
        self._view.end()


@contextmanager
def watching(*, visible: bool, on_tick: Callable[[Tick], None] | None = None) -> Iterator[Progress]:
    """Show the progress of the trainings in the block where this process is looked at, or nothing."""
    progress = Progress(_view() if visible else None, on_tick)
    try:
        yield progress
    finally:
        progress.close()


def _view() -> View | None:
    if _in_notebook():
        return Notebook()
    if sys.stderr is None:  # a program with windows
        return None
    return Terminal() if sys.stderr.isatty() else Lines()


def _in_notebook() -> bool:
    """Whether this is the process of a notebook; whoever is in one has imported IPython."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def figures(row: Row) -> dict[str, str]:
    """What is shown of an epoch."""
    named = {"loss": f"{row.train_loss:.4f}", "accuracy": f"{100 * row.train_accuracy:.2f} %"}
    if row.validation_accuracy is not None:
        named["validation"] = f"{100 * row.validation_accuracy:.2f} %"
    return {**named, "time": f"{row.seconds:.1f} s"}


def text(row: Row, epochs: int) -> str:
    """The line of an epoch: epoch 3/12 · loss 0.0412 · accuracy 98.71 % · time 5.1 s."""
    number = f"epoch {row.epoch:>{len(str(epochs))}}/{epochs}"
    return " · ".join([number, *(f"{name} {value}" for name, value in figures(row).items())])


def standing(tick: Tick) -> str:
    """Speed, loss and accuracy while an epoch lasts."""
    said = f"{tick.images_per_second:,.0f} images/s · loss {tick.loss:.4f}"
    known = tick.validation_accuracy
    return said if known is None else f"{said} · validation {100 * known:.2f} %"


class Lines:
    """Lines on stderr, each written at once: it may be a pipe."""

    def begin(self) -> None:
        """Nothing."""

    def bar(self, tick: Tick) -> None:
        """Nothing."""

    def line(self, row: Row, epochs: int) -> None:
        """Write the line."""
        with suppress(OSError, ValueError):  # nobody reads any longer: no reason to stop a training
            sys.stderr.write(f"{text(row, epochs)}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Nothing."""


class Terminal:
    """A bar in the last line of a terminal, and the lines above it."""

    def __init__(self) -> None:
        """Make the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[standing]}"),
            TimeRemainingColumn(compact=True),
        )
        self._rich = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._rich.add_task("train", total=None, epoch="", standing="")

    def begin(self) -> None:
        """Show the bar from its left end."""
        self._rich.reset(self._task)
        self._rich.start()

    def bar(self, tick: Tick) -> None:
        """Move the bar."""
        epoch = f"{tick.epoch}/{tick.epochs}"
        self._rich.update(self._task, completed=tick.step, total=tick.steps, epoch=epoch, standing=standing(tick))

    def line(self, row: Row, epochs: int) -> None:
        """Write above the bar."""
        self._rich.console.print(text(row, epochs), markup=False, highlight=False)

    def end(self) -> None:
        """Remove the bar."""
        self._rich.stop()


class Notebook:
    """A table of the epochs in the output of a cell, and below it a bar while the training lasts."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._shown: Any = None  # IPython's handle of what is shown
        self._lines: list[str] = []
        self._rows: list[dict[str, str]] = []
        self._bar = markup.Html()
        self._began: tuple[float, int] | None = None  # time in s and step of the first tick
        self._drawn_s = 0.0

    def begin(self) -> None:
        """Begin a table of its own."""
        from IPython.display import display

        self._lines, self._rows, self._bar = [], [], markup.Html()
        self._began = None
        self._shown = display(self._content(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def bar(self, tick: Tick) -> None:
        """Move the bar."""
        now = time.perf_counter()
        self._began = self._began or (now, tick.step)
        began_s, first_step = self._began
        if now - self._drawn_s < REDRAWN_S or tick.step == first_step:
            return
        left_s = (now - began_s) * (tick.steps - tick.step) / (tick.step - first_step)
        said = f"epoch {tick.epoch}/{tick.epochs} · {standing(tick)} · {left_s:.0f} s left"
        self._bar = markup.progress(tick.step / tick.steps, said)
        self._draw()

    def line(self, row: Row, epochs: int) -> None:
        """Add a row to the table."""
        self._lines.append(text(row, epochs))
        self._rows.append({"epoch": f"{row.epoch}/{epochs}", **figures(row)})
        self._draw()

    def end(self) -> None:
        """Remove the bar."""
        self._bar = markup.Html()
        self._draw()

    def _draw(self) -> None:
        self._drawn_s = time.perf_counter()
        self._shown.update(self._content(), raw=True)

    def _content(self) -> dict[str, str]:
        head = list(self._rows[0]) if self._rows else []
        table = markup.table([list(row.values()) for row in self._rows], head=head)
        return {"text/plain": "\n".join(self._lines), "text/html": f"{table}{self._bar}"}
