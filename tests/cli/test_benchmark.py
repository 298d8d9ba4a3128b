"""`benchmark`: the figures of the named models, as a table that fits and as one JSON object."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from inkdigit.cli.benchmark import print_tables
from inkdigit.measure import speed
from inkdigit.measure.speed import ColdStart

from .conftest import assert_one_error


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path) -> None:
    """Without MNIST, and without new processes: with them a benchmark takes seconds."""
    monkeypatch.setattr(speed, "time_cold_starts", lambda models, _: [ColdStart(5, 0.2, 0.1, None)] * len(models))
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def made_up(*names: str) -> speed.Benchmark:
    """Invented figures of models with these names."""
    start, single = ColdStart(5, 0.2222, 0.1999, 71.4), speed.Latency(1000, 0.0811, 1.2345)
    many, measured = speed.Throughput(9, 2000, 51234.5, 60000.0), speed.Accuracy(10000, 0.9904, (0.9883, 0.9921))
    figures = ("float32", 107.7, 24314, 2, measured, start, single, speed.Latency(1000, 0.16, 2.0), many)
    machine = speed.Machine("Some CPU, 2 threads", 1, "Linux x86_64", "3.11.7", "1.31.1", 0.1)
    return speed.Benchmark(machine, tuple(speed.ModelSpeed(name, "fast", *figures) for name in names))


def test_a_model_is_measured(inkdigit, tiny_file):
    result = inkdigit("benchmark", tiny_file, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))
    assert content["machine"]["cores"] >= 1
    (model,) = content["models"]
    assert (model["model"], model["accuracy"]) == (str(tiny_file), None)
    assert model["cold_start"] == {"starts": 5, "cold_start_s": 0.2, "libraries_s": 0.1, "peak_mb": None}
    assert (model["array"]["calls"], model["batch"]["batch"]) == (1000, 2000)
    assert "inkdigit data get mnist" in result.err


def test_without_a_name_all_bundled_models_are_measured(inkdigit, monkeypatch, tiny_file, tmp_path):
    files = [shutil.copy(tiny_file, tmp_path / f"{name}.onnx") for name in ("one", "two")]
    monkeypatch.setattr(speed, "bundled", lambda: {str(file): file for file in files})
    result = inkdigit("benchmark")
    assert re.split(r"\s{2,}", result.out.splitlines()[3].strip()) == [f"…{str(file)[-17:]}" for file in files]
    assert result.err.endswith("inkdigit benchmark --json\n")


def test_the_table_has_the_figures_with_their_units(capsys):
    print_tables(made_up("fast"))
    out = capsys.readouterr().out
    assert out.startswith("Some CPU, 2 threads · 1 core to use\nLinux x86_64 · Python 3.11.7 · ONNX Runtime 1.31.1\n")
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()[3:]]
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


@pytest.mark.parametrize(("columns", "tables"), [(200, 1), (80, 3), (30, 5)])
def test_the_tables_are_as_wide_as_the_terminal(capsys, monkeypatch, columns, tables):
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["fast", "fast-int8", "minute", "runs/20261120-101502-fast-with-a-long-name-s0", "deep"]
    print_tables(made_up(*names))
    out = capsys.readouterr().out
    assert out.count("Parameters") == tables
    assert max(map(len, out.splitlines()[2:])) <= max(columns, 48)
    assert "…" in out
    assert all(name in out for name in ("fast-int8", "minute", "a-long-name-s0", "deep"))


def test_four_models_fit_side_by_side_into_a_plain_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_tables(made_up("fast", "fast-int8", "minute", "deepdigits"))
    assert capsys.readouterr().out.count("Parameters") == 1


def test_what_cannot_be_measured_is_one_error(inkdigit, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    assert_one_error(inkdigit("benchmark", "fats"), 2, "Did you mean fast?")
    assert_one_error(inkdigit("benchmark", "broken.onnx"), 5, "not an ONNX file")
    assert_one_error(inkdigit("benchmark", "fast", "broken.onnx", "--json"), 5, "not an ONNX file")


def test_ctrl_c_is_130(inkdigit, monkeypatch, tiny_file):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "time_singles", interrupt)
    result = inkdigit("benchmark", tiny_file)
    assert (result.code, result.out) == (130, "")
    assert result.err.endswith("Interrupted.\n")
