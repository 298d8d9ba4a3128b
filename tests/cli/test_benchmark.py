"""`benchmark`: the figures of the named models, as a table that fits and as one JSON object."""

from __future__ import annotations

import json
import re

import pytest

from inkdigit.measure import speed

from .conftest import assert_one_error


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path) -> None:
    """A few calls, without MNIST."""
    for name, count in {"STARTS": 1, "CALLS": 5, "WARM_UPS": 1, "BATCH": 20, "ROUNDS": 3, "DRAWN": 4}.items():
        monkeypatch.setattr(speed, name, count)
    monkeypatch.setattr(speed.machine, "load", lambda: 0.0)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made_up(monkeypatch):
    """Invented figures of the named models."""

    def benchmark(models, *, log) -> speed.Benchmark:
        log("measuring")
        start, single = speed.ColdStart(5, 0.2222, 0.1999, 71.4), speed.Latency(1000, 0.0811, 1.2345)
        many, measured = speed.Throughput(9, 2000, 51234.5, 60000.0), speed.Accuracy(10000, 0.9904, (0.9883, 0.9921))
        figures = ("float32", 107.7, 24314, 2, measured, start, single, speed.Latency(1000, 0.16, 2.0), many)
        machine = speed.Machine("Some CPU, 2 threads", 1, "Linux x86_64", "3.11.7", "1.31.1", 0.1)
        return speed.Benchmark(machine, tuple(speed.ModelSpeed(name, "fast", *figures) for name in models))

    monkeypatch.setattr(speed, "benchmark", benchmark)


def test_a_model_is_measured_in_new_processes_and_in_this_one(inkdigit, tiny_file):
    result = inkdigit("benchmark", tiny_file, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert content["machine"]["cores"] >= 1
    (model,) = content["models"]
    assert (model["model"], model["accuracy"]) == (str(tiny_file), None)
    start = model["cold_start"]
    assert start["cold_start_s"] > 0
    assert start["libraries_s"] > 0
    assert start["peak_mb"] is None or start["peak_mb"] > 10
    assert "inkdigit data get mnist" in result.err


def test_without_a_name_all_bundled_models_are_measured(inkdigit, monkeypatch, tiny_file):
    monkeypatch.setattr(speed, "bundled", lambda: {str(tiny_file): tiny_file, "fast": tiny_file})
    monkeypatch.setattr(speed, "time_cold_starts", lambda models: [speed.ColdStart(1, 0.2, 0.1, None)] * len(models))
    content = json.loads(inkdigit("benchmark", "--json").out)
    assert [model["model"] for model in content["models"]] == [str(tiny_file), "fast"]


@pytest.mark.usefixtures("made_up")
def test_the_table_has_the_figures_with_their_units(inkdigit):
    result = inkdigit("benchmark", "fast")
    assert result.out.startswith(
        "Some CPU, 2 threads · 1 core to use\nLinux x86_64 · Python 3.11.7 · ONNX Runtime 1.31.1\n"
    )
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.out.splitlines()[3:]]
    assert rows == [
        ["fast"],
        ["File", "108 kB"],
        ["Parameters", "24,314"],
        ["Threads", "2"],
        ["Accuracy, MNIST (test)", "99.04 %"],
        ["95 % interval", "98.83–99.21"],
        ["Cold start", "0.222 s"],
        ["Python and libraries", "0.200 s"],
        ["peak memory", "71 MB"],
        ["One 28×28 array, p50", "0.081 ms"],
        ["p99", "1.234 ms"],
        ["One 28×28 PNG, p50", "0.160 ms"],
        ["p99", "2.000 ms"],
        ["Many at once, median", "51,234/s"],
        ["best round", "60,000/s"],
    ]
    assert result.err.startswith("measuring\n")
    assert result.err.endswith("inkdigit benchmark fast --json\n")


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(("columns", "tables"), [(200, 1), (80, 3), (30, 5)])
def test_the_tables_are_as_wide_as_the_terminal(inkdigit, monkeypatch, columns, tables):
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["fast", "fast-int8", "minute", "runs/20261120-101502-fast-with-a-long-name-s0", "deep"]
    out = inkdigit("benchmark", *names).out
    assert out.count("Parameters") == tables
    assert max(map(len, out.splitlines()[2:])) <= max(columns, 48)
    assert "…" in out
    assert all(name in out for name in ("fast-int8", "minute", "a-long-name-s0", "deep"))


@pytest.mark.usefixtures("made_up")
def test_four_models_fit_side_by_side_into_a_plain_terminal(inkdigit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert inkdigit("benchmark", "fast", "fast-int8", "minute", "deepdigits").out.count("Parameters") == 1


def test_what_cannot_be_measured_is_one_error(inkdigit, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    assert_one_error(inkdigit("benchmark", "fats"), 2, "Did you mean fast?")
    assert_one_error(inkdigit("benchmark", "broken.onnx"), 5, "not an ONNX file")
    assert_one_error(inkdigit("benchmark", "fast", "broken.onnx", "--json"), 5, "not an ONNX file")


def test_ctrl_c_is_130(inkdigit, monkeypatch, tiny_file):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "time_singles", interrupt)
    monkeypatch.setattr(speed, "time_cold_starts", lambda models: [speed.ColdStart(1, 0.2, 0.1, None)] * len(models))
    result = inkdigit("benchmark", tiny_file)
    assert (result.code, result.out) == (130, "")
    assert result.err.endswith("Interrupted.\n")
