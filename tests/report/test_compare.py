"""Comparing runs: the exact test against hand-worked values, Holm's correction, and the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from inkdigit.errors import MissingExtra, OutputError, UsageError
from inkdigit.report.canvas import LIGHT
from inkdigit.report.compare import compare, count_discordant, draw, exact_p, holm, write_page

from ..measure.made_runs import make_run


@pytest.mark.parametrize(
    ("only_one", "only_other", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 1, 1.0),
        (0, 5, 2 / 2**5),
        (1, 4, 2 * (1 + 5) / 2**5),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (4, 1, 2 * (1 + 5) / 2**5),
    ],
)
def test_the_exact_test_counts_coin_tosses(only_one, only_other, p):
    assert exact_p(only_one, only_other) == pytest.approx(p, abs=1e-15)


def test_the_exact_test_takes_as_many_pictures_as_there_are():
    assert 0 <= exact_p(4_000, 6_000) < 1e-80
    assert exact_p(5_000, 5_001) == 1.0


def test_holm_keeps_the_order_and_never_falls():
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_only_pictures_that_one_of_two_reads_count():
    one, other = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)
    assert count_discordant(one, other) == (2, 1)


@pytest.fixture
def folders(tmp_path):
    """One wrong answer; nine others; the same as the first; a validation part."""
    return [
        make_run(tmp_path / "first", wrong=(0,)),
        make_run(tmp_path / "worse", wrong=tuple(range(20, 30)), seed=1, epochs=7),
        make_run(tmp_path / "same", wrong=(0,), seed=2),
        make_run(tmp_path / "held", protocol="select"),
    ]


def test_every_other_run_is_tested_against_the_first(folders):
    found = compare(folders)
    worse, same = found.tests
    assert (worse.only_run, worse.only_against, worse.n) == (1, 10, 40)
    assert worse.p == pytest.approx(2 * 12 / 2**11)
    assert worse.p_holm == pytest.approx(2 * worse.p)
    assert (worse.verdict, same.verdict) == ("worse", "no difference shown")
    assert worse.difference == pytest.approx(found.entries[1].report["accuracy"] - found.entries[0].report["accuracy"])
    assert found.untested == {str(folders[3]): "another part (validation, not test)"}
    assert [one.seeds for one in found.groups] == [(0, 2)]
    assert found.differences() == {
        "epochs": [None, 7, None, None],
        "protocol": ["final", "final", "final", "select"],
        "seed": [0, 1, 2, 0],
    }
    json.dumps(found.to_json(), allow_nan=False)


def test_the_other_way_round_it_is_better(folders):
    (test,) = compare([folders[1], folders[0]]).tests
    assert (test.verdict, test.p_holm == test.p) == ("better", True)


def test_there_must_be_two_different_runs(folders):
    for names in ([], folders[:1], [folders[0], folders[0]], [*folders, folders[1]]):
        with pytest.raises(UsageError, match="nothing to compare") as caught:
            compare(names)
        assert caught.value.exit_code == 2


def test_runs_of_one_name_in_two_places_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/a"))
    make_run(Path("runs/b"), wrong=(0, 1))
    make_run(Path("b"), data="usps", sha256="b")
    for folders in (["runs/b", "b", "runs/a"], ["runs/a", "b", "runs/b"], ["runs/a", "runs/b", "b"]):
        found = compare([Path(folder) for folder in folders])
        assert list(found.untested) == ["./b"]
        assert [test.run for test in found.tests] == [folders[-1 if folders[1] == "b" else 1].removeprefix("runs/")]
        write_page(Path("page.html"), found)


def test_an_unfinished_run_is_named(folders, tmp_path):
    stopped = make_run(tmp_path / "stopped", finished=False)
    with pytest.raises(UsageError, match="stopped is unfinished"):
        compare([folders[0], stopped])


def test_the_page_shows_runs_tests_and_curves(folders, tmp_path):
    odd = make_run(tmp_path / "odd", name="<b>odd & ends</b>", seed=3)
    found = compare([*folders, odd])
    write_page(tmp_path / "page.html", found)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert "&lt;b&gt;odd &amp; ends&lt;/b&gt;" in text
    assert "<b>odd" not in text
    assert "another part (validation, not test)" in text
    assert 'class="worse"' in text
    assert text.count("data:image/png;base64,") == 2 * 3  # in both themes: intervals, what is wrong, loss
    assert "https://" not in text


def test_curves_are_drawn_where_a_run_has_them(folders, tmp_path):
    history = "epoch,train_loss,validation_accuracy\n1,0.5,0.9\n2,,1.0\n"
    held = make_run(tmp_path / "curves", history=history)
    assert set(draw(compare([folders[0], held]), theme=LIGHT)) == {
        *("intervals", "validation_accuracy", "train_accuracy", "train_loss")
    }
    bare = [make_run(tmp_path / name, history="epoch,train_loss\n1,\n") for name in ("x", "y")]
    assert set(draw(compare(bare), theme=LIGHT)) == {"intervals"}


def test_a_curve_of_zeros_can_be_drawn(tmp_path):
    history = "epoch,train_loss\n1,0\n2,0\n"
    both = [make_run(tmp_path / name, history=history) for name in ("x", "y")]
    assert "train_loss" in draw(compare(both), theme=LIGHT)


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are drawn, before they become pictures."""
    kept = []
    monkeypatch.setattr("inkdigit.report.compare.png", lambda figure: kept.append(figure) or b"")
    return kept


@pytest.mark.parametrize(
    ("losses", "scale", "last"), [((5, 0), "linear", 0), ((5, 1, 0), "linear", 0), ((500, 1, 0), "log", 0.5)]
)
def test_only_a_logarithmic_scale_lifts_a_zero(tmp_path, figures, losses, scale, last):
    history = "epoch,train_loss\n" + "".join(f"{epoch},{loss}\n" for epoch, loss in enumerate(losses, 1))
    draw(compare([make_run(tmp_path / name, history=history) for name in ("x", "y")]), theme=LIGHT)
    axes = figures[-1].axes[0]
    assert (axes.get_yscale(), axes.lines[0].get_ydata()[-1]) == (scale, last)


def test_labels_and_tiles_tell_runs_apart_that_share_recipe_and_seed(tmp_path, monkeypatch, figures):
    monkeypatch.chdir(tmp_path)
    folders = [Path("runs/20261120-101502-classic-s0"), Path("runs/b"), Path("runs/c")]
    for folder, fields in zip(folders, ({}, {"data": "usps", "sha256": "b"}, {"seed": 1}), strict=True):
        make_run(folder, **fields)
    found = compare(folders)
    draw(found, theme=LIGHT)
    labels = [text.get_text() for text in figures[-1].legends[0].get_texts()]
    assert labels == ["1  20261120-101502-classic-s0", "2  b", "3  tiny, seed 1"]
    monkeypatch.undo()
    write_page(tmp_path / "page.html", found)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<span>1 · tiny, seed 0, drawn</span>" in text
    assert "<span>2 · tiny, seed 0, usps</span>" in text


def test_a_page_that_cannot_be_written(folders, tmp_path):
    with pytest.raises(OutputError) as caught:
        write_page(tmp_path, compare(folders))
    assert caught.value.exit_code == 9


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_without_its_libraries_the_page_says_how_to_get_them(folders, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"inkdigit\[train\]") as caught:
        write_page(tmp_path / "page.html", compare(folders))
    assert caught.value.exit_code == 7
    assert not (tmp_path / "page.html").exists()
