from __future__ import annotations

import json
import sys

import pytest

import page


@pytest.fixture
def results(tmp_path, line):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "bench.jsonl").write_text(json.dumps(line()) + "\n")
    return folder


@pytest.fixture
def run(results, monkeypatch):
    def run(*words: str) -> int:
        where = ["--results", str(results), "--page", str(results.parent / "docs" / "figures.md")]
        monkeypatch.setattr(sys, "argv", ["page.py", *where, *words])
        return page.main()

    return run


def test_the_page_and_its_figures_are_written_once_and_checked(run, results, capsys):
    assert run("--check") == 1
    assert not (results.parent / "docs").exists()
    assert run() == 0
    assert run("--check") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "figures.md: up to date"
    text = (results.parent / "docs" / "figures.md").read_text()
    assert 'src="figures/accuracy-time-light.svg"' in text
    assert "| `fast` |" in text


def test_a_figure_that_is_not_what_was_measured_is_stale(run, results, capsys):
    run()
    drawn = results.parent / "docs" / "figures" / "accuracy-time-dark.svg"
    right = drawn.read_bytes()
    drawn.write_bytes(right + b" ")
    assert run("--check") == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("accuracy-time-dark.svg: stale")
    assert run() == 0
    assert drawn.read_bytes() == right


def test_without_results_the_page_says_so_and_draws_nothing(tmp_path):
    (text,) = page.files(tmp_path, tmp_path / "page.md").values()
    assert text.decode().count("not measured") == 9
    assert "## Where and when" not in text.decode()


def test_the_loop_is_laid_out_with_its_bars(results, line):
    about = {key: line()[key] for key in ("date", "commit", "machine", "versions")}
    share = {"median": 0.8, "min": 0.69, "max": 0.9}
    row = {"recipe": "fast", "n": 5, "bare_images_per_s": 20_000.4, "loop_images_per_s": 16_000.0, "share": share}
    peaks = {"fast": 1501.0, "y": None}
    record = {"smoke": False, "command": "python x.py", "recipes": [row], "peak_mb": peaks, **about}
    (results / "loop.json").write_text(json.dumps(record))
    text = page.render(results)
    assert "| fast | 20,000 | 16,000 | 80 % [69–90] | ≥ 70 % | yes | 5 |" in text
    assert "(bar 1,500 MB, **not met**): `inkdigit train fast` 1,501 MB." in text
    assert "- The training loop: 2026-01-01" in text
