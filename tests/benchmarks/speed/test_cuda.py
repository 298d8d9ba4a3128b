"""The trainings on a GPU: what is told apart, and what is said where there is none."""

from __future__ import annotations

import json

import pytest

from benchmarks.speed import bench_tables, cuda


def test_without_a_gpu_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cuda, "has_gpu", lambda: False)
    assert cuda.main(["--results", str(tmp_path)]) == cuda.NO_GPU
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "There is no GPU of CUDA here" in output.err
    assert list(tmp_path.iterdir()) == []


def test_the_stages_of_a_training_are_told_apart(tmp_path):
    assert cuda.main(["--device", "cpu", "--smoke", "--only", "fast", "--seeds", "1", "--results", str(tmp_path)]) == 0
    record = json.loads((tmp_path / cuda.FILE).read_text(encoding="utf-8"))
    (line,) = record["trainings"]
    assert record["smoke"] is True
    assert (line["recipe"], line["seed"], line["device"], line["gpu"]) == ("fast", 0, "cpu", "cpu")
    assert line["seconds"].keys() == {"start", "import", "context", "load", "train", "first_step", "again"}
    assert all(value >= 0 for value in line["seconds"].values())
    assert (
        sum(line["seconds"][stage] for stage in ("import", "context", "load", "train", "again"))
        < line["process_seconds"]
    )
    assert line["accuracy"] > 0.1


@pytest.mark.parametrize("name", cuda.RECIPES)
def test_the_recipes_are_those_of_the_page(name):
    assert f" {name}" in bench_tables.GPU_COMMAND
