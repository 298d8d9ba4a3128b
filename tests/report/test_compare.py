"""The page of runs side by side and its curves, and two recipes seed by seed in words."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import inkdigit.report.compare as report_compare
from inkdigit.errors import MissingExtra, OutputError, UsageError
from inkdigit.measure.compare import compare, pair
from inkdigit.report.canvas import LIGHT
from inkdigit.report.compare import draw, labels, scaled, sentences, table, write_page

from ..measure.made_runs import make_run, seeds, several


@pytest.fixture
def folders(tmp_path):
    return several(tmp_path)


def test_the_page_shows_runs_tests_and_curves(folders, tmp_path):
    odd = make_run(tmp_path / "odd", name="<b>odd & ends</b>", seed=3)
    comparison = compare([*folders, odd])
    write_page(tmp_path / "page.html", comparison)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert "&lt;b&gt;odd &amp; ends&lt;/b&gt;" in text
    assert "<b>odd" not in text
    assert "another split (validation, not test)" in text
    assert 'class="worse"' in text
    assert text.count("data:image/png;base64,") == 3  # intervals, what is wrong, loss
    assert "https://" not in text


def test_one_run_alone_is_one_error(folders):
    alone = SimpleNamespace(folder=folders[0])
    with pytest.raises(UsageError, match="two or more different runs"):
        report_compare.compare(alone)


def test_curves_are_drawn_if_a_run_has_them(folders, tmp_path):
    history = "epoch,train_loss,validation_accuracy\n1,0.5,0.9\n2,,1.0\n"
    held = make_run(tmp_path / "curves", history=history)
    expected = {"intervals", "validation_accuracy", "train_accuracy", "train_loss"}
    assert set(draw(compare([folders[0], held]), theme=LIGHT)) == expected
    bare = [make_run(tmp_path / name, history="epoch,train_loss\n1,\n") for name in ("x", "y")]
    assert set(draw(compare(bare), theme=LIGHT)) == {"intervals"}


def test_a_curve_of_zeros_can_be_drawn(tmp_path):
    history = "epoch,train_loss\n1,0\n2,0\n"
    both = [make_run(tmp_path / name, history=history) for name in ("x", "y")]
    assert "train_loss" in draw(compare(both), theme=LIGHT)


@pytest.mark.parametrize(
    ("losses", "logarithmic", "last"), [([5, 0], False, 0), ([5, 1, 0], False, 0), ([500, 1, 0], True, 0.5)]
)
def test_only_a_logarithmic_axis_raises_a_zero(losses, logarithmic, last):
    assert scaled([losses, [5]]) == ([[*losses[:-1], last], [5]], logarithmic)


def test_labels_and_tiles_distinguish_runs_with_the_same_recipe_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [Path("runs/20261120-101502-classic-s0"), Path("runs/b"), Path("runs/c")]
    for folder, fields in zip(folders, ({}, {"data": "usps", "sha256": "b"}, {"seed": 1}), strict=True):
        make_run(folder, **fields)
    comparison = compare(folders)
    assert labels(comparison.entries) == ["1  20261120-101502-classic-s0", "2  b", "3  tiny, seed 1"]
    monkeypatch.undo()
    write_page(tmp_path / "page.html", comparison)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<span>1 · tiny, seed 0, drawn</span>" in text
    assert "<span>2 · tiny, seed 0, usps</span>" in text


def test_a_page_that_cannot_be_written(folders, tmp_path):
    with pytest.raises(OutputError) as caught:
        write_page(tmp_path, compare(folders))
    assert caught.value.exit_code == 9


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_without_its_libraries_the_error_names_the_extra(folders, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"\[report\]") as caught:
        write_page(tmp_path / "page.html", compare(folders))
    assert caught.value.exit_code == 7
    assert not (tmp_path / "page.html").exists()


@pytest.fixture
def first(tmp_path):
    return seeds(tmp_path / "first", {0: 5, 1: 6, 2: 4, 3: 9})


def test_the_table_and_the_words(first, tmp_path):
    paired = pair(first, seeds(tmp_path / "other", {0: 6, 1: 6, 2: 7}, epochs=9))
    assert table(paired)[:2] == [
        ("seed", "first", "other", "points", "images"),
        ("0", "87.50 %", "85.00 %", "−2.50", "40"),
    ]
    head, difference, flips = sentences(paired)
    assert head == "other against first, on the same images of the test split, 3 seeds: no difference shown."
    assert difference.startswith("Difference −3.333 ± 3.819 points; 95 % interval −12.820 to +6.153 (Student's t)")
    smallest = "the smallest that 3 seeds can give: 0.25; to show a difference, by p below 0.05, takes 6 seeds"
    assert flips == f"Sign flips, exact, two-sided: p = 0.5 ({smallest})."


def test_one_pair_and_equal_pairs_show_nothing(first, tmp_path):
    one = pair(first, seeds(tmp_path / "one", {0: 30}, epochs=9))
    assert (one.p, one.verdict) == (1.0, "no difference shown")
    assert sentences(one)[1] == "Difference −62.500 points; one seed has no spread."
    equal = pair(first, seeds(tmp_path / "equal", {0: 6, 1: 7}, epochs=9))
    assert equal.verdict == "no difference shown"
    assert "all are exactly equal" in sentences(equal)[1]
