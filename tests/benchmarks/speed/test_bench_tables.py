from __future__ import annotations

import pytest

from benchmarks.speed import bench_tables

from ..conftest import cells


def test_an_entrant_is_shown_by_the_latest_run_that_holds_it(line):
    lines = [line(seed=0, run="1"), line(seed=1, run="1"), line("zoo_cnn", run="1"), line(seed=0, run="2")]
    groups = bench_tables.latest(lines, device="cpu")
    assert {name: [row_of_seed["run"] for row_of_seed in group] for name, group in groups.items()} == {
        "fast": ["2"],
        "zoo_cnn": ["1"],
    }


def test_the_latest_line_of_a_seed_counts_and_seeds_are_in_order(line):
    lines = [line(seed=1), line(seed=0, peak_mb=1.0), line(seed=0, peak_mb=2.0)]
    (group,) = bench_tables.latest(lines, device="cpu").values()
    assert [(row_of_seed["seed"], row_of_seed["peak_mb"]) for row_of_seed in group] == [(0, 2.0), (1, 500.0)]


def test_smoke_runs_other_devices_and_recipes_as_they_were_do_not_count(line):
    lines = [line(seed=0, recipe_sha256="old"), line(seed=1), line(seed=2, smoke=True), line(seed=3, device="cuda")]
    assert [row_of_seed["seed"] for row_of_seed in bench_tables.latest(lines, device="cpu")["fast"]] == [1]
    assert bench_tables.latest([line(smoke=True)], device="cpu") == {}


def test_a_ratio_never_mixes_two_runs(line):
    lines = [line(run="1"), line("keras_convnet", run="1"), line(run="2")]
    ((ours, theirs),) = bench_tables.together(lines, "fast", "keras_convnet")
    assert ours["run"] == theirs["run"] == "1"
    assert bench_tables.together([line(run="1"), line("keras_convnet", run="2")], "fast", "keras_convnet") == []


def test_a_ratio_is_that_of_the_recipe_as_it_was_last(line):
    lines = [line(run="1", recipe_sha256="old"), line("keras_convnet", run="1"), line(run="2")]
    assert bench_tables.together(lines, "fast", "keras_convnet") == []
    assert "not measured" in bench_tables.bars(lines)[1]


def test_a_ratio_is_taken_seed_by_seed(line):
    ours = [line(seed=seed, train_seconds=seconds) for seed, seconds in enumerate((4.0, 2.0, 99.0))]
    lines = [*ours, line("keras_convnet", seed=1, train_seconds=100.0), line("keras_convnet", train_seconds=120.0)]
    assert cells(bench_tables.bars(lines)[1])[1:5] == ["≤ 1/40", "1/40.0 [1/30.0–1/50.0]", "yes", "2"]


def test_time_to_an_accuracy_is_that_of_the_mean_over_seeds(line):
    group = [line(curve=[[1, 1.0, 0.98], [2, 3.0, 0.992]]), line(curve=[[1, 2.0, 0.97], [2, 5.0, 0.99]])]
    assert bench_tables.seconds_to(group, 0.975) == 1.5
    assert bench_tables.seconds_to(group, 0.991) == 4.0
    assert bench_tables.seconds_to(group, 0.992) is None


def test_a_seed_that_stopped_early_stays_where_it_stopped(line):
    group = [line(curve=[[1, 1.0, 0.98]]), line(curve=[[1, 1.0, 0.96], [2, 3.0, 0.99]])]
    assert bench_tables.mean_curve(group)[1] == pytest.approx((2.0, 0.985))


@pytest.mark.parametrize(
    ("accuracy", "seeds", "met"),
    [(0.9929, 10, "yes"), (0.9925, 10, "yes"), (0.9924, 10, "**no**"), (0.999, 9, "n < 10")],
)
def test_the_accuracy_of_fast_has_a_bar_and_needs_its_seeds(line, accuracy, seeds, met):
    lines = [line(seed=seed, accuracy=accuracy) for seed in range(seeds)]
    assert cells(bench_tables.bars(lines)[0])[1::2][:2] == ["≥ 99.25 %", met]
    assert cells(bench_tables.bars(lines)[0])[4] == str(seeds)


@pytest.mark.parametrize(
    ("peer", "bfloat16", "bar", "met"),
    [(160.0, True, "≤ 1/40", "yes"), (159.0, True, "≤ 1/40", "**no**"), (100.0, False, "≤ 1/20", "yes")],
)
def test_the_time_of_fast_has_a_bar_that_depends_on_the_processor(line, peer, bfloat16, bar, met):
    lines = [line(bfloat16=bfloat16), line("keras_convnet", train_seconds=peer)]
    assert cells(bench_tables.bars(lines)[1])[1:5] == [bar, f"1/{peer / 4:.1f}", met, "1"]


def test_what_is_not_measured_is_said_to_be_so():
    rows = bench_tables.bars([])
    assert len(rows) == 2 * len(bench_tables.BARS)
    assert all(cells(row)[2] == "not measured" for row in rows)
    assert bench_tables.training([], []) is None
    assert bench_tables.machines([]) == []


def test_the_table_names_every_entrant_quickest_first_with_its_command(line):
    knn = line("sklearn_knn", parameters=None, note="60,000 stored pictures", curve=[[1, 0.01, 0.97]], peak_mb=None)
    section = bench_tables.training([line(), knn], ["PLOT"])
    assert (section["elsewhere"], section["figures"], section["bfloat16"]) == (
        "`tiny`, `micro` and `best`",
        ["PLOT"],
        True,
    )
    first, second = (cells(row) for row in section["table"].splitlines()[2:])
    assert first[:3] == ["scikit-learn's 3-NN", "60,000 stored pictures", "97.00 %"]
    assert first[5:8] == ["–", "–", "–"]
    assert first[-2:] == ["–", "`python -m benchmarks.speed.bench --only sklearn_knn`"]
    assert second[0] == "`fast`"
    assert second[4:8] == ["4.00", "2.00", "4.00", "–"]


def test_who_is_not_measured_yet_is_named(line):
    section = bench_tables.training([line()], [], ["fast", "sklearn_svm", "minute"])
    assert section["missing"] == "scikit-learn's SVM, `minute`"


def test_a_gpu_has_its_own_table_with_the_stages_apart(line):
    lines = [line(device="cuda", gpu="G1"), line("zoo_cnn", device="cuda", gpu="G1", train_seconds=9.0)]
    del lines[1]["export_seconds"]
    assert bench_tables.gpu([line()]) is None
    table = bench_tables.gpu(lines)
    ours, peer = (cells(row) for row in table.splitlines()[2:])
    assert ours[:8] == ["`fast`", "G1", "99.10 %", "1", "4.00", "4.00", "–", "–"]
    assert ours[8:12] == ["1.00", "1.50", "2.50", "9.00"]
    assert peer[10] == "–"


def test_every_run_that_is_quoted_says_where_it_was(line):
    lines = [line(run="1"), line("keras_convnet", run="1"), line(run="2", versions={"torch": "2"})]
    first, second = bench_tables.machines(lines)
    assert "run 1 (keras.io's convnet, `fast`)" in first
    assert "run 2 (`fast`)" in second
    assert "torch 2" in second
