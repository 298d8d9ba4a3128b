"""Progress: what is shown in a terminal, in a notebook and in a pipe, and that it is silent when asked."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr, suppress

import pytest

from inkdigit.training import progress, run
from inkdigit.training.network.loop import Row, Tick
from inkdigit.training.progress import watching

from .conftest import tiny


class Terminal:
    """A stderr that people look at."""

    def __init__(self, stream):
        self.stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name):
        return getattr(self.stream, name)


def row(epoch: int, validation: float | None = 0.975) -> Row:
    return Row(epoch, 10 * epoch, 0.1, 1 / epoch, 0.9, 0.5, validation, 1.25, 1000)


def test_a_terminal_shows_a_bar_and_the_lines_above_it(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    with redirect_stderr(Terminal(sys.stderr)), watching(visible=True) as shown:
        shown.tick(Tick(20, 40, 1, 2, 1234.5, 0.5, None))
        shown.row(row(1))
        shown.tick(Tick(40, 40, 2, 2, 1234.5, 0.25, 0.975))
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 1/2 · loss 1.0000 · accuracy 90.00 % · validation 97.50 % · time 1.2 s" in err
    assert "epoch 2/2" in err
    assert "1,234 images/s · loss 0.2500 · validation 97.50 %" in err
    assert "40/40" in err


def test_the_bar_begins_again_with_the_next_training(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    with redirect_stderr(Terminal(sys.stderr)), watching(visible=True) as shown:
        shown.tick(Tick(40, 40, 2, 2, 1234.5, 0.25, None))
        shown.tick(Tick(1, 40, 1, 2, 1234.5, 0.75, None))
    last = capsys.readouterr().err.rpartition("epoch 1")[2]
    assert "1/40" in last
    assert "-:--" in last  # how long it takes is not known yet


def test_a_pipe_gets_lines_not_too_many_and_the_last(capsys):
    with watching(visible=True) as shown:
        for epoch in range(1, 951):  # it stops early
            shown.tick(Tick(epoch, 1000, epoch, 1000, 1.0, 0.5, None))
            shown.row(row(epoch, None))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 95
    assert lines[0] == "epoch   10/1000 · loss 0.1000 · accuracy 90.00 % · time 1.2 s"
    assert lines[-1].startswith("epoch  950/1000")
    with suppress(KeyboardInterrupt), watching(visible=True) as shown:
        shown.tick(Tick(1, 1000, 1, 1000, 1.0, 0.5, None))
        shown.row(row(1))
        raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith("epoch    1/1000")


class Handle:
    """IPython's handle of an output."""

    def __init__(self, content):
        self.contents = [content]

    def update(self, content, *, raw):
        assert raw
        self.contents.append(content)


def test_a_notebook_shows_a_table_and_a_bar_below_it(monkeypatch, capsys):
    handles = []
    monkeypatch.setattr("IPython.display.display", lambda content, **_: handles.append(Handle(content)) or handles[-1])
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "REDRAWN_S", 0)
    with watching(visible=True) as shown:
        shown.tick(Tick(20, 60, 1, 3, 1234.5, 0.5, None))
        shown.tick(Tick(30, 60, 2, 3, 1234.5, 0.4, None))
        shown.row(row(2))
    (handle,) = handles
    assert "epoch 2/3 · 1,234 images/s · loss 0.4000 · 0 s left" in handle.contents[1]["text/html"]
    assert '<progress value="0.5000"' in handle.contents[1]["text/html"]
    assert "<progress" not in handle.contents[-1]["text/html"]
    assert "97.50 %" in handle.contents[-1]["text/html"]
    assert handle.contents[-1]["text/plain"].startswith("epoch 2/3 · loss 0.5000")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("only_training")
def test_training_shows_its_epochs_unless_it_is_asked_not_to(drawn, tmp_path, capsys):
    ticks = []
    run.train(tiny(epochs=2), data=drawn, out=tmp_path / "a", device="cpu", on_tick=ticks.append)
    assert [line[:9] for line in capsys.readouterr().err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert ticks[-1].epoch == ticks[-1].epochs == 2
    run.train(tiny(epochs=2), data=drawn, out=tmp_path / "b", device="cpu", progress=False)
    assert capsys.readouterr() == ("", "")
