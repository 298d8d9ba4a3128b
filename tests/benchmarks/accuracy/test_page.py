from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from benchmarks.accuracy import curve as accuracy_curve
from benchmarks.accuracy import page as accuracy_page
from benchmarks.accuracy import tables as accuracy_tables
from benchmarks.accuracy.entries import ENSEMBLE, identities
from benchmarks.speed import bench
from inkdigit.report.canvas import LIGHT
from inkdigit.training.recipe import Recipe

from ..conftest import cells

NOW = identities()


@pytest.fixture
def measured(line):
    """Make one line of `accuracy.jsonl`."""

    def make(name: str = "best", seed: int = 0, accuracy: float = 0.997, **fields: object) -> dict:
        about = {key: line()[key] for key in ("smoke", "date", "commit", "machine", "versions", "n")}
        values = {
            **about,
            "name": name,
            "seed": seed,
            "recipe_sha256": NOW.get(name, "none"),
            "accuracy": accuracy,
            "nll": 0.01,
            "ece": 0.001,
            "parameters": 9_000,
            "bytes": 45_000,
            "wrong": [1, 2, 3],
            "train_seconds": 100.0,
            "threads": 1,
            "device": "cpu",
            "precision": "bfloat16",
        }
        return {**values, **fields}

    return make


@pytest.fixture
def results(tmp_path):
    def write(lines: list[dict]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "accuracy.jsonl").write_text(text, encoding="utf-8")

    write.folder = tmp_path
    return write


def test_the_latest_line_of_a_seed_of_the_recipe_as_it_is_now_counts(results, measured):
    lines = [measured(seed=1), measured(seed=0, accuracy=0.9), measured(seed=0), measured(seed=2, smoke=True)]
    results([*lines, measured(seed=3, recipe_sha256="as it was"), measured("nobody")])
    groups = accuracy_page.read(results.folder)
    assert [(line["seed"], line["accuracy"]) for line in groups.pop("best")] == [(0, 0.997), (1, 0.997)]
    assert groups == {}


def test_what_was_measured_of_other_recipes_is_told_apart(results, measured):
    results([measured(seed=seed) for seed in range(2)])
    assert accuracy_page.before(results.folder) is None
    older = [
        measured(seed=seed, accuracy=0.99, recipe_sha256="as it was", date="2025-01-02 10:00") for seed in range(2)
    ]
    now = [measured(seed=seed) for seed in range(2)]
    results([*older, *now, measured("nobody", members=["best", "tiny"]), measured("no", smoke=True)])
    content = accuracy_page.before(results.folder)
    best, nobody = (cells(row) for row in content["table"].splitlines()[2:])
    assert best[:4] == ["`best`", "–", "`abc`", "2025-01-02"]
    assert best[4] == "99.000 ± 0.000 %"
    assert nobody[:2] == ["`nobody`", "`best`, `tiny`"]
    (difference,) = (cells(row) for row in content["differences"].splitlines()[2:])
    assert difference[:2] == ["`best` − that of `abc`", "+0.700 ± 0.000"]


def test_fast_and_minute_are_as_the_benchmarks_have_them(results, line):
    lines = [line("minute", seed=1, recipe_sha256=Recipe.load("minute").sha256), line("zoo_cnn", kind="peer")]
    (results.folder / bench.LEDGER).write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    groups = accuracy_page.read(results.folder)
    assert list(groups) == ["minute"]
    (row,) = accuracy_tables.recipes(groups)["table"].splitlines()[2:]
    assert cells(row)[0] == "`minute`"
    assert cells(row)[-3:] == ["–", "4.00 s (2 threads)", "`python -m benchmarks.speed.bench --only minute`"]


@pytest.mark.parametrize(
    ("accuracy", "seeds", "met", "goals"),
    [
        (0.998, 9, "yes", "99.8 %: yes"),
        (0.9975, 9, "yes", "99.8 %: no"),
        (0.9974, 9, "**no**", "99.8 %: no"),
        (0.999, 8, "–", "99.8 %: –"),
    ],
)
def test_a_bar_is_met_by_the_mean_of_its_seeds(measured, accuracy, seeds, met, goals):
    rows = accuracy_tables.bars({"best": [measured(seed=seed, accuracy=accuracy) for seed in range(seeds)]})
    row, _ = (cells(row) for row in rows if "`best`" in row)
    assert row[1] == "≥ 99.75 %"
    assert row[2].startswith(f"{100 * accuracy:.3f}")
    assert row[3:6] == [met, goals, str(seeds)]


