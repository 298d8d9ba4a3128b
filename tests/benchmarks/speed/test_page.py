from __future__ import annotations

import json

import pytest

from benchmarks.speed import page
from inkdigit.training.recipe import FOLDER, Recipe


@pytest.fixture
def results(tmp_path, line):
    folder = tmp_path / "results"
    folder.mkdir()
    lines = [line(recipe_sha256="as it was"), line(accuracy=0.991, recipe_sha256=Recipe.load("fast").sha256)]
    (folder / "bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return folder


def test_a_recipe_says_at_its_top_what_was_measured(results):
    files = page.recipes(results, FOLDER)
    text = files[FOLDER / "fast.toml"].decode().replace("\n# ", " ")
    assert text.startswith("# Goal: at least 99.25 % in the mean of 10 seeds, in at most 1/40 of the training time")
    measured = "99.10 % over 1 seed, trained in 4.00 s on Z80, 2 cores, with bfloat16."
    assert f"Measured on MNIST's test split: {measured}" in text
    assert set(files) == {FOLDER / f"{name}.toml" for name in ("blink", "fast", "minute")}


def test_a_recipe_claims_what_was_reached(results, line):
    reached = line(accuracy=0.993, recipe_sha256=Recipe.load("fast").sha256)
    (results / "bench.jsonl").write_text(json.dumps(reached) + "\n", encoding="utf-8")
    assert page.recipes(results, FOLDER)[FOLDER / "fast.toml"].startswith(b"# Claim: at least 99.25 %")


def test_lines_of_a_recipe_that_was_changed_since_do_not_count(results):
    (line,) = page.read_bench(results)
    assert line["recipe_sha256"] == Recipe.load("fast").sha256


def test_the_page_shows_its_figures(results):
    text = page.render(results, figures="figures")
    assert 'src="figures/accuracy-time-light.svg"' in text
    assert "| `fast` |" in text


def test_without_results_the_page_says_so_and_draws_nothing(tmp_path):
    (text,) = page.files(tmp_path, tmp_path / "page.md").values()
    assert text.decode().count("not measured") == 21
    assert "## Where and when" not in text.decode()


def test_the_loop_is_laid_out_with_its_bars(results, line):
    about = {key: line()[key] for key in ("date", "commit", "machine", "versions")}
    share = {"median": 0.8, "min": 0.69, "max": 0.9}
    row = {"recipe": "fast", "n": 5, "bare_images_per_s": 20_000.4, "loop_images_per_s": 16_000.0, "share": share}
    peaks = {"fast": 1501.0, "y": None}
    record = {"smoke": False, "command": "python x.py", "recipes": [row], "peak_mb": peaks, **about}
    (results / "loop.json").write_text(json.dumps(record), encoding="utf-8")
    text = page.render(results)
    assert "| fast | 20,000 | 16,000 | 80 % [69–90] | ≥ 70 % | yes | 5 |" in text
    assert "(bar 1,500 MB, **not met**): `inkdigit train fast` 1,501 MB." in text
    assert "- The training loop: 2026-01-01" in text


def test_whole_commands_have_bars_and_a_table_of_stages(results, line):
    about = {key: line()[key] for key in ("date", "commit", "machine", "versions")}
    seconds = {"median": 7.0, "min": 6.5, "max": 9.0}
    part = {"wall_s": seconds, "cpu_s": seconds, "stages": {"train": seconds}}
    ratio = {"median": 1.5, "min": 1.2, "max": 2.6}
    record = {"smoke": False, "rounds": 5, "quiet": part, "beside": part, "first_run": part, "beside_over_quiet": ratio}
    (results / "whole.json").write_text(json.dumps({**record, **about, "command": "python x.py"}), encoding="utf-8")
    text = page.render(results)
    assert "the whole command | ≤ 8 s | 7.0 s [6.5–9.0] | yes | 5 |" in text
    assert "the largest | ≤ 2.5 times | 1.5 times [1.2–2.6] | **no** | 5 |" in text
    assert "| train | 7.00 s [6.50–9.00] | 7.00 s [6.50–9.00] |" in text
