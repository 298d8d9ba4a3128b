"""The page of the bundled models says what their files and the measurement say, of any that ship."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.models import measure as models
from benchmarks.models import page as models_page
from inkdigit.model.provenance import TeacherFile
from inkdigit.model.recognizer import Recognizer, bundled

from ..conftest import cells

ROOT = Path(__file__).parents[3]
SEEDS = {"n": 5, "mean": 0.99712, "sd": 0.00041, "seeds": [0, 1, 2, 3, 4]}


def report(rate: float) -> dict:
    """One model, as `inkdigit benchmark --json` tells of it."""
    return {
        "threads": 2,
        "batch": {"pictures_per_s": rate, "batch": 2000, "rounds": 9},
        "array": {"p50_ms": 0.08123, "p99_ms": 0.2, "calls": 1000},
        "png": {"p50_ms": 0.16},
        "cold_start": {"cold_start_s": 0.28},
    }


@pytest.fixture
def record(about) -> dict:
    """What `models/measure.py` writes."""
    measurements = [
        models.gather(name, path, [report(5100.4), report(4900), report(5200)]) for name, path in bundled().items()
    ]
    return {**about, "command": "python -m benchmarks.models.measure", "runs": 3, "models": measurements}


@pytest.fixture
def shipped() -> models_page.Model:
    """`fast` as a single run leaves it, not measured."""
    card = Recognizer.load("fast").card
    figures = {key: value for key, value in card.figures.items() if key != "seeds"}
    return models_page.Model("fast", 283_000, replace(card, figures=figures), None)


@pytest.fixture
def best(shipped) -> models_page.Model:
    """An int8 model of five seeds, taught by another, and measured."""
    card = shipped.card
    figures = {**card.figures, "seeds": SEEDS}
    taught = replace(card.provenance, teacher=TeacherFile("many/model.onnx", "0"))
    card = replace(card, name="best", numbers="int8", parameters=646_000, figures=figures, provenance=taught)
    speed = models.gather("best", next(iter(bundled().values())), [report(5100.4), report(4900), report(5200)])
    return models_page.Model("best", 680_000, card, speed)


@pytest.fixture
def tiny(shipped) -> models_page.Model:
    return models_page.Model("tiny", 61_000, replace(shipped.card, parameters=9_900), None)


def row_of(text: str, start: str) -> list[str]:
    """The cells of the first row that begins with `start`."""
    return cells(next(row for row in text.splitlines() if row.startswith(start)))


def test_every_model_that_ships_has_its_row():
    text = models_page.render(models_page.read_models(ROOT / "nothing"), None)
    for name in bundled():
        assert text.count(f"| `{name}` |") >= 3
        assert f"inkdigit train {name} --seed" in text
    assert "Not measured: `python -m benchmarks.models.measure`." in text
    assert "## Where and when" not in text


def test_one_more_model_needs_no_change_here(shipped, best, tiny, record):
    text = models_page.render([tiny, shipped, best], record)
    assert row_of(text, "| `best` |")[1:] == [
        *("680 kB", "646,000", "99.29 %", "99.11–99.44", "10,000", "99.712 ± 0.041 %", "5", "5,100", "0.08 ms")
    ]
    assert row_of(text, "| `tiny` |")[6:] == ["not measured", "–", "not measured", "not measured"]
    assert '["tiny", "fast", "best"]' in text
    assert "8-bit integers: `best`." in text
    assert "5,100 /s [4,900–5,200]" in text
    assert "taught by `many/model.onnx`" in text
    assert "- Speed: 2026-01-01" in text


def test_the_bars_are_met_or_not(shipped, best, tiny):
    text = models_page.bars([tiny, shipped, best])
    assert row_of(text, "| all |")[2:] == ["≤ 4.00 MB", "1.02 MB", "yes"]
    assert row_of(text, "| `tiny` | parameters")[3:] == ["9,900", "yes"]
    assert row_of(text, "| `tiny` | model file")[3:] == ["61 kB", "**no**"]
    assert row_of(text, "| `tiny` | mean accuracy")[3:] == ["not measured", "–"]
    assert row_of(text, "| `best` | mean accuracy")[2:] == ["≥ 99.750 %", "99.712 %", "**no**"]
    assert row_of(text, "| `best` | images/s |")[3:] == ["5,100", "yes"]
    assert row_of(text, "| `best` | images/s over")[3:] == ["not measured", "–"]
    quick = replace(shipped, speed={"pictures_per_s": {"median": 10_000.0}})
    text = models_page.bars([tiny, quick, best])
    assert row_of(text, "| `best` | images/s over")[2:] == ["≥ 0.50", "0.51", "yes"]
    assert row_of(text, "| `tiny` | images/s over")[3:] == ["not measured", "–"]


@pytest.mark.parametrize(("trained", "has_twin"), [(60_000, True), (57_000, False), (None, False)])
def test_the_commands_name_the_seeds_and_the_twin_of_what_held_nothing_out(trained, has_twin, shipped, best):
    before = best.card.provenance
    data = replace(before.data, train=60_000, trained=trained)
    best = replace(best, card=replace(best.card, provenance=replace(before, data=data)))
    text = models_page.commands([shipped, best])
    assert row_of(text, "| `fast` |")[1:] == [
        "`inkdigit train fast --seed 0 --out runs/fast`",
        "`python -m benchmarks.models.bundle fast runs/fast`",
    ]
    train, bundle = (
        "`inkdigit train best --seeds 0-4 --out runs/best`",
        "benchmarks.models.bundle best runs/best --int8",
    )
    twin = "`inkdigit train best --set protocol=select --set validation=10000 --out runs/best-select`"
    assert row_of(text, "| `best` |")[1:] == [
        f"{train}, {twin}" if has_twin else train,
        f"`python -m {bundle} --twin runs/best-select`" if has_twin else f"`python -m {bundle}`",
    ]


def test_figures_of_another_file_do_not_count(record, tmp_path):
    (tmp_path / "models.json").write_text(json.dumps(record), encoding="utf-8")
    assert all(model.speed for model in models_page.read_models(tmp_path))
    for measurements in record["models"]:
        measurements["sha256"] = "another"
    (tmp_path / "models.json").write_text(json.dumps(record), encoding="utf-8")
    assert not any(model.speed for model in models_page.read_models(tmp_path))


def test_a_smoke_run_is_written_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "benchmark", lambda names: [report(5000.0) for _ in names])
    models.main(["--smoke", "--results", str(tmp_path)])
    measurements = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))
    assert (measurements["smoke"], measurements["runs"]) == (True, 1)
    assert [model["model"] for model in measurements["models"]] == list(bundled())
    assert measurements["models"][0]["array_p50_ms"] == {"median": 0.0812, "min": 0.0812, "max": 0.0812}
    assert not any(model.speed for model in models_page.read_models(tmp_path))


@pytest.mark.posix
def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", models_page.render(models_page.read_models(tmp_path), None), re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "models.md", "exec"), {})
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        [model.name, "0"] for model in models_page.read_models(tmp_path)
    ]