@pytest.mark.parametrize(
    ("spread", "low", "met"), [(0.0001, "99.713 %", "yes"), (0.0004, "99.693 %", "**no**"), (0.0, "–", "**no**")]
)
def test_the_interval_of_best_is_above_its_bar(measured, spread, low, met):
    group = [measured(seed=seed, accuracy=0.9972 + spread * (seed % 3 - 1)) for seed in range(9)]
    (row,) = (cells(row) for row in accuracy_tables.bars({"best": group}) if "lower end" in row)
    assert row[1:4] == ["> 99.70 %", low, met]


def test_tiny_may_have_so_many_parameters_and_bytes(measured):
    def said(seeds: int) -> list[list[str]]:
        group = [measured("tiny", seed, bytes=60_000 + seed) for seed in range(seeds)]
        return [cells(row)[:4] for row in accuracy_tables.bars({"tiny": group})[1:3]]

    assert said(5) == [
        ["`tiny`: parameters", "≤ 10,000", "9,000", "yes"],
        ["`tiny`: model file", "≤ 60 kB", "60 kB", "**no**"],
    ]
    assert [row[3] for row in said(4)] == ["–", "–"]


def test_what_is_no_recipe_by_itself_says_what_it_is_made_of():
    about = "\n".join(accuracy_tables.recipes({})["made_of"])
    names = ", ".join(f"`{name}`" for name in ENSEMBLE)
    assert f"`ensemble`: the mean of {names} with the same seed, in one file; its training time" in about
    assert f"`ensemble-views5`: the mean of {names} with the same seed, in one file, over 5 views" in about
    assert "`distilled`: `best` with `epochs = 8`" in about
    assert "`epochs = 16`, `temperature = 0.56`; it holds nothing out." in about
    assert "`temperature = 0.58`; it holds nothing out; taught by the `ensemble` of its seed." in about
    assert "`tiny`" not in about


def test_a_row_says_mean_interval_and_range(measured):
    group = [measured(seed=seed, accuracy=0.997 + seed / 1e4) for seed in range(3)]
    assert accuracy_tables.cells(group) == [
        "99.710 ± 0.010 %",
        "99.685–99.735 %",  # Student's: 4.303 standard errors of 0.0058
        "99.70–99.72 %",
        "3",
        "9,000",
        "45 kB",
        "1 min 40 s (1 thread)",
    ]
    assert accuracy_tables.cells([measured(device="G1", threads=8)])[1:3] == ["–", "–"]
    assert accuracy_tables.cells([measured(device="G1", threads=8)])[-1].endswith("(G1)")


def test_the_time_of_a_training_that_was_stopped_is_not_known(measured):
    known, stopped = measured(), measured(seed=1, train_seconds=None)
    assert accuracy_tables.cells([known, stopped])[-1] == accuracy_tables.cells([known])[-1]
    assert accuracy_tables.cells([stopped])[-1] == "–"


def test_a_record_is_beaten_or_not_and_the_interval_says_how_surely(measured):
    def compared(values: list[float]) -> tuple[str, bool]:
        group = [measured(seed=seed, accuracy=value) for seed, value in enumerate(values)]
        best, ensemble = accuracy_tables.records({"best": group})["ours"]
        assert (best["record"], best["whose"]) == ("99.65 %", "one network")
        assert (ensemble["record"], ensemble["accuracy"]) == ("99.745 %", None)
        return best["side"], best["excluded"]

    assert compared([0.9971, 0.9972, 0.9973]) == ("above", True)
    assert compared([0.996, 0.9972]) == ("above", False)
    assert compared([0.996]) == ("below", False)


def test_differences_are_taken_seed_by_seed(measured):
    groups = {
        "minute": [measured("minute", seed, 0.9960) for seed in range(5)],
        "best": [measured("best", seed, value) for seed, value in enumerate((0.9970, 0.9972, 0.9974))],
        "ensemble": [measured("ensemble", 7)],
    }
    content = accuracy_tables.pairs(groups)
    (row,) = content["table"].splitlines()[2:]
    assert cells(row) == ["`best` − `minute`", "+0.120 ± 0.020", "+0.070 to +0.170", "0.25 (min: 0.25)", "3"]
    assert content["missing"] == "`ensemble` − `best`, `distilled` − `curve-160k`"


