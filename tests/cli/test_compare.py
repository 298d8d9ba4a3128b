"""`compare`: the table over runs/, two runs with their test, the page, and what cannot be compared."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ..measure.made_runs import make_run
from .conftest import assert_one_error


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Where runs/ holds two seeds of one recipe, a bad run, one that was stopped and one that is damaged."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/1-tiny-s0"), wrong=(0,))
    make_run(Path("runs/2-tiny-s1"), seed=1)
    make_run(Path("runs/3-bad-s0"), wrong=tuple(range(10, 25)), name="bad")
    make_run(Path("runs/4-stopped-s0"), finished=False, name="stopped")
    damaged = make_run(Path("runs/5-damaged-s0"))
    (damaged / "report.json").write_text("{", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("root")
def test_without_runs_all_are_listed(inkdigit):
    result = inkdigit("compare")
    assert result.code == 0
    header, *lines = result.out.splitlines()
    assert header.split()[:5] == ["run", "recipe", "data", "part", "seed"]
    states = {line.split()[0]: line.split()[-1] for line in lines[:5]}
    assert list(states.values()) == ["finished"] * 3 + ["unfinished", "unreadable"]
    assert "97.50 %" in lines[0]
    assert "1,234" in lines[0]
    assert lines[-1].startswith("tiny on drawn (test)  98.750 ± 1.768 %  2 runs, seeds 0, 1")
    assert "inkdigit compare 2-tiny-s1 3-bad-s0" in result.err


@pytest.mark.usefixtures("root")
def test_the_list_as_json(inkdigit):
    content = json.loads(inkdigit("compare", "--json").out)
    assert [run["state"] for run in content["runs"]] == ["finished"] * 3 + ["unfinished", "unreadable"]
    assert content["groups"][0]["seeds"] == [0, 1]


def test_without_any_run_the_next_step_is_printed(inkdigit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = inkdigit("compare")
    assert (result.code, result.out) == (0, "")
    assert "inkdigit train fast" in result.err
    assert json.loads(inkdigit("compare", "--json").out) == {"runs": [], "groups": []}


@pytest.mark.usefixtures("root")
def test_runs_are_tested_against_the_first(inkdigit):
    result = inkdigit("compare", "1-tiny", "3-bad", "2-tiny")
    assert result.code == 0
    assert "Against 1-tiny-s0 on the same 40 images (McNemar" in result.out
    bad = next(line for line in result.out.splitlines() if line.startswith("3-bad-s0") and line.endswith("worse"))
    assert bad.split()[1:4] == ["-35.00", "1", "15"]
    content = json.loads(inkdigit("compare", "1-tiny", "3-bad", "--json").out)
    assert content["tests"][0]["p"] == pytest.approx(2 * 17 / 2**16)


def test_a_run_on_different_images_is_in_the_table_but_has_no_test(inkdigit, root):
    make_run(root / "runs" / "6-other", data="usps", sha256="b")
    result = inkdigit("compare", "1-tiny", "6-other")
    assert result.code == 0
    assert "No test of 6-other: other data (usps, not drawn)." in result.out
    assert "McNemar" not in result.out


@pytest.mark.usefixtures("root")
def test_the_page_is_written_to_the_given_path(inkdigit):
    result = inkdigit("compare", "1-tiny", "3-bad", "--out", "page.html")
    assert (result.code, result.err) == (0, "Page written to page.html\n")
    assert "3-bad-s0" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("root")
def test_what_cannot_be_compared_is_one_error(inkdigit):
    assert_one_error(inkdigit("compare", "1-tiny", "4-stopped"), 2, "inkdigit train --resume runs/4-stopped-s0")
    assert_one_error(inkdigit("compare", "1-tiny", "5-damaged"), 4, "report.json")
    assert_one_error(inkdigit("compare", "1-tiny"), 2, "nothing to compare")
    assert_one_error(inkdigit("compare", "1-tiny", "nope"), 2, "There is no run called 'nope'")
    assert_one_error(inkdigit("compare", "--out", "page.html"), 2, "two or more RUNs")
    assert_one_error(inkdigit("compare", "1-tiny", "3-bad", "--out", "no/page.html"), 9, "cannot be written")
    assert not Path("page.html").exists()


@pytest.mark.posix
@pytest.mark.usefixtures("root")
def test_the_page_does_not_replace_a_file_of_a_run_and_its_name_is_checked_first(inkdigit):
    predictions = Path("runs/1-tiny-s0/predictions.npz")
    before = predictions.read_bytes()
    Path("page.html").symlink_to(predictions)
    for out, words in (
        (str(predictions), "is read"),
        ("page.html", "is read"),
        ("runs/2-tiny-s1/DONE", "belongs to a run"),
    ):
        assert_one_error(inkdigit("compare", "1-tiny", "3-bad", "--out", out), 9, words)
    assert predictions.read_bytes() == before
    result = inkdigit("compare", "1-tiny", "3-bad", "--out", 300 * "x")
    assert_one_error(result, 9, "the name is too long")
    assert result.out == ""


@pytest.fixture
def sets(tmp_path, monkeypatch) -> Path:
    """Two folders with three seeds each; `wide` is wrong more often."""
    monkeypatch.chdir(tmp_path)
    for name, wrong, epochs in (("fast", (1, 2, 3), 1), ("wide", (12, 14, 13), 2)):
        for seed, n in enumerate(wrong):
            make_run(Path(name, f"s{seed}"), wrong=tuple(range(n)), seed=seed, name=name, epochs=epochs)
        rows = [{"seed": seed, "run": f"s{seed}", "state": "finished"} for seed in range(3)]
        Path(name, "seeds.json").write_text(json.dumps({"runs": rows}), encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("sets")
def test_two_folders_of_seeds_are_compared_seed_by_seed(inkdigit):
    result = inkdigit("compare", "fast", "wide")
    assert (result.code, result.err) == (0, "")
    header, first, *_ = result.out.splitlines()
    assert header.split() == ["seed", "fast", "wide", "points", "images"]
    assert first.split() == ["0", "97.50", "%", "70.00", "%", "−27.50", "40"]
    assert "wide against fast, on the same images of the test split, 3 seeds: no difference shown." in result.out
    assert (
        "p = 0.25 (the smallest that 3 seeds can give: 0.25; to show a difference, by p below 0.05, takes 6 seeds)"
        in (result.out)
    )
    content = json.loads(inkdigit("compare", "fast", "wide", "--json").out)["paired"]
    assert (content["more_right"], content["p"]) == ([-11, -12, -10], 0.25)
    listed = json.loads(inkdigit("compare", "fast/s0,fast/s1,fast/s2", "wide", "--json").out)["paired"]
    assert listed["more_right"] == content["more_right"]


@pytest.mark.usefixtures("sets")
def test_folders_of_seeds_that_cannot_be_compared_are_one_error(inkdigit):
    assert_one_error(inkdigit("compare", "fast", "wide/s0"), 2, "two folders of seeds")
    assert_one_error(inkdigit("compare", "fast"), 2, "two folders of seeds")
    assert_one_error(inkdigit("compare", "fast", "wide", "fast"), 2, "3 of them among 3 names")
    assert_one_error(inkdigit("compare", "fast", "fast"), 2, "nothing to compare")
    assert_one_error(inkdigit("compare", "fast", "wide", "--out", "page.html"), 2, "no page of two folders of seeds")
    make_run(Path("other/s0"), data="usps", sha256="b")
    make_run(Path("other/s1"), data="usps", sha256="b", seed=1)
    assert_one_error(inkdigit("compare", "fast", "other/s0,other/s1"), 2, "report on different images")
    Path("wide/seeds.json").write_text("{", encoding="utf-8")
    assert_one_error(inkdigit("compare", "fast", "wide"), 4, "seeds.json")


@pytest.mark.usefixtures("root")
def test_the_table_does_not_need_a_drawing_library(inkdigit, monkeypatch):
    for library in ("jinja2", "matplotlib"):
        monkeypatch.setitem(sys.modules, library, None)
    assert inkdigit("compare", "1-tiny", "3-bad").code == 0