def test_what_is_now_is_compared_with_what_was_before_seed_by_seed(measured):
    now = [measured(seed=seed, accuracy=0.997 + seed / 1e4, nll=0.01, ece=0.001 - seed / 1e4) for seed in range(4)]
    before = [measured(seed=seed, accuracy=0.997, nll=0.012, ece=0.001) for seed in (1, 2, 3, 9)]
    assert cells(accuracy_tables.replaced(now, before)) == [
        "`best` − that of `abc`",
        *("+0.020 ± 0.010", "−0.005 to +0.045", "0.25 (min: 0.25)"),
        *("1.200 → 1.000", "0.25"),
        *("0.100 → 0.080", "0.25"),
        "3",
    ]
    assert accuracy_tables.replaced(now, before[:1]) is None  # one seed says nothing
    assert accuracy_tables.replaced([], before) is None


def test_members_share_mistakes_of_the_same_seed_and_a_recipe_those_of_its_seeds(measured):
    one, two, *_ = ENSEMBLE
    groups = {
        one: [measured(one, 0, wrong=[1, 2, 3]), measured(one, 1, wrong=[1, 2, 3])],
        two: [measured(two, 0, wrong=[3, 4]), measured(two, 5, wrong=[9])],
    }
    rows = [cells(row) for row in accuracy_tables.overlap(groups).splitlines()[2:]]
    assert rows == [
        [f"`{one}` and `{two}`", "25 %", "1"],
        [f"`{one}`, one seed and another", "100 %", "1"],
        [f"`{two}`, one seed and another", "0 %", "1"],
    ]
    assert accuracy_tables.overlap({one: []}) is None


def test_openings_are_counted_by_recipe_and_hash(results):
    header = "date,data,recipe,recipe_sha256,seed,run\n"
    lines = [f"2026-01-0{day} 10:00:00,mnist,best,{'a' * 64},{day},s{day}\n" for day in (1, 2)]
    lines.append(f"2026-01-03 10:00:00,mnist,ensemble,{'b' * 64} {'c' * 64},0 0,s0.onnx\n")
    lines.append("2026-01-03 10:00:00,usps,best,x,0,s0\n")
    (results.folder / "test-openings.csv").write_text(header + "".join(lines), encoding="utf-8")
    content = accuracy_page.openings(results.folder)
    assert content["n"] == "3"
    assert [cells(row) for row in content["table"].splitlines()[2:]] == [
        ["`best`", "aaaaaaaa", "1-2", "2", "2026-01-01–2026-01-02"],
        ["`ensemble`", "bbbbbbbb cccccccc", "0", "1", "2026-01-03"],
    ]


def test_without_results_the_page_tells_the_protocol_and_what_is_not_measured(tmp_path):
    text = accuracy_page.render(tmp_path)
    assert "one standard error is\n   0.05 points" in text
    assert "Not measured yet: `blink`, `fast`, `minute`, `tiny`, `micro`, `best`" in text
    assert "Not measured yet: `curve-1k`" in text
    assert "Nothing has been opened yet." in text
    assert "`inkdigit benchmark`" in text
    assert "test-openings.csv" not in text
    assert text.count("| not measured |") == len(accuracy_tables.BARS)


def test_the_curve_is_drawn_in_both_themes_and_the_same_lines_give_the_same_bytes(measured):
    names = accuracy_curve.NAMES[:3]
    groups = {
        name: [measured(name, seed, 0.97 + i / 100 + seed / 1e3, parameters=1000 * 2**i) for seed in range(2)]
        for i, name in enumerate(names)
    }
    drawn = accuracy_curve.draw(groups)
    assert sorted(drawn) == ["curve-dark.svg", "curve-light.svg"]
    assert all(ElementTree.fromstring(data).tag.endswith("svg") for data in drawn.values())
    assert accuracy_curve.plot(groups, LIGHT) == drawn["curve-light.svg"]  # the same lines again
    groups[names[0]][0]["accuracy"] = 0.5
    assert accuracy_curve.plot(groups, LIGHT) != drawn["curve-light.svg"]
    assert accuracy_curve.draw({"best": [measured()]}) == {}


def test_the_page_shows_its_figure_and_where_it_was_measured(results, measured):
    results([measured("curve-1k"), measured("tiny", parameters=8_000)])
    text = accuracy_page.render(results.folder, figures="how-good")
    assert 'src="how-good/curve-light.svg"' in text
    assert "1-2-4-6" in text
    assert "- `curve-1k`, `tiny` (bfloat16): 2026-01-01" in text
